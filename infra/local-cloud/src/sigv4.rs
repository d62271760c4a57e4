//! Verifies AWS Signature Version 4, in the header and presigned.
//!
//! The request is judged as it came over the wire: the raw path, the raw query and the Host header with its port.

mod canonical;
mod error;
mod signed;

use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, Mac as _};
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::keys::{Keys, Principal};
pub use error::SigV4Error;
use signed::Signed;

/// Who signed a request, and for what.
#[derive(Debug, Clone)]
pub struct Verified {
    pub principal: Principal,
    pub access_key_id: String,
    pub service: String,
}

/// Verifies the request's signature, which must be for `region`. `body` is None when `x-amz-content-sha256` stands
/// for it.
pub fn verify(
    parts: &Parts,
    body: Option<&[u8]>,
    keys: &Keys,
    region: &str,
    now: DateTime<Utc>,
) -> Result<Verified, SigV4Error> {
    let signed = Signed::read(parts)?;
    if signed.region != region {
        let text = format!("Credential should be scoped to a valid region, not '{}'. ", signed.region);
        return Err(SigV4Error::SignatureDoesNotMatch(text));
    }
    signed.check_time(now, skew(&signed.service))?;
    let key = keys.find(&signed.access_key_id, now).ok_or(SigV4Error::InvalidClientTokenId)?;
    let same_token = match (&key.session_token, &signed.session_token) {
        (None, None) => true,
        (Some(known), Some(given)) => bool::from(known.as_bytes().ct_eq(given.as_bytes())),
        _ => false,
    };
    if !same_token {
        return Err(SigV4Error::InvalidClientTokenId);
    }
    let payload = payload_hash(parts, body, &signed)?;
    let request = canonical::request(parts, &signed, &payload)?;
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{}\n{}",
        signed.date,
        signed.scope(),
        hex::encode(Sha256::digest(request.as_bytes()))
    );
    let expected = hex::encode(hmac(&signing_key(&key.secret_access_key, &signed), &text));
    if !bool::from(expected.as_bytes().ct_eq(signed.signature.as_bytes())) {
        return Err(SigV4Error::SignatureDoesNotMatch(MISMATCH.to_owned()));
    }
    if key.expiration.is_some_and(|expiration| expiration <= now) {
        return Err(SigV4Error::ExpiredToken);
    }
    Ok(Verified { principal: key.principal, access_key_id: signed.access_key_id, service: signed.service })
}

/// The service a request is signed for, unverified: from the Authorization header or the presigned query.
pub fn scope_service(parts: &Parts) -> Option<String> {
    signed::credential(parts)?.split('/').nth_back(1).map(str::to_owned)
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
                        AWS Secret Access Key and signing method. Consult the service documentation for details.";

/// S3 lets clocks differ by 15 minutes, the others by 5.
fn skew(service: &str) -> Duration {
    Duration::minutes(if service == "s3" { 15 } else { 5 })
}

/// The last line of the canonical request. A body that was read must be the one that was signed.
fn payload_hash(parts: &Parts, body: Option<&[u8]>, signed: &Signed) -> Result<String, SigV4Error> {
    let claimed = parts.headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok());
    match (body, claimed) {
        (_, None) if signed.presigned && signed.service == "s3" => Ok("UNSIGNED-PAYLOAD".to_owned()),
        (None, None) => Err(SigV4Error::Incomplete("x-amz-content-sha256 is missing".to_owned())),
        (None, Some(claimed)) => Ok(claimed.to_owned()),
        (Some(_), Some(claimed)) if claimed == "UNSIGNED-PAYLOAD" && signed.service == "s3" => {
            Ok(claimed.to_owned())
        }
        (Some(body), claimed) => {
            let actual = hex::encode(Sha256::digest(body));
            if claimed.is_some_and(|claimed| !claimed.eq_ignore_ascii_case(&actual)) {
                return Err(SigV4Error::SignatureDoesNotMatch(MISMATCH.to_owned()));
            }
            Ok(actual)
        }
    }
}

fn signing_key(secret: &str, signed: &Signed) -> Vec<u8> {
    let date = hmac(format!("AWS4{secret}").as_bytes(), &signed.scope_date);
    let region = hmac(&date, &signed.region);
    let service = hmac(&region, &signed.service);
    hmac(&service, "aws4_request")
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
