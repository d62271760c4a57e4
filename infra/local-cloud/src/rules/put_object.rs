//! The rules' S3 action: puts an object as the action's role, signed, through S3's own door, so its policies hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use http::Request;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::service::S3Service;
use sha2::{Digest as _, Sha256};

use crate::credentials::KnownRole;
use crate::keys::{Credentials, Keys, RoleRef};

const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
const HOST: &str = "localhost";
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Clones share the roles' credentials.
#[derive(Clone)]
pub struct Objects {
    s3: S3Service,
    keys: Keys,
    region: String,
    roles: Arc<Vec<KnownRole>>,
    held: Arc<Mutex<HashMap<String, Credentials>>>,
}

impl Objects {
    pub fn new(s3: S3Service, keys: Keys, region: &str, roles: Vec<KnownRole>) -> Self {
        Self { s3, keys, region: region.to_owned(), roles: Arc::new(roles), held: Arc::default() }
    }

    pub async fn put(
        &self,
        role: &str,
        bucket: &str,
        key: &str,
        body: Bytes,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let credentials = self.credentials(role, now)?;
        let path = format!("/{bucket}/{}", utf8_percent_encode(key, PATH));
        let request = sign(&credentials, &self.region, &path, body, now)?;
        let answer =
            self.s3.call(request.map(s3s::Body::from)).await.map_err(|error| format!("S3: {error:?}"))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("S3 answered {}", answer.status())) }
    }

    /// The role that an action names, if the rules engine may take it on.
    pub fn role(&self, arn: &str) -> Result<&RoleRef, String> {
        let known = self.roles.iter().find(|it| it.role.arn == arn && it.trusts("iot.amazonaws.com"));
        Ok(&known.ok_or("the action's role does not trust iot.amazonaws.com")?.role)
    }

    fn credentials(&self, role: &str, now: DateTime<Utc>) -> Result<Credentials, String> {
        let mut held = self.held.lock();
        if let Some(credentials) = held.get(role).filter(|it| it.expiration > now + TimeDelta::minutes(5)) {
            return Ok(credentials.clone());
        }
        let known = self.role(role)?;
        let issued = self.keys.issue(known, "rules-engine", TimeDelta::hours(1), BTreeMap::new(), now);
        let issued = issued.map_err(|error| format!("{error:#}"))?;
        held.insert(role.to_owned(), issued.clone());
        Ok(issued)
    }
}

fn sign(
    credentials: &Credentials,
    region: &str,
    path: &str,
    body: Bytes,
    now: DateTime<Utc>,
) -> Result<Request<Bytes>, String> {
    let (date, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
    let content = hex::encode(Sha256::digest(&body));
    let token = &credentials.session_token;
    let canonical = format!(
        "PUT\n{path}\n\nhost:{HOST}\nx-amz-content-sha256:{content}\nx-amz-date:{time}\nx-amz-security-token:{token}\n\n{SIGNED}\n{content}"
    );
    let scope = format!("{date}/{region}/s3/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let secret = format!("AWS4{}", credentials.secret_access_key).into_bytes();
    let key = [date.as_str(), region, "s3", "aws4_request"].iter().fold(secret, |key, part| hmac(&key, part));
    let signature = hex::encode(hmac(&key, &to_sign));
    let id = &credentials.access_key_id;
    Request::put(path)
        .header("host", HOST)
        .header("content-length", body.len())
        .header("x-amz-content-sha256", content)
        .header("x-amz-date", time)
        .header("x-amz-security-token", token)
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={SIGNED}, Signature={signature}"
            ),
        )
        .body(body)
        .map_err(|error| error.to_string())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!());
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
