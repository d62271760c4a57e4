//! What is kept of an object beside its bytes.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use s3s::dto::{ChecksumType, ETag, Timestamp};
use serde::{Deserialize, Serialize};

use crate::template::Bucket;

/// One version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub struct Version {
    /// Grows with each write: the highest of a key is its current version.
    pub seq: i64,
    pub key: String,
    pub id: String,
    pub modified: DateTime<Utc>,
    /// None is a delete marker.
    pub object: Option<Object>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Object {
    /// The name of the file that holds the bytes.
    pub content: String,
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    pub meta: Meta,
}

/// The headers that come back as they were put.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meta {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_disposition: Option<String>,
    pub content_language: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<Timestamp>,
    pub website_redirect_location: Option<String>,
    pub storage_class: Option<String>,
    pub user: HashMap<String, String>,
    pub encryption: Option<Encryption>,
    pub retention: Option<Retention>,
    pub legal_hold: bool,
    /// By algorithm, in base64.
    pub checksums: BTreeMap<Algorithm, String>,
    /// Of a multipart upload, when the checksums are those of the parts' checksums.
    pub composite: bool,
    pub parts: Option<i32>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Encryption {
    pub algorithm: String,
    pub kms_key: Option<String>,
    pub bucket_key: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub mode: String,
    pub until: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// The length of a sum, in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl Meta {
    pub fn checksum(&self, algorithm: Algorithm) -> Option<String> {
        self.checksums.get(&algorithm).cloned()
    }

    pub fn checksum_type(&self) -> Option<ChecksumType> {
        let of = if self.composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
        (!self.checksums.is_empty()).then(|| ChecksumType::from_static(of))
    }

    /// True while the version may not be deleted; `bypass` lifts the GOVERNANCE mode.
    pub fn is_locked(&self, now: DateTime<Utc>, bypass: bool) -> bool {
        let retained =
            |retention: &Retention| retention.until > now && !(bypass && retention.mode == "GOVERNANCE");
        self.legal_hold || self.retention.as_ref().is_some_and(retained)
    }
}

impl Encryption {
    /// What the request asks for, or else the bucket's default.
    pub fn chosen(
        algorithm: Option<String>,
        kms_key: Option<String>,
        bucket_key: Option<bool>,
        bucket: &Bucket,
    ) -> Self {
        match algorithm {
            Some(algorithm) => Self { algorithm, kms_key, bucket_key },
            None => Self {
                algorithm: bucket.encryption.clone().unwrap_or_else(|| "AES256".to_owned()),
                kms_key: bucket.kms_key.clone(),
                bucket_key: bucket.bucket_key.then_some(true),
            },
        }
    }
}

impl Object {
    pub fn e_tag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }
}

pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from(std::time::SystemTime::from(at))
}

pub fn date(at: &Timestamp) -> Option<DateTime<Utc>> {
    let text = serde_json::to_value(at).ok()?;
    DateTime::parse_from_rfc3339(text.as_str()?).ok().map(|date| date.to_utc())
}
