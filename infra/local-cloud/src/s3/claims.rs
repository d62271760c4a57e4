//! What a client says of the bytes it sends, and whether it is true.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderMap;
use s3s::{S3Result, s3_error};

use super::meta::Algorithm;

#[derive(Default)]
pub struct Claims {
    pub length: Option<i64>,
    pub md5: Option<String>,
    pub checksums: BTreeMap<Algorithm, String>,
    /// Algorithms asked for without a sum in the headers: it comes in the trailer, or is only to be kept.
    pub wanted: BTreeSet<Algorithm>,
}

impl Claims {
    /// What the headers and the named trailers of a request announce.
    pub fn read(headers: &HeaderMap, length: Option<i64>, md5: Option<String>) -> S3Result<Self> {
        let checksums: BTreeMap<Algorithm, String> = sums_in(headers).collect();
        for (algorithm, sum) in &checksums {
            let bytes = BASE64_STANDARD.decode(sum).map(|bytes| bytes.len());
            if bytes != Ok(algorithm.length()) {
                return Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", algorithm.header()));
            }
        }
        if md5.as_ref().is_some_and(|md5| BASE64_STANDARD.decode(md5).map(|bytes| bytes.len()) != Ok(16)) {
            return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."));
        }
        let trailer = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let asked = ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"]
            .iter()
            .filter_map(|name| headers.get(*name)?.to_str().ok());
        let wanted = asked
            .chain(trailer.split(',').filter_map(|name| name.trim().strip_prefix("x-amz-checksum-")))
            .filter_map(Algorithm::named)
            .collect();
        Ok(Self { length, md5, checksums, wanted })
    }

    /// Whether the client claims anything by which a broken body would be noticed.
    pub fn has_any(&self) -> bool {
        self.md5.is_some() || !self.checksums.is_empty() || !self.wanted.is_empty()
    }

    /// Holds the claims against what was received.
    pub fn check(&self, md5: &[u8; 16], checksums: &BTreeMap<Algorithm, String>) -> S3Result<()> {
        if self.md5.as_ref().is_some_and(|claimed| *claimed != BASE64_STANDARD.encode(md5)) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        for (algorithm, claimed) in &self.checksums {
            if checksums.get(algorithm) != Some(claimed) {
                return Err(s3_error!(
                    BadDigest,
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.name()
                ));
            }
        }
        Ok(())
    }
}

/// The sums that stand in headers or trailers.
pub fn sums_in(headers: &HeaderMap) -> impl Iterator<Item = (Algorithm, String)> {
    Algorithm::ALL
        .into_iter()
        .filter_map(|algorithm| Some((algorithm, headers.get(algorithm.header())?.to_str().ok()?.to_owned())))
}
