//! What a request says about its signature: the Authorization header, or the query of a presigned URL.

use chrono::{DateTime, Duration, NaiveDateTime, Utc};
use http::request::Parts;

use super::{SigV4Error, canonical::decode};

/// The longest a presigned URL may live.
const WEEK: i64 = 604_800;

#[derive(Debug, Clone)]
pub struct Signed {
    pub access_key_id: String,
    pub scope_date: String,
    pub region: String,
    pub service: String,
    /// Lower case, in the order given (which the canonical request repeats).
    pub headers: Vec<String>,
    pub signature: String,
    /// `20261122T133000Z`
    pub date: String,
    pub session_token: Option<String>,
    pub presigned: bool,
    /// Of a presigned URL.
    expires: Option<Duration>,
}

impl Signed {
    pub fn read(parts: &Parts) -> Result<Self, SigV4Error> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(authorization) = header("authorization") {
            let rest = authorization
                .strip_prefix("AWS4-HMAC-SHA256")
                .ok_or_else(|| incomplete("the algorithm must be AWS4-HMAC-SHA256"))?;
            let field = |name: &str| {
                rest.split(',')
                    .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                    .map(str::to_owned)
                    .ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
            };
            let date = header("x-amz-date").ok_or_else(|| {
                incomplete(
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
                )
            })?;
            return Self::new(
                &field("Credential")?,
                &field("SignedHeaders")?,
                field("Signature")?,
                date.to_owned(),
                header("x-amz-security-token").map(str::to_owned),
                None,
            );
        }
        if query(parts, "X-Amz-Signature").is_none() {
            return Err(SigV4Error::Missing);
        }
        let field = |name: &str| {
            query(parts, name)
                .ok_or_else(|| incomplete(&format!("the query requires the '{name}' parameter.")))
        };
        if field("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
            return Err(incomplete("the algorithm must be AWS4-HMAC-SHA256"));
        }
        let expires = field("X-Amz-Expires")?
            .parse::<i64>()
            .ok()
            .filter(|seconds| (1..=WEEK).contains(seconds))
            .ok_or_else(|| incomplete("X-Amz-Expires must be between 1 and 604800 seconds"))?;
        Self::new(
            &field("X-Amz-Credential")?,
            &field("X-Amz-SignedHeaders")?,
            field("X-Amz-Signature")?,
            field("X-Amz-Date")?,
            query(parts, "X-Amz-Security-Token"),
            Some(Duration::seconds(expires)),
        )
    }

    fn new(
        credential: &str,
        headers: &str,
        signature: String,
        date: String,
        session_token: Option<String>,
        expires: Option<Duration>,
    ) -> Result<Self, SigV4Error> {
        let [access_key_id, scope_date, region, service, "aws4_request"] =
            credential.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(incomplete("Credential must have exactly 5 slash-delimited elements"));
        };
        let headers: Vec<String> = headers.split(';').map(str::to_ascii_lowercase).collect();
        if !headers.iter().any(|name| name == "host") {
            let text = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
            return Err(SigV4Error::SignatureDoesNotMatch(text.to_owned()));
        }
        if date.get(..8) != Some(scope_date) {
            return Err(SigV4Error::SignatureDoesNotMatch(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
                    .to_owned(),
            ));
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            scope_date: scope_date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            headers,
            signature,
            date,
            session_token,
            presigned: expires.is_some(),
            expires,
        })
    }

    pub fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.scope_date, self.region, self.service)
    }

    pub fn check_time(&self, now: DateTime<Utc>, skew: Duration) -> Result<(), SigV4Error> {
        const FORM: &str = "%Y%m%dT%H%M%SZ";
        let date = NaiveDateTime::parse_from_str(&self.date, FORM)
            .map_err(|_| incomplete("Date must be in ISO-8601 'basic format'"))?
            .and_utc();
        let minutes = skew.num_minutes();
        let (clock, earliest, latest) = (now.format(FORM), now - self.expires.unwrap_or(skew), now + skew);
        let text = if date < earliest {
            format!(
                "Signature expired: {} is now earlier than {} ({clock} - {minutes} min.)",
                self.date,
                earliest.format(FORM)
            )
        } else if date > latest {
            format!(
                "Signature not yet current: {} is still later than {} ({clock} + {minutes} min.)",
                self.date,
                latest.format(FORM)
            )
        } else {
            return Ok(());
        };
        Err(SigV4Error::SignatureDoesNotMatch(text))
    }
}

/// The Credential, wherever it stands.
pub fn credential(parts: &Parts) -> Option<String> {
    match parts.headers.get("authorization").and_then(|value| value.to_str().ok()) {
        Some(authorization) => {
            let rest = authorization.split_once("Credential=")?.1;
            Some(rest.split([',', ' ']).next()?.to_owned())
        }
        None => query(parts, "X-Amz-Credential"),
    }
}

fn query(parts: &Parts, name: &str) -> Option<String> {
    parts
        .uri
        .query()?
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| String::from_utf8_lossy(&decode(value)).into_owned())
}

fn incomplete(text: &str) -> SigV4Error {
    SigV4Error::Incomplete(text.to_owned())
}
