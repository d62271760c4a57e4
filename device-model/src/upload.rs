//! What an upload is called, and the receipt for it.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::thing_name::ThingName;

/// `x-recehub-path`: base64url without padding of the raw path bytes, relative to the share's root.
pub const PATH_HEADER: &str = "x-recehub-path";
/// `x-recehub-observed-at`: when the box saw the file, RFC 3339 UTC.
pub const OBSERVED_AT_HEADER: &str = "x-recehub-observed-at";
/// `x-recehub-clock`: how far that time can be trusted, `synced` or `estimated`. May be left out.
pub const CLOCK_HEADER: &str = "x-recehub-clock";
/// `x-recehub-sequence`: the box's own count of observations; the highest of a path is current.
pub const SEQUENCE_HEADER: &str = "x-recehub-sequence";
/// `content-digest` (RFC 9530): `sha-256=:…:`.
pub const DIGEST_HEADER: &str = "content-digest";
/// A longer path would not fit, sealed, into an object's metadata, of which S3 takes 2 KB. Windows'
/// longest path, 260 characters, has 780 bytes at most.
pub const MAX_PATH_BYTES: usize = 1200;

/// The sha256 of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{64}$"))]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(pub [u8; 32]);

/// Names one content at one path of one thing, so that sending it twice is one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{64}$"))]
#[serde(try_from = "String", into = "String")]
pub struct UploadId([u8; 32]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hexadecimal digits")]
pub struct NotAHash;

/// The cloud's word that a prescription is durable. The box drops its copy only if all of it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    pub upload_id: UploadId,
    pub thing: ThingName,
    pub sha256: ContentHash,
    pub size: u64,
    /// The object's version in S3.
    pub version_id: String,
    pub received_at: DateTime<Utc>,
}

impl UploadId {
    /// `sha256` over thing, path and content hash, each with its length before it (u32, big-endian).
    pub fn of(thing: &ThingName, path: &[u8], content: ContentHash) -> Self {
        let mut hasher = Sha256::new();
        for part in [thing.as_str().as_bytes(), path, &content.0] {
            // A part is a name, a path or a hash: PATH_MAX is far below 4 GiB.
            hasher.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    pub fn object_key(&self, thing: &ThingName) -> String {
        format!("rx/{thing}/{self}")
    }
}

impl ContentHash {
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The value of `Content-Digest`, e.g. `sha-256=:47DEQ…=:`.
    pub fn to_digest_header(self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.0))
    }

    /// Reads the sha-256 out of a `Content-Digest`, which may list other algorithms as well.
    pub fn from_digest_header(text: &str) -> Option<Self> {
        let member = text.split(',').map(str::trim).find_map(|member| member.strip_prefix("sha-256=:"))?;
        let bytes = STANDARD.decode(member.strip_suffix(':')?).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// True if these bytes name a file below the share's root: a relative path in its shortest form.
pub fn is_share_path(path: &[u8]) -> bool {
    let part = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    path.len() <= MAX_PATH_BYTES && path.split(|&byte| byte == b'/').all(part)
}

fn parse_hex(text: &str) -> Result<[u8; 32], NotAHash> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let bytes = hex::decode(text).ok().filter(|_| lower);
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(NotAHash)
}

macro_rules! hexadecimal {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = NotAHash;

            fn from_str(text: &str) -> Result<Self, NotAHash> {
                parse_hex(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAHash;

            fn try_from(text: String) -> Result<Self, NotAHash> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }
    )* };
}

hexadecimal!(UploadId, ContentHash);

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that other clients are written against. Computed with Python's hashlib and struct.
    #[test]
    fn an_upload_is_called_as_the_contract_says() {
        let thing = "tenpo-0001".parse().unwrap();
        let path = "処方/テスト.csv".as_bytes();
        let content = ContentHash::of("R7,テスト\r\n".as_bytes());

        assert_eq!(content.to_string(), "a84e8bd941230767b5891c15d283bd600d3fef13776c19f022e784e8ef0389a8");
        assert_eq!(
            UploadId::of(&thing, path, content).to_string(),
            "660dc68d47321978f5ac3579fa1da717af44f01b5d83de015f7953b39540628a"
        );
    }

    #[test]
    fn the_lengths_keep_neighbours_apart() {
        let content = ContentHash::of(b"");
        let id = |thing: &str, path: &[u8]| UploadId::of(&thing.parse().unwrap(), path, content);

        assert_ne!(id("a", b"bc"), id("ab", b"c"));
    }

    #[test]
    fn only_a_relative_path_in_its_shortest_form_is_a_path() {
        let longest = [b'a'; MAX_PATH_BYTES];
        for path in [b"a.csv".as_slice(), b"a/b/..c", b".hidden", b"\x8f\x88 x/y", &longest] {
            assert!(is_share_path(path), "{path:?}");
        }
        let longer = [b'a'; MAX_PATH_BYTES + 1];
        for path in
            [b"".as_slice(), b"/a", b"a/", b"a//b", b".", b"a/./b", b"../a", b"a/..", b"a\0b", &longer]
        {
            assert!(!is_share_path(path), "{path:?}");
        }
    }

    #[test]
    fn a_digest_is_found_among_others() {
        let hash = ContentHash::of(b"x");
        let header = format!("sha-512=:AAAA:, {}", hash.to_digest_header());

        assert_eq!(ContentHash::from_digest_header(&header), Some(hash));
        assert_eq!(ContentHash::from_digest_header("sha-256=AAAA"), None);
        assert_eq!(ContentHash::from_digest_header("sha-256=:AAAA:"), None);
    }

    #[test]
    fn only_lower_case_hex_is_an_id() {
        assert!("AB".repeat(32).parse::<UploadId>().is_err());
        assert!("ab".repeat(31).parse::<UploadId>().is_err());
        assert!("ab".repeat(32).parse::<UploadId>().is_ok());
    }
}
