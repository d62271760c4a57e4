//! A second pair of eyes: a change that was held is let go by somebody who did not ask for it.

use device_model::{change::ChangeState, change_id::ChangeId};

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        audit::Entry,
        change::{Change, Step},
    },
    store::{approvals, audit_entries, things},
};

/// What came of somebody's approval.
#[derive(Debug)]
pub enum Approved {
    Now,
    /// Whoever asked for a change does not approve it.
    Own,
    /// It waits for nobody: it was let go before, or never held, or is closed.
    NotWaiting(Box<Change>),
}

impl Fleet {
    #[tracing::instrument(name = "fleet.approve_change", skip_all, fields(change.id = %id))]
    pub async fn approve_change(&self, id: &ChangeId, by: &Actor) -> Result<Approved, ApiError> {
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let thing = self.story(&mut tx, id).await?.thing;
        things::lock(&mut tx, &thing).await?;
        // Read again under the lock: somebody else may have been faster.
        let change = self.story(&mut tx, id).await?;
        if change.state != ChangeState::Scheduled || !approvals::is_waiting(&mut tx, id).await? {
            return Ok(Approved::NotWaiting(Box::new(change)));
        }
        if change.requested_by == by.name {
            return Ok(Approved::Own);
        }
        approvals::give(&mut tx, id, &by.name, now).await?;
        let mut entry = Entry::new(now, by, "change.approved").of(&thing);
        entry.change_id = Some(id);
        entry.pharmacy = change.pharmacy.as_deref();
        audit_entries::add(&mut tx, &entry).await?;
        self.step(&mut tx, &change, Step::of(ChangeState::Queued, now), by).await?;
        tx.commit().await?;
        self.parts.nudge.notify_one();
        Ok(Approved::Now)
    }

    /// Whether the change waits for somebody's approval.
    pub async fn awaits_approval(&self, change: &Change) -> Result<bool, ApiError> {
        if change.state != ChangeState::Scheduled {
            return Ok(false);
        }
        let mut db = self.db().acquire().await?;
        Ok(approvals::is_waiting(&mut db, &change.change_id).await?)
    }
}
