//! A wish in a box's shadow that is not ours: somebody else wrote there. It is written down, an alarm is
//! raised, and what the box shall have is asked for anew, under a name of its own, for the box may have
//! taken the foreign wish in hand already.

use chrono::{DateTime, TimeDelta, Utc};
use device_model::{
    outcome::code,
    shadow::{Desired, MAX_SIDE_BYTES},
    thing_name::ThingName,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::{
    aws::shadows::Shadow,
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        audit::Entry,
        change::{Change, Settings, Withdrawing},
        dispatch::desired_of,
    },
    store::{self, audit_entries, things},
};

/// Whoever writes there again and again is not raced.
const WRITE_BACK_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Judges the desired side of the shadow as it was read, under the thing's lock.
pub(super) async fn judge(
    fleet: &Fleet,
    db: &mut PgConnection,
    thing: &ThingName,
    shadow: &Shadow,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let last = store::changes::last_handed_over(db, thing).await?;
    match is_ours(shadow, last.as_ref())? {
        None => Ok(()),
        Some(true) => Ok(things::clear_foreign_desired(db, thing).await?),
        Some(false) => {
            let digest = Sha256::digest(shadow.desired.to_string());
            let before = things::foreign_desired_at(db, thing).await?;
            if !things::set_foreign_desired(db, thing, &digest, now).await? {
                return Ok(());
            }
            record(db, thing, shadow, last.as_ref(), now).await?;
            let not_before = before.map_or(now, |before| now.max(before + WRITE_BACK_AFTER));
            write_back(fleet, db, thing, now, not_before).await
        }
    }
}

/// `None`: what we wrote last may still be on its way.
fn is_ours(shadow: &Shadow, last: Option<&Change>) -> Result<Option<bool>, ApiError> {
    let is_empty = shadow.desired == json!({});
    let Some(last) = last else {
        return Ok(Some(is_empty));
    };
    let is_open = !last.state.is_terminal();
    if is_open && last.shadow_version.is_none_or(|version| version > shadow.version) {
        return Ok(None);
    }
    // What was taken back before the box ever spoke is taken out of the shadow as well.
    if is_empty && (!is_open || last.withdrawing.is_some()) {
        return Ok(Some(true));
    }
    // By meaning: a replica of another version may write a field more, or none.
    let found: Option<Desired> = serde_json::from_value(shadow.desired.clone()).ok();
    let ours = desired_of(last)?;
    Ok(Some(found.is_some_and(|found| found == ours)))
}

async fn record(
    db: &mut PgConnection,
    thing: &ThingName,
    shadow: &Shadow,
    last: Option<&Change>,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    tracing::error!(
        thing.name = %thing,
        shadow.version = shadow.version,
        "DESIRED_FOREIGN: somebody else wrote into the shadow of `{thing}`"
    );
    let by = Actor::system();
    let mut entry = Entry::new(now, &by, "shadow.desired_foreign").of(thing);
    entry.change_id = last.map(|last| &last.change_id);
    entry.before = last.and_then(|last| last.after.clone()).map(|after| json!(after.without_secrets()));
    entry.after = Some(shown(&shadow.desired));
    entry.reason = Some(code::DESIRED_FOREIGN);
    audit_entries::add(db, &entry).await?;
    Ok(())
}

/// As far as it can be read: nobody knows what else somebody put there, a password perhaps.
fn shown(desired: &Value) -> Value {
    let size = desired.to_string().len();
    let settings =
        serde_json::from_value::<Settings>(desired.clone()).ok().filter(|_| size <= MAX_SIDE_BYTES);
    let change = desired["changeId"].as_str().map(|id| id.chars().take(64).collect::<String>());
    json!({"changeId": change, "sizeBytes": size, "settings": settings.map(Settings::without_secrets)})
}

/// Asks for what the box shall have: what is open, else what it last applied, else what it runs.
async fn write_back(
    fleet: &Fleet,
    db: &mut PgConnection,
    thing: &ThingName,
    now: DateTime<Utc>,
    not_before: DateTime<Utc>,
) -> Result<(), ApiError> {
    let open = store::changes::open_of(db, thing).await?;
    let wanted = open.iter().rfind(|change| change.withdrawing.is_none());
    if wanted.is_some_and(|wanted| !wanted.handed_over) {
        // It is about to be written anyway.
        return Ok(());
    }
    let applied = store::changes::last_applied(db, thing).await?;
    let running = fleet.running(db, thing).await?;
    let after =
        wanted.or(applied.as_ref()).and_then(|change| change.after.clone()).or_else(|| running.clone());
    let Some(after) = after else {
        // Nobody has asked for anything and the box has not said a word: the dispatcher takes it out.
        return Ok(());
    };
    if let Some(wanted) = wanted {
        let reason = Some(code::DESIRED_FOREIGN);
        fleet.withdraw(db, wanted, Withdrawing::Supersede, &Actor::system(), reason, now).await?;
    }
    let id = fleet.new_id();
    let change = store::changes::NewChange {
        id: &id,
        thing,
        before: running.as_ref(),
        after: &after,
        requested_by: "system",
        reason: "somebody else wrote into the shadow of this box",
        code: Some(code::DESIRED_FOREIGN),
        ticket: wanted.and_then(|wanted| wanted.ticket.as_deref()),
        replaces: wanted.map(|wanted| &wanted.change_id),
        idempotency: None,
        now,
        not_before,
        expires_at: None,
        held: false,
    };
    fleet.write_down(db, &change, &Actor::system()).await
}
