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
    outcome,
    thing_name::ThingName,
    upload::{ContentHash, Receipt, UploadId},
};
use futures::{Stream, StreamExt, stream::BoxStream};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{
    aws::bucket::{NewObject, Put},
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry},
    store::{self, audit_entries, uploads},
};

/// What one upload may have.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// A line that brings nothing for so long is broken, and so is a bucket that says nothing.
const SILENCE: Duration = Duration::from_mins(1);

/// An upload as it is announced.
#[derive(Clone)]
pub struct Announced {
    pub upload_id: UploadId,
    pub thing: ThingName,
    /// Raw bytes; names patients.
    pub path: Vec<u8>,
    pub sha256: ContentHash,
    pub size: u64,
    pub observed_at: DateTime<Utc>,
    /// How far that can be trusted; older agents do not say.
    pub clock: Option<outcome::Clock>,
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
        let content = Content::of(content, SILENCE);
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

    /// The path that the upload had on its share, which names a patient: each reading is written down, and
    /// before it is answered.
    #[tracing::instrument(name = "fleet.upload_path", skip_all, fields(upload.id = %id))]
    pub async fn upload_path(&self, id: UploadId, by: &Actor) -> Result<Vec<u8>, ApiError> {
        let mut tx = self.db().begin().await?;
        let found = uploads::sealed_path(&mut tx, &id.to_string()).await?;
        let (thing, sealed) = found.ok_or(ApiError::UnknownUpload)?;
        let path = self.parts.rules.path_keys.open(id, &sealed);
        let path = path.ok_or_else(|| anyhow::anyhow!("a sealed path does not open with the key we have"))?;
        let thing = thing.parse().map_err(anyhow::Error::from)?;
        let mut entry = Entry::new(self.clock().now(), by, "upload.path_read").of(&thing);
        entry.after = Some(json!({"uploadId": id.to_string()}));
        audit_entries::add(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(path)
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
        let put = tokio::select! {
            // What is there counts, however long we did not look.
            biased;
            put = put => put,
            error = content.stalls() => return Err(error),
        };
        match put {
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
        let observation = uploads::NewObservation {
            sequence: i64::try_from(upload.sequence).map_err(too_large)?,
            observed_at: upload.observed_at.trunc_subsecs(6),
            clock: upload.clock.map(outcome::Clock::as_str),
        };
        let entered = uploads::enter(&mut *self.db().acquire().await?, &row, &observation).await?;
        let (stored, first) = entered
            .ok_or_else(|| anyhow::anyhow!("an upload is not in the ledger that it was written to"))?;
        if first {
            metrics::counter!("recehub_uploads_total").increment(1);
            metrics::counter!("recehub_upload_bytes_total").increment(upload.size);
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
        // S3 takes 2 KB in all: `MAX_PATH_BYTES` is chosen so that it fits beside the others.
        ("path-sealed", STANDARD.encode(sealed)),
    ];
    metadata.extend(upload.clock.map(|clock| ("clock", clock.as_str().to_owned())));
    metadata
}

/// A body on its way: counted and hashed as it flows, wherever it flows to.
#[derive(Clone)]
struct Content {
    flow: Arc<Mutex<Flow>>,
    /// How long nothing may move.
    silence: Duration,
}

struct Flow {
    body: BoxStream<'static, io::Result<Bytes>>,
    hasher: Sha256,
    size: u64,
    /// The body ended, well or badly.
    ended: bool,
    broken: bool,
    /// It was asked for more and had none.
    waiting: bool,
    /// When something last moved.
    moved: Instant,
}

impl Content {
    fn of(body: impl Stream<Item = io::Result<Bytes>> + Send + 'static, silence: Duration) -> Self {
        let flow = Flow {
            body: body.boxed(),
            hasher: Sha256::new(),
            size: 0,
            ended: false,
            broken: false,
            waiting: false,
            moved: Instant::now(),
        };
        Self { flow: Arc::new(Mutex::new(flow)), silence }
    }

    /// What has not flowed yet.
    fn stream(&self) -> BoxStream<'static, io::Result<Bytes>> {
        let flow = self.flow.clone();
        futures::stream::poll_fn(move |context| {
            let mut flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
            if flow.ended {
                return std::task::Poll::Ready(None);
            }
            let polled = flow.body.poll_next_unpin(context);
            flow.waiting = polled.is_pending();
            if polled.is_ready() {
                flow.moved = Instant::now();
            }
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
        let read = async {
            loop {
                // The SDK may still hold the stream and have been the last to ask for more, and then it
                // is the one that is woken: so ask again every second.
                match tokio::time::timeout(Duration::from_secs(1), rest.next()).await {
                    Ok(None) => return self.fault(upload).map_or(Ok(()), Err),
                    Ok(Some(Ok(_))) if self.size() <= upload.size => {}
                    Ok(Some(_)) => return Err(ApiError::LengthMismatch),
                    Err(_) => {}
                }
            }
        };
        tokio::select! {
            // What is there counts, however long we did not look.
            biased;
            checked = read => checked,
            error = self.stalls() => Err(error),
        }
    }

    /// Resolves when nothing has moved for too long, with who is to blame: the line that the body comes
    /// in by, or the bucket, which takes no more of it or does not say how it went.
    async fn stalls(&self) -> ApiError {
        loop {
            let (waiting, moved) = {
                let flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
                (flow.waiting, flow.moved)
            };
            if moved.elapsed() < self.silence {
                tokio::time::sleep_until(moved + self.silence).await;
            } else if waiting {
                return ApiError::TooSlow;
            } else {
                let cause = anyhow::anyhow!("nothing moved for {:?}", self.silence);
                return ApiError::unavailable("AWS S3", cause);
            }
        }
    }

    fn size(&self) -> u64 {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner).size
    }

    /// What is wrong with what came, as far as it came.
    fn fault(&self, upload: &Announced) -> Option<ApiError> {
        let flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        if flow.broken || flow.size > upload.size || (flow.ended && flow.size != upload.size) {
            return Some(ApiError::LengthMismatch);
        }
        let all = flow.size == upload.size;
        let other = all && flow.hasher.clone().finalize()[..] != upload.sha256.0;
        other.then_some(ApiError::DigestMismatch)
    }
}

#[cfg(test)]
mod tests {
    use device_model::upload::MAX_PATH_BYTES;

    use super::*;
    use crate::fleet::sealing::PathKeys;

    const SHORT: Duration = Duration::from_millis(50);

    fn announced() -> Announced {
        let thing: ThingName = "t".repeat(128).parse().unwrap();
        let (path, sha256) = (vec![0xe3; MAX_PATH_BYTES], ContentHash::of(b"x"));
        Announced {
            upload_id: UploadId::of(&thing, &path, sha256),
            thing,
            path,
            sha256,
            size: 1,
            observed_at: "2026-11-22T00:00:00.123456789Z".parse().unwrap(),
            clock: Some(outcome::Clock::Estimated),
            sequence: 1 << 53,
        }
    }

    #[test]
    fn the_longest_path_fits_into_what_s3_takes() {
        let upload = announced();
        let sealed = PathKeys::derive(&[7; 32]).seal(upload.upload_id, &upload.path).unwrap();

        let metadata = metadata(&upload, &sealed);

        assert!(metadata.iter().any(|(name, _)| *name == "path-sealed"));
        let name = |name: &str| "x-amz-meta-".len() + name.len();
        assert!(metadata.iter().map(|(key, value)| name(key) + value.len()).sum::<usize>() <= 2048);
    }

    #[tokio::test]
    async fn a_line_that_brings_nothing_is_given_up() {
        let content = Content::of(futures::stream::pending(), SHORT);

        let checked = content.check(&announced()).await;

        assert!(matches!(checked, Err(ApiError::TooSlow)));
    }

    #[tokio::test]
    async fn a_bucket_that_says_nothing_is_given_up() {
        let content = Content::of(futures::stream::iter([Ok(Bytes::from_static(b"x"))]), SHORT);
        let mut taken = content.stream();
        while taken.next().await.is_some() {}

        assert!(matches!(content.stalls().await, ApiError::Unavailable { .. }));
    }

    #[tokio::test]
    async fn a_slow_line_is_not_a_silent_one() {
        let drip = futures::stream::unfold(0, async |count| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (count < 10).then(|| (Ok(Bytes::from_static(b"x")), count + 1))
        });
        let content = Content::of(drip, Duration::from_millis(800));

        let checked = content.check(&Announced { size: 10, ..announced() }).await;

        assert!(matches!(checked, Err(ApiError::DigestMismatch)), "it was read to its end");
    }
}
