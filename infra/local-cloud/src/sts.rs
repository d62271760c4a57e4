//! STS: `GetCallerIdentity` and `AssumeRole`, in AWS's XML.
//!
//! `GetCallerIdentity` asks for a valid signature and nothing else: no policy can deny it, as at AWS.

mod assume_role;
mod reply;

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Response, StatusCode, request::Parts};

use crate::{
    keys::Keys,
    sigv4::{self, Verified},
    template::Role,
};
use reply::{Element, StsError};

const VERSION: &str = "2011-06-15";

/// The service: the account's keys, and the roles that may be assumed.
#[derive(Debug, Clone)]
pub struct Sts {
    keys: Keys,
    roles: Vec<Role>,
    region: String,
}

impl Sts {
    pub fn new(keys: Keys, roles: Vec<Role>, region: &str) -> Self {
        Self { keys, roles, region: region.to_owned() }
    }

    /// Answers one request whose body (at most a few KB) was read.
    pub fn call(&self, parts: &Parts, body: &[u8], now: DateTime<Utc>) -> Response<Bytes> {
        match self.answer(parts, body, now) {
            Ok((action, result)) => reply::result(&action, &result),
            Err(error) => reply::error(&error),
        }
    }

    fn answer(
        &self,
        parts: &Parts,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(String, Vec<Element>), StsError> {
        let caller = sigv4::verify(parts, Some(body), &self.keys, &self.region, now)?;
        if caller.service != "sts" {
            return Err(StsError::scope());
        }
        let form = Form::read(parts, body);
        let action = form.get("Action").unwrap_or_default().to_owned();
        if form.get("Version").is_some_and(|version| version != VERSION) || action.is_empty() {
            return Err(StsError::unknown_action(&action));
        }
        let result = match action.as_str() {
            "GetCallerIdentity" => caller_identity(&caller),
            "AssumeRole" => assume_role::assume(&self.keys, &self.roles, &caller, &form, now)?,
            _ => return Err(StsError::unknown_action(&action)),
        };
        Ok((action, result))
    }
}

fn caller_identity(caller: &Verified) -> Vec<Element> {
    vec![
        Element::text("Arn", &caller.principal.arn),
        Element::text("UserId", &caller.principal.user_id),
        Element::text("Account", &caller.principal.account_id),
    ]
}

/// The parameters, from the body of a POST or the query of a GET.
struct Form(BTreeMap<String, String>);

impl Form {
    fn read(parts: &Parts, body: &[u8]) -> Self {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let pairs = url::form_urlencoded::parse(query).chain(url::form_urlencoded::parse(body));
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn need(&self, name: &str) -> Result<&str, StsError> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            StsError::validation(&format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                name[..1].to_ascii_lowercase() + &name[1..]
            ))
        })
    }
}

impl From<sigv4::SigV4Error> for StsError {
    fn from(error: sigv4::SigV4Error) -> Self {
        Self { status: error.status(), code: error.code(), message: error.to_string() }
    }
}

impl StsError {
    fn scope() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: "SignatureDoesNotMatch",
            message: "Credential should be scoped to correct service: 'sts'. ".to_owned(),
        }
    }

    fn unknown_action(action: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "InvalidAction",
            message: format!("Could not find operation {action} for version {VERSION}"),
        }
    }

    fn validation(message: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "ValidationError", message: message.to_owned() }
    }
}
