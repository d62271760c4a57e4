//! A change from a wish to a row, and the steps of its story.

use std::slice;

use chrono::{DateTime, Utc};
use device_model::{change::ChangeState, change_id::ChangeId, thing_name::ThingName};
use serde_json::{Value, json};
use sqlx::{Acquire, PgConnection};

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        audit::Entry,
        change::{Change, Conditions, Preview, Settings, Step, Wish, Withdrawing},
    },
    store::{self, audit_entries, devices, sights, steps, things},
};

impl Fleet {
    /// Judges a wish and writes it down. The box has it later; the change says when.
    #[tracing::instrument(name = "fleet.change_lan", skip_all, fields(thing.name = %thing))]
    pub async fn change_lan(
        &self,
        thing: &ThingName,
        wish: Wish,
        by: &Actor,
        when: &Conditions,
    ) -> Result<Change, ApiError> {
        let now = self.clock().now();
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        if !things::lock(db, thing).await? {
            return Err(ApiError::UnknownThing(thing.clone()));
        }
        let fingerprint = self.fingerprint(thing, &wish);
        let key = when.key()?;
        if let Some(row) = self.repeated(db, by, key, &fingerprint).await? {
            return with_steps(db, row).await;
        }
        let (reason, ticket, held) = (wish.reason.trim().to_owned(), wish.ticket.clone(), wish.held);
        let Weighed { before, after, open } = self.weigh(db, thing, wish, when, now).await?;
        let newest = open.last().map(|change| change.change_id.clone());
        for change in &open {
            self.withdraw(db, change, Withdrawing::Supersede, by, None, now).await?;
        }
        let id = self.new_id();
        let change = store::changes::NewChange {
            id: &id,
            thing,
            before: before.as_ref(),
            after: &after,
            requested_by: &by.name,
            reason: &reason,
            code: None,
            ticket: ticket.as_deref(),
            replaces: newest.as_ref(),
            idempotency: key.map(|key| (key, &fingerprint[..])),
            now,
            not_before: now,
            expires_at: Some(self.expires_at(&after, now)),
            held,
        };
        self.write_down(db, &change, by).await?;
        if held {
            store::approvals::want(db, &id, now).await?;
        }
        let change = self.story(db, &id).await?;
        tx.commit().await?;
        self.parts.nudge.notify_one();
        tracing::info!(thing.name = %thing, change.id = %id, "LAN change asked for on `{thing}`");
        Ok(change)
    }

    /// What would become of a wish: refused as it would be, or what it would change. Writes nothing.
    #[tracing::instrument(name = "fleet.preview_lan", skip_all, fields(thing.name = %thing))]
    pub async fn preview_lan(
        &self,
        thing: &ThingName,
        wish: Wish,
        when: &Conditions,
    ) -> Result<Preview, ApiError> {
        let mut db = self.db().acquire().await?;
        let weighed = self.weigh(&mut db, thing, wish, when, self.clock().now()).await?;
        Ok(Preview {
            before: weighed.before,
            after: weighed.after,
            replaces: weighed.open.last().map(|change| change.change_id.clone()),
        })
    }

    /// Everything that is asked before a wish is written down.
    async fn weigh(
        &self,
        db: &mut PgConnection,
        thing: &ThingName,
        wish: Wish,
        when: &Conditions,
        now: DateTime<Utc>,
    ) -> Result<Weighed, ApiError> {
        // First of all whether there is such a thing.
        let lan = self.lan_of(db, thing).await?;
        let supersede = wish.supersede;
        let after = self.judge(db, thing, wish, now).await?;
        if let Some(wanted) = &when.if_match
            && !etag_matches(wanted, &etag(&lan))
        {
            return Err(ApiError::EtagMismatch);
        }
        let open = store::changes::open_of(db, thing).await?;
        if let Some(newest) = open.last()
            && !supersede
        {
            return Err(ApiError::ChangeOpen(newest.change_id.clone()));
        }
        let before = self.running(db, thing).await?;
        Ok(Weighed { before, after, open })
    }

    pub async fn change(&self, id: &ChangeId) -> Result<Change, ApiError> {
        let mut db = self.db().acquire().await?;
        self.story(&mut db, id).await
    }

    /// Newest first, with their timelines.
    pub async fn changes(&self, filter: &store::changes::Filter) -> Result<Vec<Change>, ApiError> {
        let mut db = self.db().acquire().await?;
        let mut changes = store::changes::list(&mut db, filter).await?;
        steps::load(&mut db, &mut changes).await?;
        Ok(changes)
    }

    /// The thing's settings as wished and as reported, with their `ETag`.
    pub async fn lan(&self, thing: &ThingName) -> Result<(Value, String), ApiError> {
        let mut db = self.db().acquire().await?;
        let lan = self.lan_of(&mut db, thing).await?;
        let etag = etag(&lan);
        Ok((lan, etag))
    }

    /// Takes a change one step on, with its audit entry. False: it is closed, or was there before.
    pub(crate) async fn step(
        &self,
        db: &mut PgConnection,
        change: &Change,
        step: Step,
        by: &Actor,
    ) -> Result<bool, ApiError> {
        if !store::changes::set_state(db, &change.change_id, step.state, step.at).await? {
            return Ok(false);
        }
        if !steps::add(db, &change.change_id, &step).await? {
            return Ok(false);
        }
        let action = format!("change.{}", step.state);
        let mut entry = Entry::new(step.at, by, &action).of(&change.thing);
        entry.change_id = Some(&change.change_id);
        entry.pharmacy = change.pharmacy.as_deref();
        entry.reason = step.detail.as_deref().or(step.code.as_deref());
        entry.after = Some(json!({"state": step.state, "code": step.code,
            "deviceAt": step.device_at, "clock": step.clock}));
        audit_entries::add(db, &entry).await?;
        metrics::counter!("recehub_change_steps_total", "state" => step.state.as_str()).increment(1);
        tracing::info!(thing.name = %change.thing, change.id = %change.change_id, "LAN change is {}", step.state);
        Ok(true)
    }

    pub(crate) fn new_id(&self) -> ChangeId {
        let id = ulid::Ulid::from_datetime(self.clock().now().into());
        #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
        id.to_string().parse().expect("a ULID is a change id")
    }

    pub(crate) async fn story(&self, db: &mut PgConnection, id: &ChangeId) -> Result<Change, ApiError> {
        match store::changes::find(db, id).await? {
            Some(row) => with_steps(db, row).await,
            None => Err(ApiError::UnknownChange),
        }
    }

    pub(super) async fn write_down(
        &self,
        db: &mut PgConnection,
        change: &store::changes::NewChange<'_>,
        by: &Actor,
    ) -> Result<(), ApiError> {
        store::changes::add(db, change).await.map_err(|error| match store::constraint(&error) {
            // Used for another thing at the same moment.
            Some("lan_changes_idempotency_unique") => ApiError::IdempotencyKeyReused,
            _ => error.into(),
        })?;
        let code = change.code.map(str::to_owned);
        let state = if change.held { ChangeState::Scheduled } else { ChangeState::Queued };
        steps::add(db, change.id, &Step { code, ..Step::of(state, change.now) }).await?;
        let action = format!("change.{state}");
        let shown = |settings: &Settings| json!(settings.clone().without_secrets());
        let mut entry = Entry::new(change.now, by, &action).of(change.thing);
        entry.change_id = Some(change.id);
        entry.before = change.before.map(shown);
        entry.after = Some(shown(change.after));
        entry.reason = Some(change.reason);
        entry.ticket = change.ticket;
        audit_entries::add(db, &entry).await?;
        Ok(())
    }

    /// What runs on the box as far as anybody knows: what it reports, else what it last applied.
    pub(super) async fn running(
        &self,
        db: &mut PgConnection,
        thing: &ThingName,
    ) -> Result<Option<Settings>, ApiError> {
        let applied = store::changes::last_applied(db, thing).await?.and_then(|change| change.after);
        let reported = things::reported(db, thing).await?;
        Ok(match (reported, applied) {
            (Some(reported), applied) => Some(Settings {
                lan: reported.lan,
                // The sealed password is ours; a box need not report it.
                share: applied.and_then(|applied| applied.share).or(reported.share),
                probe: reported.probe,
                window: None,
            }),
            (None, Some(applied)) => Some(Settings { window: None, ..applied }),
            (None, None) => None,
        })
    }

    async fn lan_of(&self, db: &mut PgConnection, thing: &ThingName) -> Result<Value, ApiError> {
        let device = devices::find(db, thing, self.clock().now()).await?;
        let device = device.ok_or_else(|| ApiError::UnknownThing(thing.clone()))?;
        let wished = store::changes::open_of(db, thing).await?.pop();
        let wished = match wished {
            Some(open) => Some(open),
            None => store::changes::last_applied(db, thing).await?,
        };
        let desired = match wished {
            Some(change) => {
                let mut desired = json!(change.asked_for()?.clone().without_secrets());
                desired["schema"] = json!(device_model::shadow::SCHEMA);
                desired["changeId"] = json!(change.change_id);
                desired
            }
            None => Value::Null,
        };
        Ok(json!({"desired": desired, "reported": device.reported, "openChange": device.open_change}))
    }
}

/// A wish that may be written down.
struct Weighed {
    before: Option<Settings>,
    after: Settings,
    /// What it takes the place of, oldest first.
    open: Vec<Change>,
}

pub(super) async fn with_steps(db: &mut PgConnection, row: store::changes::Row) -> Result<Change, ApiError> {
    let mut change = row.into_change()?;
    steps::load(db, slice::from_mut(&mut change)).await?;
    change.sight = sights::of(db, &change.change_id).await?;
    Ok(change)
}

/// Of all that is shown.
pub(super) fn etag(shown: &Value) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(shown.to_string());
    format!("\"{}\"", hex::encode(&hash[..16]))
}

pub(super) fn etag_matches(wanted: &str, etag: &str) -> bool {
    let mut listed = wanted.split(',').map(str::trim);
    listed.any(|one| one == "*" || one == etag)
}
