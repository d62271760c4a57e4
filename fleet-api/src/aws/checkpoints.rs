//! Where checkpoints of the audit log lie: in the bucket, each under a lock that nobody can lift before its time.

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime as Time,
    types::{ObjectLockMode, ServerSideEncryption},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

const FOLDER: &str = "audit/checkpoints/";
/// A checkpoint has some 300 bytes.
const MAX_BYTES: i64 = 16 * 1024;

#[async_trait]
pub trait Checkpoints: Send + Sync + 'static {
    /// Puts the checkpoint of `seq` under a lock until then. False: there is one already.
    async fn put(&self, seq: i64, content: Vec<u8>, until: DateTime<Utc>) -> anyhow::Result<bool>;

    async fn get(&self, seq: i64) -> anyhow::Result<Option<Vec<u8>>>;

    /// Which checkpoints there are after `seq`, in their order.
    async fn after(&self, seq: i64) -> anyhow::Result<Vec<i64>>;
}

pub struct S3Checkpoints {
    pub client: Client,
    pub bucket: String,
}

/// With all digits a number can have, so that a list comes in the numbers' order.
fn key(seq: i64) -> String {
    format!("{FOLDER}{seq:020}.json")
}

fn seq(key: &str) -> Option<i64> {
    key.strip_prefix(FOLDER)?.strip_suffix(".json")?.parse().ok()
}

#[async_trait]
impl Checkpoints for S3Checkpoints {
    #[tracing::instrument(name = "aws.s3.put_checkpoint", skip_all)]
    async fn put(&self, seq: i64, content: Vec<u8>, until: DateTime<Utc>) -> anyhow::Result<bool> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key(seq))
            .if_none_match("*")
            .content_type("application/json")
            .checksum_sha256(STANDARD.encode(Sha256::digest(&content)))
            // Not with the prescriptions' key: whoever verifies the log must not need the right to decrypt those.
            .server_side_encryption(ServerSideEncryption::Aes256)
            .object_lock_mode(ObjectLockMode::Compliance)
            .object_lock_retain_until_date(Time::from_secs(until.timestamp()))
            .body(content.into());
        match put.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().code() == Some("PreconditionFailed") => {
                Ok(false)
            }
            Err(error) => Err(anyhow::Error::from(error).context("PutObject of a checkpoint")),
        }
    }

    async fn get(&self, seq: i64) -> anyhow::Result<Option<Vec<u8>>> {
        let got = self.client.get_object().bucket(&self.bucket).key(key(seq)).send().await;
        match got {
            Ok(object) => {
                let size = object.content_length.unwrap_or(i64::MAX);
                anyhow::ensure!(size <= MAX_BYTES, "the checkpoint of row {seq} has {size} bytes");
                Ok(Some(object.body.collect().await?.to_vec()))
            }
            Err(SdkError::ServiceError(error)) if error.err().code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(anyhow::Error::from(error).context("GetObject of a checkpoint")),
        }
    }

    async fn after(&self, start: i64) -> anyhow::Result<Vec<i64>> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(FOLDER).start_after(key(start));
        let mut pages = list.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| anyhow::Error::from(error).context("ListObjectsV2"))?;
            found.extend(page.contents().iter().filter_map(|object| seq(object.key()?)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_numbers() {
        let seqs = [1, 9, 10, 99, 1_000_000, i64::MAX];
        let keys = seqs.map(key);

        assert!(keys.is_sorted());
        assert_eq!(keys.each_ref().map(|key| seq(key)), seqs.map(Some));
        assert_eq!(seq("audit/checkpoints/x.json"), None);
    }
}
