//! The access keys of the account: long-lived ones given at the start, and temporary ones issued for a role.
//! Issued keys outlive a restart of the process, as they would at AWS.

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Utc};

use crate::policy::Document;

/// Who signs, and what their identity allows them.
#[derive(Debug, Clone)]
pub struct Principal {
    pub arn: String,
    pub account_id: String,
    pub user_id: String,
    pub policies: Vec<Document>,
    /// What policies may ask about: `aws:...` keys and those of the session (`credentials-iot:ThingName`).
    pub context: BTreeMap<String, String>,
    /// May do everything, whatever the policies say.
    pub admin: bool,
}

/// A role as sessions need it.
#[derive(Debug, Clone)]
pub struct RoleRef {
    pub arn: String,
    pub name: String,
    pub policies: Vec<Document>,
}

/// A key that was found. An expired one is found too, so that its bearer can be told so.
#[derive(Debug, Clone)]
pub struct Key {
    pub secret_access_key: String,
    pub session_token: Option<String>,
    pub expiration: Option<DateTime<Utc>>,
    pub principal: Principal,
}

/// Temporary credentials, as handed to the caller.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expiration: DateTime<Utc>,
}

/// All keys of the account. Clones share them.
#[derive(Debug, Clone)]
pub struct Keys {}

impl Keys {
    /// Opens the keys kept in `state_dir`.
    pub fn open(_state_dir: &Path, _account_id: &str) -> anyhow::Result<Self> {
        Ok(Self {})
    }

    pub fn add_long_lived(&self, _id: &str, _secret: &str, _principal: Principal) {}

    /// Makes a role's policies known, so that sessions issued before a restart have them.
    pub fn add_role(&self, _role: RoleRef) {}

    pub fn find(&self, _access_key_id: &str, _now: DateTime<Utc>) -> Option<Key> {
        None
    }

    /// Issues temporary credentials for a session of `role`.
    pub fn issue(
        &self,
        _role: &RoleRef,
        _session_name: &str,
        _duration: chrono::Duration,
        _context: BTreeMap<String, String>,
        _now: DateTime<Utc>,
    ) -> anyhow::Result<Credentials> {
        anyhow::bail!("not written yet")
    }
}
