//! Takes a prescription from a box into the bucket and the ledger. The content flows through and is
//! never held whole; the receipt is given only when both have it.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use device_model::{
    thing_name::ThingName,
    upload::{ContentHash, Receipt, UploadId},
};
use futures::{Stream, StreamExt, stream::BoxStream};
use sha2::{Digest, Sha256};

use crate::{
    aws::bucket::{NewObject, Put},
    error::ApiError,
    fleet::Fleet,
    store::{self, uploads},
};

/// What one upload may have.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// S3 takes 2 KB of metadata; the sealed path has to fit beside the rest. A longer one, which no
/// Windows client can make, stands in the ledger alone.
const MAX_PATH_IN_METADATA: usize = 1500;
/// A line that brings nothing for so long is broken.
const SILENT_SECONDS: u32 = 60;

/// An upload as it is announced.
#[derive(Debug, Clone)]
pub struct Announced {
    pub upload_id: UploadId,
    pub thing: ThingName,
    /// Raw bytes; names patients.
    pub path: Vec<u8>,
    pub sha256: ContentHash,
    pub size: u64,
    pub observed_at: DateTime<Utc>,
    pub sequence: u64,
}

impl Fleet {
    /// Takes the content in. True: this is its first receipt.
    #[tracing::instrument(name = "fleet.receive", skip_all, fields(thing.name = %upload.thing, upload.id = %upload.upload_id))]
    pub async fn receive(
        &self,
        upload: &Announced,
        content: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(Receipt, bool), ApiError> {
        if upload.size > MAX_BYTES {
            return Err(ApiError::TooLarge(MAX_BYTES));
        }
        if UploadId::of(&upload.thing, &upload.path, upload.sha256) != upload.upload_id {
            return Err(ApiError::UploadIdMismatch);
        }
        let id = upload.upload_id.to_string();
        let known = uploads::stored(&mut *self.db().acquire().await?, &id).await?;
        let content = Content::of(content);
        let sealed = self.parts.rules.path_keys.seal(upload.upload_id, &upload.path)?;
        let version_id = match known {
            // The object is there. The body is read all the same: what is announced must be true.
            Some(known) => {
                content.check(upload).await?;
                known.version_id
            }
            None => self.store(upload, &content, &sealed).await?,
        };
        self.enter(upload, &version_id, &sealed).await
    }

    pub async fn upload(&self, id: UploadId) -> Result<uploads::Row, ApiError> {
        let mut db = self.db().acquire().await?;
        let found = uploads::find(&mut db, &id.to_string()).await?;
        found.ok_or(ApiError::UnknownUpload)
    }

    /// Newest first.
    pub async fn uploads(&self, filter: &uploads::Filter) -> Result<Vec<uploads::Row>, ApiError> {
        let mut db = self.db().acquire().await?;
        Ok(uploads::list(&mut db, filter).await?)
    }

    /// Puts the object and answers its version.
    async fn store(&self, upload: &Announced, content: &Content, sealed: &[u8]) -> Result<String, ApiError> {
        let key = upload.upload_id.object_key(&upload.thing);
        let put = self.parts.bucket.put_new(NewObject {
            key: key.clone(),
            size: upload.size,
            sha256: upload.sha256,
            metadata: metadata(upload, sealed),
            content: content.stream(),
        });
        match put.await {
            Ok(Put::Stored { version_id }) => Ok(version_id),
            Ok(Put::Present) => {
                // A crash came between the bucket and the ledger, or two sent it at once.
                content.check(upload).await?;
                let version = self.parts.bucket.version(&key).await;
                let version = version.map_err(|error| ApiError::unavailable("AWS S3", error))?;
                let version = version.ok_or_else(|| {
                    let cause =
                        anyhow::anyhow!("S3 says that the object is there and lists no version of it");
                    ApiError::unavailable("AWS S3", cause)
                })?;
                Ok(version.version_id)
            }
            Ok(Put::Mismatch) => Err(content.fault(upload).unwrap_or(ApiError::DigestMismatch)),
            Ok(Put::Busy) => {
                let cause = anyhow::anyhow!("another upload of the same object is under way");
                Err(ApiError::unavailable("AWS S3", cause))
            }
            Err(error) => Err(content.fault(upload).unwrap_or(ApiError::unavailable("AWS S3", error))),
        }
    }

    /// Writes the ledger, after the bucket has it.
    async fn enter(
        &self,
        upload: &Announced,
        version_id: &str,
        sealed: &[u8],
    ) -> Result<(Receipt, bool), ApiError> {
        let too_large = |_| ApiError::malformed("x-recehub-sequence is too large");
        let (id, now) = (upload.upload_id.to_string(), self.clock().now());
        let path_key = self.parts.rules.path_keys.key_of(&upload.thing, &upload.path);
        let object_key = upload.upload_id.object_key(&upload.thing);
        let row = uploads::NewUpload {
            upload_id: &id,
            thing: &upload.thing,
            sha256: &upload.sha256.to_string(),
            size: i64::try_from(upload.size).map_err(too_large)?,
            version_id,
            object_key: &object_key,
            path_sealed: sealed,
            path_key: &path_key,
            now,
        };
        let sequence = i64::try_from(upload.sequence).map_err(too_large)?;
        let mut tx = self.db().begin().await?;
        let first = uploads::add(&mut tx, &row).await?;
        let observed_at = upload.observed_at.trunc_subsecs(6);
        uploads::observe(&mut tx, &id, &upload.thing, &path_key, sequence, observed_at, now).await?;
        let stored = uploads::stored(&mut tx, &id).await?;
        tx.commit().await?;
        let stored =
            stored.ok_or_else(|| anyhow::anyhow!("an upload is not in the ledger that it was written to"))?;
        if first {
            tracing::info!(thing.name = %upload.thing, upload.id = %id, size_bytes = upload.size, "upload received");
        }
        Ok((receipt(upload, stored)?, first))
    }
}

fn receipt(upload: &Announced, stored: store::uploads::Stored) -> Result<Receipt, ApiError> {
    Ok(Receipt {
        upload_id: upload.upload_id,
        thing: upload.thing.clone(),
        sha256: upload.sha256,
        size: u64::try_from(stored.size).map_err(|error| ApiError::Internal(error.into()))?,
        version_id: stored.version_id,
        received_at: stored.received_at,
    })
}

/// What rebuilds the ledger's row from the bucket.
fn metadata(upload: &Announced, sealed: &[u8]) -> Vec<(&'static str, String)> {
    let mut metadata = vec![
        ("thing", upload.thing.to_string()),
        ("sha256", upload.sha256.to_string()),
        ("observed-at", upload.observed_at.to_rfc3339()),
        ("sequence", upload.sequence.to_string()),
    ];
    let sealed = STANDARD.encode(sealed);
    if sealed.len() <= MAX_PATH_IN_METADATA {
        metadata.push(("path-sealed", sealed));
    }
    metadata
}

/// A body on its way: counted and hashed as it flows, wherever it flows to.
#[derive(Clone)]
struct Content(Arc<Mutex<Flow>>);

struct Flow {
    body: BoxStream<'static, io::Result<Bytes>>,
    hasher: Sha256,
    size: u64,
    /// The body ended, well or badly.
    ended: bool,
    broken: bool,
}

impl Content {
    fn of(body: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Flow {
            body: body.boxed(),
            hasher: Sha256::new(),
            size: 0,
            ended: false,
            broken: false,
        })))
    }

    /// What has not flowed yet.
    fn stream(&self) -> BoxStream<'static, io::Result<Bytes>> {
        let flow = self.0.clone();
        futures::stream::poll_fn(move |context| {
            let mut flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
            if flow.ended {
                return std::task::Poll::Ready(None);
            }
            let polled = flow.body.poll_next_unpin(context);
            match &polled {
                std::task::Poll::Ready(Some(Ok(chunk))) => {
                    flow.size += chunk.len() as u64;
                    flow.hasher.update(chunk);
                }
                std::task::Poll::Ready(end) => {
                    flow.ended = true;
                    flow.broken = end.is_some();
                }
                std::task::Poll::Pending => {}
            }
            polled
        })
        .boxed()
    }

    /// Reads the rest away and says whether all of it is what was announced.
    async fn check(&self, upload: &Announced) -> Result<(), ApiError> {
        let mut rest = self.stream();
        let mut silent = 0;
        loop {
            // The SDK may still hold the stream and have been the last to ask for more, and then it
            // is the one that is woken: so ask again every second.
            match tokio::time::timeout(Duration::from_secs(1), rest.next()).await {
                Ok(None) => return self.fault(upload).map_or(Ok(()), Err),
                Ok(Some(Ok(_))) if self.size() <= upload.size => silent = 0,
                Ok(Some(_)) => return Err(ApiError::LengthMismatch),
                Err(_) if silent < SILENT_SECONDS => silent += 1,
                Err(_) => return Err(ApiError::TooSlow),
            }
        }
    }

    fn size(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size
    }

    /// What is wrong with what came, as far as it came.
    fn fault(&self, upload: &Announced) -> Option<ApiError> {
        let flow = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if flow.broken || flow.size > upload.size || (flow.ended && flow.size != upload.size) {
            return Some(ApiError::LengthMismatch);
        }
        let all = flow.size == upload.size;
        let other = all && flow.hasher.clone().finalize()[..] != upload.sha256.0;
        other.then_some(ApiError::DigestMismatch)
    }
}
