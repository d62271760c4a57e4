//! What people do about a change that is over: ask for it once more, or go back to what ran before it.

use device_model::{
    change::ChangeState,
    change_id::ChangeId,
    fault::{FaultCode, Faults},
    window::Position,
};
use serde_json::json;
use sqlx::{Acquire, PgConnection};

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        change::{Change, Conditions, Settings},
        changes::with_steps,
    },
    store::{self, things},
};

#[derive(Clone, Copy)]
enum Again {
    Retry,
    Revert,
}

impl Fleet {
    /// Asks once more for what a change asked for that ended without being applied.
    #[tracing::instrument(name = "fleet.retry_change", skip_all, fields(change.id = %id))]
    pub async fn retry_change(
        &self,
        id: &ChangeId,
        by: &Actor,
        reason: Option<&str>,
        when: &Conditions,
    ) -> Result<Change, ApiError> {
        self.again(Again::Retry, id, by, reason, when).await
    }

    /// Asks for what was last applied before a change; an open one is cancelled instead.
    #[tracing::instrument(name = "fleet.revert_change", skip_all, fields(change.id = %id))]
    pub async fn revert_change(
        &self,
        id: &ChangeId,
        by: &Actor,
        reason: Option<&str>,
        when: &Conditions,
    ) -> Result<Change, ApiError> {
        self.again(Again::Revert, id, by, reason, when).await
    }

    async fn again(
        &self,
        what: Again,
        id: &ChangeId,
        by: &Actor,
        reason: Option<&str>,
        when: &Conditions,
    ) -> Result<Change, ApiError> {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        let thing = self.story(db, id).await?.thing;
        things::lock(db, &thing).await?;
        let told = json!([what.as_str(), id, reason]);
        let fingerprint = self.parts.rules.path_keys.fingerprint(told.to_string().as_bytes());
        let key = when.key()?;
        if let Some(row) = self.repeated(db, by, key, &fingerprint).await? {
            return with_steps(db, row).await;
        }
        // Read under the lock: it may have been closed meanwhile.
        let old = self.story(db, id).await?;
        if let Some(open) = store::changes::open_of(db, &thing).await?.pop() {
            return Err(ApiError::ChangeOpen(open.change_id));
        }
        let after = match what {
            Again::Retry if old.state == ChangeState::Applied => {
                return Err(ApiError::NotRetryable(id.clone()));
            }
            Again::Retry => old.after.clone().ok_or_else(|| ApiError::NotRetryable(id.clone()))?,
            Again::Revert => before(db, &old).await?,
        };
        if after.window.as_ref().is_some_and(|window| window.position(now) == Position::Missed) {
            // Without its window it would be applied at any hour.
            let mut faults = Faults::default();
            faults.add("window.notAfter", FaultCode::InThePast);
            return Err(faults.into());
        }
        let runs = self.running(db, &thing).await?;
        let reason = match reason {
            None => format!("{} {id}", what.verb()),
            Some(reason) => format!("{} {id}: {reason}", what.verb()),
        };
        let new = self.new_id();
        let change = store::changes::NewChange {
            id: &new,
            thing: &thing,
            before: runs.as_ref(),
            after: &after,
            requested_by: &by.name,
            reason: &reason,
            code: None,
            ticket: old.ticket.as_deref(),
            replaces: Some(id),
            idempotency: key.map(|key| (key, &fingerprint[..])),
            now,
            not_before: now,
            expires_at: Some(self.expires_at(&after, now)),
            held: false,
        };
        self.write_down(db, &change, by).await?;
        let change = self.story(db, &new).await?;
        tx.commit().await?;
        self.parts.nudge.notify_one();
        Ok(change)
    }

    /// The change that this caller's key made, if it was the same request.
    pub(super) async fn repeated(
        &self,
        db: &mut PgConnection,
        by: &Actor,
        key: Option<&str>,
        fingerprint: &[u8],
    ) -> Result<Option<store::changes::Row>, ApiError> {
        let Some(key) = key else {
            return Ok(None);
        };
        let row = store::changes::by_key(db, &by.name, key).await?;
        match row {
            Some(row) if row.request_hash.as_deref() != Some(fingerprint) => {
                Err(ApiError::IdempotencyKeyReused)
            }
            row => Ok(row),
        }
    }
}

/// What the box was last seen to accept before `old`, else what ran when that was asked for.
async fn before(db: &mut PgConnection, old: &Change) -> Result<Settings, ApiError> {
    let applied = store::changes::last_applied_before(db, &old.thing, old.seq).await?;
    let settings = applied.and_then(|change| change.after).or_else(|| old.before.clone());
    let settings = settings.ok_or_else(|| ApiError::NothingToRevertTo(old.change_id.clone()))?;
    // Its window was for its own night.
    Ok(Settings { window: None, ..settings })
}

impl Again {
    fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Revert => "revert",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Retry => "retries",
            Self::Revert => "reverts",
        }
    }
}
