//! Who may do what: the session token, the signed headers, then identity policies and the bucket policy together.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use s3s::{
    S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    path::S3Path,
    s3_error,
};
use subtle::ConstantTimeEq as _;

use super::{Now, actions};
use crate::{
    keys::{Keys, Principal},
    policy::{self, Context, Decision, Document, Request},
    template::Bucket,
};

#[derive(Clone)]
pub struct Access {
    keys: Keys,
    bucket_policies: BTreeMap<String, Document>,
    now: Now,
}

/// Who asks; travels with the request to the operations that ask further questions.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Principal,
    context: Context,
}

impl Access {
    pub fn new(keys: Keys, buckets: &[Bucket], now: Now) -> anyhow::Result<Self> {
        let mut bucket_policies = BTreeMap::new();
        for bucket in buckets {
            if let Some(policy) = &bucket.policy {
                bucket_policies.insert(bucket.name.clone(), Document::from_value(policy)?);
            }
        }
        Ok(Self { keys, bucket_policies, now })
    }

    /// Refuses what the caller's policies and the bucket's do not allow.
    pub fn check_action(
        &self,
        caller: &Caller,
        action: &str,
        bucket: &str,
        key: Option<&str>,
    ) -> S3Result<()> {
        let resource = match key {
            _ if bucket.is_empty() => "arn:aws:s3:::*".to_owned(),
            Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
            None => format!("arn:aws:s3:::{bucket}"),
        };
        let documents = caller.principal.policies.iter().chain(self.bucket_policies.get(bucket));
        let request = Request { action, resource: &resource, context: &caller.context };
        let why = match policy::evaluate(documents, &request) {
            Decision::Allow => return Ok(()),
            Decision::ImplicitDeny if caller.principal.admin => return Ok(()),
            Decision::ImplicitDeny => "because no identity-based policy allows the action",
            Decision::ExplicitDeny => "with an explicit deny",
        };
        let arn = &caller.principal.arn;
        Err(s3_error!(
            AccessDenied,
            "User: {arn} is not authorized to perform: {action} on resource: \"{resource}\" {why}"
        ))
    }

    /// The one who signed, once the signature itself was found good.
    fn caller(&self, cx: &S3AccessContext<'_>) -> S3Result<Caller> {
        let Some(credentials) = cx.credentials() else {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        };
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(cx.uri().query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let header = |name: &str| cx.headers().get(name).and_then(|value| value.to_str().ok());
        let signed_headers = match header("authorization") {
            Some(authorization) => authorization
                .strip_prefix("AWS4-HMAC-SHA256")
                .and_then(|rest| rest.split_once("SignedHeaders=")?.1.split(',').next()),
            None => query.get("X-Amz-SignedHeaders").map(String::as_str),
        };
        let Some(signed_headers) = signed_headers else {
            return Err(s3_error!(
                InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
            ));
        };
        all_signed(cx.headers(), signed_headers)?;

        let now = (self.now)();
        let key = self.keys.find(&credentials.access_key, now).ok_or(S3ErrorCode::InvalidAccessKeyId)?;
        let given = header("x-amz-security-token").or(query.get("X-Amz-Security-Token").map(String::as_str));
        let same_token = match (&key.session_token, given) {
            (None, None) => true,
            (Some(known), Some(given)) => bool::from(known.as_bytes().ct_eq(given.as_bytes())),
            _ => false,
        };
        if !same_token {
            return Err(s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid."));
        }
        if key.expiration.is_some_and(|expiration| expiration <= now) {
            return Err(s3_error!(ExpiredToken, "The provided token has expired."));
        }
        // This endpoint is on the loopback interface: it counts as secure transport, or a bucket policy that asks
        // for TLS could not be tested on a laptop.
        let mut context = key.principal.request_context(now, true);
        actions::describe(&mut context, cx.s3_op().name(), cx.headers(), &query, now);
        Ok(Caller { principal: key.principal, context })
    }
}

#[async_trait::async_trait]
impl S3Auth for Access {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.keys.find(access_key, (self.now)()) {
            Some(key) => Ok(key.secret_access_key.into()),
            None => Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let caller = self.caller(cx)?;
        let (bucket, key) = match cx.s3_path() {
            S3Path::Root => ("", None),
            S3Path::Bucket { bucket } => (&**bucket, None),
            S3Path::Object { bucket, key } => (&**bucket, Some(&**key)),
        };
        for action in actions::of(cx.s3_op().name(), cx.uri(), cx.headers()) {
            self.check_action(&caller, &action, bucket, key)?;
        }
        cx.extensions_mut().insert(caller);
        Ok(())
    }
}

/// S3 takes no header of its own that the signature does not cover.
fn all_signed(headers: &HeaderMap, signed: &str) -> S3Result<()> {
    let signed: Vec<&str> = signed.split(';').map(str::trim).collect();
    let of_s3 = |name: &str| name.starts_with("x-amz-") && name != "x-amz-content-sha256";
    let loose = headers.keys().any(|name| of_s3(name.as_str()) && !signed.contains(&name.as_str()));
    if loose || !signed.contains(&"host") {
        let mut error =
            s3_error!(AccessDenied, "There were headers present in the request which were not signed");
        error.set_status_code(StatusCode::FORBIDDEN);
        return Err(error);
    }
    Ok(())
}
