//! A change that stands in a box's shadow and that the database does not know: lost with a database that was
//! restored, or never ours. Its story is written down as far as it can be told; the box is asked for nothing.

use chrono::{DateTime, TimeDelta, Utc};
use device_model::{
    change::ChangeState,
    change_id::ChangeId,
    outcome::VerdictKind,
    shadow::{Desired, Reported},
    thing_name::ThingName,
};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    aws::shadows::Shadow,
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        audit::{Entry, restored},
        change::{Change, Settings, Step, Withdrawing},
        collect, dispatch,
    },
    store::{self, audit_entries, changes::recovery, steps},
};

const CODE: &str = "RECOVERED";
const LOST: &str = "read from the box's shadow: the database that knew of it was lost";
const NOT_OURS: &str = "read from the box's shadow: nobody here has asked for it";
/// So long before the last row that is left of the audit log a change may be asked for and yet be lost.
const SLACK: TimeDelta = TimeDelta::minutes(1);

/// A change that is about to be written down.
struct Found<'a> {
    id: &'a ChangeId,
    /// None: it is not ours. Else when it was asked for, as its id tells.
    lost: Option<DateTime<Utc>>,
    /// None: nobody can tell what it asked for.
    after: Option<Settings>,
}

/// Writes down what the shadow tells of changes that the database does not know, under the thing's lock. False:
/// the database may just have been restored and nobody has said so yet; whose wish stands there is not to be judged.
pub(super) async fn take_in(
    fleet: &Fleet,
    db: &mut PgConnection,
    thing: &ThingName,
    shadow: &Shadow,
    reported: Option<&Reported>,
    now: DateTime<Utc>,
) -> Result<bool, ApiError> {
    let desired: Option<Desired> = serde_json::from_value(shadow.desired.clone()).ok();
    let verdicts = reported.map_or(&[][..], |reported| &reported.verdicts);
    let named = verdicts.iter().map(|verdict| &verdict.change_id);
    let named = named.chain(desired.as_ref().map(|desired| &desired.change_id));
    // Who goes back on the spot names that himself; it is no change of ours, and counts as drift.
    let named = named.filter(|id| !id.as_str().starts_with("local-"));
    let named: Vec<String> = named.map(ToString::to_string).collect();
    let unknown = recovery::unknown(db, &named).await?;
    if unknown.is_empty() {
        return Ok(true);
    }
    let is_unknown = |id: &ChangeId| unknown.iter().any(|one| one == id.as_str());
    let Some(lost) = lost_times(fleet, db, &unknown).await else {
        tracing::error!(
            thing.name = %thing,
            "the shadow of `{thing}` names a change that nobody knows, and the audit log may have lost its end: \
             say `fleet-api audit restored`"
        );
        return Ok(false);
    };
    let lost = |id: &ChangeId| {
        let asked_at = asked_at(id)?;
        lost.iter().any(|(from, to)| (*from - SLACK..=*to + SLACK).contains(&asked_at)).then_some(asked_at)
    };
    let wished = |id: &ChangeId| desired.as_ref().filter(|desired| desired.change_id == *id).map(settings_of);
    for (newer, verdict) in verdicts.iter().enumerate().rev() {
        let id = &verdict.change_id;
        if !is_unknown(id) {
            continue;
        }
        // What runs is what was applied last.
        let is_last = verdict.verdict == VerdictKind::Applied
            && verdicts[..newer].iter().all(|newer| newer.verdict != VerdictKind::Applied);
        let runs = || reported.filter(|_| is_last).map(running);
        let found = Found { id, lost: lost(id), after: wished(id).or_else(runs) };
        let change = write_down(fleet, db, thing, found, now).await?;
        fleet.step(db, &change, collect::closing(&change, verdict, now), &by_box(thing)).await?;
    }
    let Some(desired) = desired.filter(|desired| is_unknown(&desired.change_id)) else {
        return Ok(true);
    };
    let has_verdict = verdicts.iter().any(|verdict| verdict.change_id == desired.change_id);
    let asked_at = lost(&desired.change_id).filter(|_| !has_verdict);
    if asked_at.is_some() {
        let found = Found { id: &desired.change_id, lost: asked_at, after: Some(settings_of(&desired)) };
        reopen(fleet, db, thing, found, shadow.version, now).await?;
    }
    Ok(true)
}

/// Between when and when changes were asked for that a restored database has lost. None: that cannot be told.
async fn lost_times(
    fleet: &Fleet,
    db: &mut PgConnection,
    unknown: &[String],
) -> Option<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
    // Only an id of our making can be one that was lost.
    if !unknown.iter().any(|id| ulid::Ulid::from_string(id).is_ok()) {
        return Some(Vec::new());
    }
    match restored::lost_times(&fleet.parts.audit, db).await {
        Ok(times) => times,
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "could not ask how far the audit log has to reach");
            None
        }
    }
}

fn asked_at(id: &ChangeId) -> Option<DateTime<Utc>> {
    ulid::Ulid::from_string(id.as_str()).ok().map(|id| id.datetime().into())
}

fn settings_of(desired: &Desired) -> Settings {
    let desired = desired.clone();
    Settings { lan: desired.lan, share: desired.share, probe: desired.probe, window: desired.window }
}

fn running(reported: &Reported) -> Settings {
    let (lan, share) = (reported.lan.clone(), reported.share.clone());
    Settings { lan, share, probe: reported.probe, window: None }
}

fn by_box(thing: &ThingName) -> Actor {
    Actor::thing(thing.as_str(), None)
}

/// A row, its first step and the audit entry. It is open as yet.
async fn write_down(
    fleet: &Fleet,
    db: &mut PgConnection,
    thing: &ThingName,
    found: Found<'_>,
    now: DateTime<Utc>,
) -> Result<Change, ApiError> {
    let reason = if found.lost.is_some() { LOST } else { NOT_OURS };
    let row = recovery::Recovered {
        id: found.id,
        thing,
        after: found.after.as_ref(),
        reason,
        requested_at: found.lost.unwrap_or(now),
        // From what is not ours, or not known, nothing of what the box shall have is read.
        is_ours: found.lost.is_some() && found.after.is_some(),
        expires_at: found.after.as_ref().map(|after| fleet.expires_at(after, now)),
        now,
    };
    recovery::recover(db, &row).await?;
    let step = Step { code: Some(CODE.to_owned()), ..Step::of(ChangeState::Queued, now) };
    steps::add(db, found.id, &step).await?;
    let by = Actor::system();
    let mut entry = Entry::new(now, &by, "change.recovered").of(thing);
    entry.change_id = Some(found.id);
    entry.after = found.after.map(|after| json!(after.without_secrets()));
    entry.reason = Some(reason);
    audit_entries::add(db, &entry).await?;
    metrics::counter!("recehub_changes_recovered_total").increment(1);
    tracing::warn!(thing.name = %thing, change.id = %found.id, "a change of `{thing}` is recovered from its shadow");
    // What waits was asked for by somebody who did not know of this one, and goes behind it.
    recovery::ask_later(db, thing).await?;
    fleet.story(db, found.id).await
}

/// A change that was lost on its way: the box's verdict is still to come.
async fn reopen(
    fleet: &Fleet,
    db: &mut PgConnection,
    thing: &ThingName,
    found: Found<'_>,
    version: i64,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let before = store::changes::open_of(db, thing).await?;
    let change = write_down(fleet, db, thing, found, now).await?;
    store::changes::set_shadow_version(db, &change.change_id, version).await?;
    let on_the_way: Vec<_> = before.iter().filter(|change| change.handed_over).collect();
    for change in &on_the_way {
        if change.withdrawing.is_none() {
            fleet.withdraw(db, change, Withdrawing::Supersede, &Actor::system(), Some(LOST), now).await?;
        }
    }
    if on_the_way.is_empty() {
        dispatch::mark_sent(fleet, db, &change, now).await?;
    }
    Ok(())
}
