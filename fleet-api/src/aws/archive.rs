//! The bucket as the restore role sees it: which prescriptions there are, and what their metadata says. Never
//! their content, which that role could not decrypt.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use chrono::{DateTime, Utc};

/// A prescription that lies in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    pub version_id: String,
    pub size: i64,
    pub stored_at: DateTime<Utc>,
}

/// Where the next page begins: key and version.
pub type Marker = (Option<String>, Option<String>);

#[async_trait]
pub trait Archive: Send + Sync {
    /// A page of what lies below `rx/`, the newest version of each, and where the next one begins.
    async fn page(&self, from: Option<Marker>) -> anyhow::Result<(Vec<Object>, Option<Marker>)>;

    async fn metadata(&self, object: &Object) -> anyhow::Result<HashMap<String, String>>;
}

pub struct S3Archive {
    pub client: Client,
    pub bucket: String,
}

#[async_trait]
impl Archive for S3Archive {
    async fn page(&self, from: Option<Marker>) -> anyhow::Result<(Vec<Object>, Option<Marker>)> {
        let (key, version) = from.unwrap_or_default();
        let list = self.client.list_object_versions().bucket(&self.bucket).prefix("rx/");
        let list = list.set_key_marker(key).set_version_id_marker(version);
        let page =
            list.send().await.map_err(|error| anyhow::Error::from(error).context("ListObjectVersions"))?;
        let mut objects = Vec::new();
        for version in page.versions.unwrap_or_default() {
            // One that a delete marker hides is gone.
            if version.is_latest != Some(true) {
                continue;
            }
            let stored_at = version.last_modified.and_then(|at| DateTime::from_timestamp(at.secs(), 0));
            let (Some(key), Some(size), Some(stored_at)) = (version.key, version.size, stored_at) else {
                anyhow::bail!("S3 lists a version without key, size or time");
            };
            let version_id = version.version_id.unwrap_or_else(|| "null".to_owned());
            objects.push(Object { key, version_id, size, stored_at });
        }
        let next = (page.is_truncated == Some(true))
            .then_some((page.next_key_marker, page.next_version_id_marker))
            .filter(|(key, _)| key.is_some());
        Ok((objects, next))
    }

    async fn metadata(&self, object: &Object) -> anyhow::Result<HashMap<String, String>> {
        // With its version, for the role may read versions only; without checksums, which would have S3 decrypt.
        let head = self.client.head_object().bucket(&self.bucket).key(&object.key);
        let head = head.version_id(&object.version_id).send().await;
        let head = head.map_err(|error| anyhow::Error::from(error).context("HeadObject"))?;
        Ok(head.metadata.unwrap_or_default())
    }
}
