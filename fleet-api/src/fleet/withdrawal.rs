//! Taking changes back: because somebody wants to, because a newer one came, or because a box stayed
//! away for too long. What a box may have is closed by the box's word alone.

use chrono::{DateTime, TimeDelta, Utc};
use device_model::{change::ChangeState, change_id::ChangeId, outcome::code, window::Window};
use sqlx::{Acquire, PgConnection};

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        audit::Entry,
        change::{Change, Settings, Step, Withdrawing},
    },
    store::{self, audit_entries, things},
};

/// What a passed time is written down as.
const WAITED: &str = "the box did not take it up in time";

impl Fleet {
    /// Takes a change back: at once if no box can have it yet, else by the box's verdict.
    #[tracing::instrument(name = "fleet.cancel_change", skip_all, fields(change.id = %id))]
    pub async fn cancel_change(
        &self,
        id: &ChangeId,
        by: &Actor,
        reason: Option<&str>,
    ) -> Result<Change, ApiError> {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        let change = self.locked(db, id).await?;
        if change.state.is_terminal() {
            return Err(ApiError::ChangeClosed(id.clone()));
        }
        self.take_back(db, &change, Withdrawing::Cancel, by, reason, now).await?;
        let change = self.story(db, id).await?;
        tx.commit().await?;
        self.parts.nudge.notify_one();
        Ok(change)
    }

    /// Takes back the changes whose time has passed; one that cannot be stops no other.
    pub async fn expire(&self) -> Result<(), ApiError> {
        let now = self.clock().now();
        let mut db = self.db().acquire().await?;
        let late = store::changes::waiting::expired(&mut db, now).await?;
        drop(db);
        for id in late {
            if let Err(error) = self.expire_one(&id, now).await {
                tracing::warn!(change.id = %id, error = %error, "could not take back what waited for too long");
            }
        }
        Ok(())
    }

    async fn expire_one(&self, id: &ChangeId, now: DateTime<Utc>) -> Result<(), ApiError> {
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        let change = self.locked(db, id).await?;
        // A verdict may have been faster.
        if !change.state.is_terminal() {
            self.take_back(db, &change, Withdrawing::Expire, &Actor::system(), Some(WAITED), now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// From when on a change that nobody took up is taken back: its time begins when its window does.
    pub(super) fn expires_at(&self, after: &Settings, now: DateTime<Utc>) -> DateTime<Utc> {
        let begins = after.window.as_ref().and_then(Window::not_before);
        let lifetime = TimeDelta::from_std(self.parts.rules.change_lifetime).unwrap_or(TimeDelta::MAX);
        let begins = begins.map_or(now, |begins| begins.max(now));
        begins.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The change as it stands, with its thing's lock held: a verdict may have come just now.
    async fn locked(&self, db: &mut PgConnection, id: &ChangeId) -> Result<Change, ApiError> {
        let thing = self.story(db, id).await?.thing;
        things::lock(db, &thing).await?;
        self.story(db, id).await
    }

    async fn take_back(
        &self,
        db: &mut PgConnection,
        change: &Change,
        why: Withdrawing,
        by: &Actor,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        if change.withdrawing.is_some() {
            return Ok(());
        }
        self.withdraw(db, change, why, by, reason, now).await?;
        // The box may have what is being taken back: unless something newer waits already, it has to
        // be given what ran before.
        let open = store::changes::open_of(db, &change.thing).await?;
        if !open.is_empty() && open.iter().all(|open| open.withdrawing.is_some()) {
            // A box that never said what it runs has nothing to go back to: the dispatcher empties
            // its shadow, or asks for it once the box has spoken.
            self.restore(db, change, reason, now).await?;
        }
        Ok(())
    }

    /// A change that no box can have is over at once; any other waits for the box's word.
    pub(super) async fn withdraw(
        &self,
        db: &mut PgConnection,
        change: &Change,
        why: Withdrawing,
        by: &Actor,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        if matches!(change.state, ChangeState::Queued | ChangeState::Scheduled) && !change.handed_over {
            let mut step = Step { detail: reason.map(str::to_owned), ..Step::of(why.ends_as(), now) };
            step.code = (why == Withdrawing::Expire).then(|| code::NOT_TAKEN_UP.to_owned());
            self.step(db, change, step, by).await?;
            return Ok(());
        }
        store::changes::withdraw(db, &change.change_id, why).await?;
        let action = format!("change.withdrawing.{}", why.as_str());
        let mut entry = Entry::new(now, by, &action).of(&change.thing);
        entry.change_id = Some(&change.change_id);
        entry.pharmacy = change.pharmacy.as_deref();
        entry.reason = reason;
        audit_entries::add(db, &entry).await?;
        Ok(())
    }

    /// Asks for what ran before `change`, as a change of its own; false: nobody knows what ran.
    pub(super) async fn restore(
        &self,
        db: &mut PgConnection,
        change: &Change,
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<bool, ApiError> {
        let Some(running) = self.running(db, &change.thing).await? else {
            return Ok(false);
        };
        let reason = reason.map_or_else(
            || format!("takes back {}", change.change_id),
            |reason| format!("takes back {}: {reason}", change.change_id),
        );
        let id = self.new_id();
        let restoring = store::changes::NewChange {
            id: &id,
            thing: &change.thing,
            before: Some(&running),
            after: &running,
            requested_by: "system",
            reason: &reason,
            code: None,
            ticket: change.ticket.as_deref(),
            replaces: Some(&change.change_id),
            idempotency: None,
            now,
            not_before: now,
            // What undoes something must not be undone in its turn for having waited.
            expires_at: None,
            held: false,
        };
        self.write_down(db, &restoring, &Actor::system()).await?;
        Ok(true)
    }
}
