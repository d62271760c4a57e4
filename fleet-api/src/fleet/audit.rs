//! What the audit log is told: one entry an act, in the act's own transaction. [`chain`] gives each its place
//! a moment later, [`checkpoint`] signs how far the log is, and [`verify`] says whether it still is so.

pub mod chain;
pub mod checkpoint;
pub mod export;
pub mod hash;
pub mod keeping;
pub mod keys;
pub mod merkle;
pub mod restored;
pub mod seal;
pub mod verify;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use device_model::{change_id::ChangeId, thing_name::ThingName};
use serde_json::Value;

use crate::{
    aws::checkpoints::Checkpoints,
    error::ApiError,
    fleet::{Fleet, actor::Actor},
    store::audit_entries,
};

/// What the log stands on beside the database.
#[derive(Clone)]
pub struct Audit {
    pub keys: keys::Keys,
    pub checkpoints: Arc<dyn Checkpoints>,
    pub checkpoint_every: TimeDelta,
    /// How long rows are kept, of the log and of the ledger.
    pub retention: TimeDelta,
}

pub struct Entry<'a> {
    pub at: DateTime<Utc>,
    pub by: &'a Actor,
    /// `change.queued`, `device.registered`, …
    pub action: &'a str,
    pub thing: Option<&'a ThingName>,
    /// The pharmacy's code; none: the one where the thing stands now.
    pub pharmacy: Option<&'a str>,
    /// No secret, sealed or not, and no path.
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<&'a str>,
    pub ticket: Option<&'a str>,
    pub change_id: Option<&'a ChangeId>,
}

impl<'a> Entry<'a> {
    pub fn new(at: DateTime<Utc>, by: &'a Actor, action: &'a str) -> Self {
        Self {
            at,
            by,
            action,
            thing: None,
            pharmacy: None,
            before: None,
            after: None,
            reason: None,
            ticket: None,
            change_id: None,
        }
    }

    #[must_use]
    pub fn of(self, thing: &'a ThingName) -> Self {
        Self { thing: Some(thing), ..self }
    }
}

impl Fleet {
    /// Up to `limit` entries with a place, and up to `limit` that have none yet.
    pub async fn audit(
        &self,
        thing: Option<&str>,
        change_id: Option<&str>,
        after: audit_entries::After,
        limit: i64,
    ) -> Result<Vec<audit_entries::Row>, ApiError> {
        let mut db = self.db().acquire().await?;
        Ok(audit_entries::list(&mut db, thing, change_id, after, limit).await?)
    }

    /// Gives places to the entries that have none yet; answers how many that were.
    pub async fn chain_audit(&self, chainer: &mut chain::Chainer) -> anyhow::Result<usize> {
        chainer.pass(self.db(), &self.parts.audit, self.clock()).await
    }

    pub async fn verify_audit(&self) -> Result<verify::Report, ApiError> {
        let mut db = self.db().acquire().await?;
        let report = verify::verify(&self.parts.audit, &mut db).await;
        report.map_err(|error| ApiError::unavailable("the audit log's verification", error))
    }

    /// Notes that somebody looked at what is known of prescriptions; whoever cannot be noted sees nothing.
    pub async fn note_reading(
        &self,
        by: &Actor,
        action: &str,
        thing: Option<&ThingName>,
        what: Value,
    ) -> Result<(), ApiError> {
        let mut entry = Entry { thing, ..Entry::new(self.clock().now(), by, action) };
        entry.after = Some(what);
        let mut db = self.db().acquire().await?;
        audit_entries::add(&mut db, &entry).await?;
        Ok(())
    }
}
