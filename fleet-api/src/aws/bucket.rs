//! The bucket of prescriptions. We may put what is not there yet and list versions; we may not read.

use std::{
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use aws_smithy_types::body::SdkBody;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use device_model::upload::ContentHash;
use futures::{Stream, StreamExt, stream::BoxStream};
use http_body_util::StreamBody;

pub type Content = BoxStream<'static, std::io::Result<Bytes>>;

/// An object that is to be put.
pub struct NewObject {
    pub key: String,
    pub size: u64,
    pub sha256: ContentHash,
    pub metadata: Vec<(&'static str, String)>,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    Stored {
        version_id: String,
    },
    /// The key was taken: an object with this key has this very content.
    Present,
    /// The content was not what the checksum said; nothing is stored.
    Mismatch,
    /// Somebody else is putting the same key: try again.
    Busy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub version_id: String,
    pub size: u64,
}

#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// Streams the object in, unless the key is taken.
    async fn put_new(&self, object: NewObject) -> anyhow::Result<Put>;

    /// The newest version under exactly this key.
    async fn version(&self, key: &str) -> anyhow::Result<Option<Version>>;

    async fn ready(&self) -> anyhow::Result<()>;
}

pub struct S3Bucket {
    pub client: Client,
    pub name: String,
}

#[async_trait]
impl Bucket for S3Bucket {
    #[tracing::instrument(name = "aws.s3.put", skip_all)]
    async fn put_new(&self, object: NewObject) -> anyhow::Result<Put> {
        let frames = object.content.map(|chunk| chunk.map(hyper::body::Frame::data));
        let body = SdkBody::from_body_1_x(StreamBody::new(Shared(Mutex::new(frames))));
        let mut put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(object.key)
            .if_none_match("*")
            .content_length(i64::try_from(object.size)?)
            .checksum_sha256(STANDARD.encode(object.sha256.0))
            .body(ByteStream::new(body));
        for (name, value) in object.metadata {
            put = put.metadata(name, value);
        }
        match put.send().await {
            Ok(answer) => {
                let version_id = answer.version_id.unwrap_or_else(|| "null".to_owned());
                Ok(Put::Stored { version_id })
            }
            Err(SdkError::ServiceError(error)) => match error.err().code() {
                Some("PreconditionFailed") => Ok(Put::Present),
                Some("ConditionalRequestConflict") => Ok(Put::Busy),
                Some(
                    "BadDigest"
                    | "XAmzContentChecksumMismatch"
                    | "XAmzContentSHA256Mismatch"
                    | "InvalidDigest"
                    | "IncompleteBody",
                ) => Ok(Put::Mismatch),
                _ => Err(anyhow::Error::from(error.into_err()).context("PutObject")),
            },
            Err(error) => Err(anyhow::Error::from(error).context("PutObject")),
        }
    }

    #[tracing::instrument(name = "aws.s3.version", skip_all)]
    async fn version(&self, key: &str) -> anyhow::Result<Option<Version>> {
        let list = self.client.list_object_versions().bucket(&self.name).prefix(key);
        let answer =
            list.send().await.map_err(|error| anyhow::Error::from(error).context("ListObjectVersions"))?;
        let mut versions = answer.versions.unwrap_or_default();
        versions.retain(|version| version.key.as_deref() == Some(key));
        versions.sort_by_key(|version| version.is_latest != Some(true));
        Ok(versions.into_iter().next().map(|version| Version {
            version_id: version.version_id.unwrap_or_else(|| "null".to_owned()),
            size: version.size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
        }))
    }

    async fn ready(&self) -> anyhow::Result<()> {
        // Under `rx/` is what the role may list; a key that cannot exist keeps the answer small.
        let list = self.client.list_object_versions().bucket(&self.name).prefix("rx/-ready");
        list.max_keys(1).send().await?;
        Ok(())
    }
}

/// The SDK wants a body that is `Sync`; a stream that is polled by one at a time is, behind a lock
/// that is never taken.
struct Shared<S>(Mutex<S>);

impl<S: Stream + Unpin> Stream for Shared<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        match self.0.get_mut() {
            Ok(stream) => stream.poll_next_unpin(context),
            Err(_) => Poll::Ready(None),
        }
    }
}
