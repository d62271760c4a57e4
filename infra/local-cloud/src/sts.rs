//! STS: GetCallerIdentity and AssumeRole, in AWS's XML.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Response, StatusCode, request::Parts};

use crate::{keys::Keys, template::Role};

/// The service: the account's keys, and the roles that may be assumed.
#[derive(Debug, Clone)]
pub struct Sts {
    _keys: Keys,
    _roles: Vec<Role>,
}

impl Sts {
    pub fn new(keys: Keys, roles: Vec<Role>) -> Self {
        Self {
            _keys: keys,
            _roles: roles,
        }
    }

    /// Answers one request whose body (at most a few KB) was read.
    pub fn call(&self, _parts: &Parts, _body: &[u8], _now: DateTime<Utc>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        response
    }
}
