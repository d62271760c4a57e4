//! Reads back what boxes report and moves their changes on. A hint only says where to look: the
//! shadow itself is read, so a forged or lost hint does no harm.

use std::time::Duration;

use chrono::{DateTime, Utc};
use device_model::{
    change::ChangeState,
    outcome::{Verdict, VerdictKind},
    shadow::{KEPT_VERDICTS, Reported, Trial},
    thing_name::ThingName,
};
use futures::StreamExt;
use serde_json::json;
use sqlx::{Acquire, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    aws::shadows::Shadow,
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        change::{Change, Step},
        dispatch, drift, foreign, recovered, status,
    },
    lifecycle::ticks,
    store::{self, things},
};

const AT_ONCE: usize = 8;

/// Reconciles every so often, for what no hint came for: things with an open change each time, all
/// the others once within `all_within`.
pub async fn run(
    fleet: Fleet,
    every: Duration,
    all_within: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut timer = ticks(every);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = timer.tick() => {}
        }
        if let Err(error) = pass(&fleet).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "could not look for changes that wait for an answer"
            );
        }
        if let Err(error) = status::pass(&fleet).await {
            tracing::warn!(error = format!("{error:#}"), "could not look which boxes are silent");
        }
        if let Err(error) = sweep(&fleet, every, all_within).await {
            tracing::warn!(error = format!("{error:#}"), "could not look what boxes report");
        }
    }
}

/// Reads the shadow of every thing with an open change.
pub async fn pass(fleet: &Fleet) -> anyhow::Result<()> {
    let mut db = fleet.db().acquire().await?;
    let awaited = store::changes::waiting::awaited_things(&mut db).await?;
    drop(db);
    collect_each(fleet, awaited).await;
    Ok(())
}

/// Reads the shadows of things that were not read for long: of so many that with a pass `every` so
/// often all have their turn `within`. Answers how many that were.
pub async fn sweep(fleet: &Fleet, every: Duration, within: Duration) -> anyhow::Result<usize> {
    let now = fleet.clock().now();
    let mut db = fleet.db().acquire().await?;
    let share = every.as_secs_f64() / within.as_secs_f64();
    let stale = things::take_stale(&mut db, now - within, now, share).await?;
    drop(db);
    let many = stale.len();
    status::collect_each(fleet, stale.clone()).await;
    collect_each(fleet, stale).await;
    Ok(many)
}

/// One that does not answer stops no other.
async fn collect_each(fleet: &Fleet, things: Vec<ThingName>) {
    let reads = futures::stream::iter(things).map(|thing| async move {
        if let Err(error) = collect(fleet, &thing).await {
            tracing::warn!(thing.name = %thing, error = %describe(&error), "could not read what `{thing}` reports");
        }
    });
    reads.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Reads one thing's shadow and moves its changes on. The same report read twice changes nothing.
#[tracing::instrument(name = "fleet.collect", skip_all, fields(thing.name = %thing))]
pub async fn collect(fleet: &Fleet, thing: &ThingName) -> Result<(), ApiError> {
    let shadow = fleet.parts.shadows.read(thing).await;
    let shadow = shadow.map_err(|error| ApiError::unavailable("the device shadow", error))?;
    match shadow {
        Some(shadow) if shadow.reported != json!({}) => take_in(fleet, thing, &shadow).await?,
        // A wish that waits for a box's first word is to be ours as well.
        Some(shadow) => {
            let mut tx = fleet.db().begin().await?;
            if things::lock(&mut tx, thing).await? {
                let now = fleet.clock().now();
                if recovered::take_in(fleet, &mut tx, thing, &shadow, None, now).await? {
                    foreign::judge(fleet, &mut tx, thing, &shadow, now).await?;
                }
            }
            tx.commit().await?;
        }
        None => return Ok(()),
    }
    // What waited behind a change that is closed now may go.
    fleet.parts.nudge.notify_one();
    Ok(())
}

/// Takes in what the box has written into its shadow.
pub(super) async fn take_in(fleet: &Fleet, thing: &ThingName, shadow: &Shadow) -> Result<(), ApiError> {
    let reported: Reported = match serde_json::from_value(shadow.reported.clone()) {
        Ok(reported) => reported,
        Err(error) => {
            tracing::error!(thing.name = %thing, error = %error, "`{thing}` reports what cannot be read");
            return Ok(());
        }
    };
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !things::lock(db, thing).await? {
        return Ok(());
    }
    // Only now: what others wrote down while we waited came before.
    let now = fleet.clock().now();
    if !things::set_reported(db, thing, &shadow.reported, shadow.version, now).await? {
        // Somebody read a newer one while we waited.
        return Ok(());
    }
    let is_known = recovered::take_in(fleet, db, thing, shadow, Some(&reported), now).await?;
    settle(fleet, db, thing, &reported, shadow.version, now).await?;
    drift::judge(db, thing, &reported, now).await?;
    if let Some(seen) = &reported.receipt_computer {
        drift::see(db, thing, seen, now).await?;
    }
    if is_known {
        foreign::judge(fleet, db, thing, shadow, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn settle(
    fleet: &Fleet,
    db: &mut PgConnection,
    thing: &ThingName,
    reported: &Reported,
    version: i64,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let by = Actor::thing(thing.as_str(), None);
    let open = store::changes::open_of(db, thing).await?;
    let known = known(db, thing, reported).await?;
    let mut one_is_ahead = false;
    for change in &open {
        let verdict = reported.verdicts.iter().find(|verdict| verdict.change_id == change.change_id);
        if let Some(verdict) = verdict {
            if !one_is_ahead {
                note_sent(fleet, db, change, version, now).await?;
            }
            fleet.step(db, change, closing(change, verdict, now), &by).await?;
        } else if let Some(why) = change.withdrawing
            && passed_over(change, &known, reported)
        {
            let detail = "the box went on to a newer change and gave no verdict on this one";
            fleet.step(db, change, Step::not_taken_up(why, now, detail), &by).await?;
        } else {
            one_is_ahead = true;
        }
    }
    // What is left is in the order of asking; only the first can be on the box.
    let Some(first) = store::changes::open_of(db, thing).await?.into_iter().next() else {
        return Ok(());
    };
    let trial = reported.trial.as_ref().filter(|trial| trial.change_id == first.change_id);
    if first.shadow_version.is_some() || trial.is_some() {
        note_sent(fleet, db, &first, version, now).await?;
    }
    if let Some(trial) = trial
        && first.state != ChangeState::Trying
    {
        fleet.step(db, &first, trying(trial, now), &by).await?;
    }
    Ok(())
}

/// A box answers within milliseconds: its report may be read before the dispatcher has noted that the
/// shadow took the change, but the shadow that was read carried it.
async fn note_sent(
    fleet: &Fleet,
    db: &mut PgConnection,
    change: &Change,
    version: i64,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    if change.state != ChangeState::Queued {
        return Ok(());
    }
    if !change.handed_over {
        // Forgotten, by a database that was restored.
        store::changes::hand_over(db, &change.change_id, now).await?;
    }
    if change.shadow_version.is_none() {
        store::changes::set_shadow_version(db, &change.change_id, version).await?;
    }
    dispatch::mark_sent(fleet, db, change, now).await
}

/// The verdict's step: by both clocks.
pub(super) fn closing(change: &Change, verdict: &Verdict, now: DateTime<Utc>) -> Step {
    let state = match (verdict.verdict, change.withdrawing) {
        // The box knows only that something newer came; we know whether that was a cancellation.
        (VerdictKind::Superseded, Some(why)) => why.ends_as(),
        (kind, _) => ChangeState::closed_by(kind, verdict.code.as_deref()),
    };
    Step {
        state,
        at: now,
        device_at: Some(verdict.at),
        clock: Some(verdict.clock),
        code: verdict.code.clone(),
        detail: verdict.detail.clone(),
    }
}

fn trying(trial: &Trial, now: DateTime<Utc>) -> Step {
    Step { device_at: Some(trial.since), ..Step::of(ChangeState::Trying, now) }
}

/// Our places in the order of asking for the changes that a report speaks of.
async fn known(db: &mut PgConnection, thing: &ThingName, reported: &Reported) -> Result<Vec<i64>, ApiError> {
    let tried = reported.trial.iter().map(|trial| &trial.change_id);
    let judged = reported.verdicts.iter().map(|verdict| &verdict.change_id);
    let ids: Vec<String> = tried.chain(judged).map(ToString::to_string).collect();
    Ok(store::changes::seqs(db, thing, &ids).await?)
}

/// True if the box has gone on to a change that was asked for after this one, and never took this one
/// in hand. It judges changes in their order and reports in one piece, so it will not speak of this
/// one any more; but it must not have done so in a verdict that is no longer among the last few.
fn passed_over(change: &Change, known: &[i64], reported: &Reported) -> bool {
    let tried = change.state == ChangeState::Trying
        || reported.trial.as_ref().is_some_and(|trial| trial.change_id == change.change_id);
    let went_on = known.iter().any(|seq| *seq > change.seq);
    // Verdicts leave in the order in which they came: behind an older one this one would still stand.
    let complete = reported.verdicts.len() < KEPT_VERDICTS || known.iter().any(|seq| *seq < change.seq);
    if went_on && (tried || !complete) {
        tracing::error!(change.id = %change.change_id, "a change stays open: what became of it was not told");
    }
    !tried && went_on && complete
}

pub(super) fn describe(error: &ApiError) -> String {
    match error {
        ApiError::Internal(cause) | ApiError::Unavailable { cause, .. } => format!("{cause:#}"),
        other => other.to_string(),
    }
}
