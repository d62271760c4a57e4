//! What the audit log is told: one entry an act, in the act's own transaction.

use chrono::{DateTime, Utc};
use device_model::{change_id::ChangeId, thing_name::ThingName};
use serde_json::Value;

use crate::{
    error::ApiError,
    fleet::{Fleet, actor::Actor},
    store::audit_entries,
};

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
    /// Entries after `after`, oldest first, so that an earlier page never changes.
    pub async fn audit(
        &self,
        thing: Option<&str>,
        change_id: Option<&str>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<audit_entries::Row>, ApiError> {
        let mut db = self.db().acquire().await?;
        Ok(audit_entries::list(&mut db, thing, change_id, after, limit).await?)
    }
}
