//! What a box runs beside what it was last asked to run. A change that somebody made on site is told, not
//! fought; and a change that was applied is not over before the receipt computer has found the box.

use chrono::{DateTime, Utc};
use device_model::{
    change::ChangeState,
    shadow::{self, Reported},
    share::ShareSettings,
    thing_name::ThingName,
};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    error::ApiError,
    fleet::{
        actor::Actor,
        audit::Entry,
        change::{Settings, Sight},
    },
    store::{self, audit_entries, sights, things},
};

/// Says since when the box has run something else than it last applied, and when that is over.
pub(super) async fn judge(
    db: &mut PgConnection,
    thing: &ThingName,
    reported: &Reported,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let Some(applied) = store::changes::last_applied(db, thing).await? else {
        // Nobody has ever asked for anything: whatever it runs is right.
        return Ok(());
    };
    let asked = applied.asked_for()?;
    let drifts = is_another(asked, reported);
    if !things::set_drift(db, thing, drifts, now).await? {
        return Ok(());
    }
    let by = Actor::thing(thing.as_str(), None);
    let action = if drifts { "device.drifted" } else { "device.drift_ended" };
    let mut entry = Entry::new(now, &by, action).of(thing);
    entry.change_id = Some(&applied.change_id);
    entry.before = Some(json!(asked.clone().without_secrets()));
    let runs = Settings {
        lan: reported.lan.clone(),
        share: reported.share.clone(),
        probe: reported.probe,
        window: None,
    };
    entry.after = Some(json!(runs.without_secrets()));
    audit_entries::add(db, &entry).await?;
    if drifts {
        tracing::warn!(thing.name = %thing, "`{thing}` runs other settings than it was asked to");
    } else {
        tracing::info!(thing.name = %thing, "`{thing}` runs again what it was asked to");
    }
    Ok(())
}

/// Takes in whether the receipt computer has found the box since its last change.
pub(super) async fn see(
    db: &mut PgConnection,
    thing: &ThingName,
    seen: &shadow::ReceiptComputer,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let Some(row) = store::changes::find(db, &seen.change_id).await? else {
        return Ok(());
    };
    let change = row.into_change()?;
    if change.thing != *thing || change.state != ChangeState::Applied {
        return Ok(());
    }
    let sight = match seen.sight {
        shadow::Sight::Unconfirmed => Sight::Unconfirmed,
        shadow::Sight::Confirmed { at, clock } => Sight::Confirmed { at: now, device_at: at, clock },
    };
    if !sights::set(db, &change.change_id, &sight).await? || sight == Sight::Unconfirmed {
        return Ok(());
    }
    let by = Actor::thing(thing.as_str(), None);
    let mut entry = Entry::new(now, &by, "change.receipt_computer_confirmed").of(thing);
    entry.change_id = Some(&change.change_id);
    entry.pharmacy = change.pharmacy.as_deref();
    audit_entries::add(db, &entry).await?;
    tracing::info!(thing.name = %thing, change.id = %change.change_id, "the receipt computer has found `{thing}`");
    Ok(())
}

/// The password is not compared: a box need not report it.
fn is_another(applied: &Settings, reported: &Reported) -> bool {
    let names = |share: &ShareSettings| (share.name.clone(), share.user.clone(), share.workgroup.clone());
    let shares = applied.share.as_ref().zip(reported.share.as_ref());
    applied.lan != reported.lan || shares.is_some_and(|(asked, runs)| names(asked) != names(runs))
}
