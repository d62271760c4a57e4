//! Carries open changes into shadows. A pass may be run again at any time: what stands in the shadow
//! already is not written twice, and a crash between shadow and row is mended by the next pass. A change
//! is marked as handed over before its shadow is written: only an unmarked one cannot be on a box.

use std::time::Duration;

use chrono::{DateTime, Utc};
use device_model::{
    change::ChangeState,
    outcome::code,
    shadow::{Desired, SCHEMA, merge_patch},
    thing_name::ThingName,
};
use futures::StreamExt;
use serde_json::{Value, json};
use sqlx::{Acquire, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    aws::shadows::{Shadow, Written},
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        change::{Change, Step, Withdrawing},
        collect,
    },
    lifecycle::ticks,
    store::{self, things},
};

/// How many boxes are served at once; one that does not answer must not stop the others.
const AT_ONCE: usize = 8;
/// Somebody else may write between our reading and our writing, but not for ever.
const RACES: usize = 5;
/// How long one dispatcher has a thing to itself, should it die; it gives up before that.
const LEASE: Duration = Duration::from_secs(30);
const IN_TIME: Duration = Duration::from_secs(25);
/// About how long until what another replica had is looked at again.
const TAKEN: Duration = Duration::from_secs(1);

/// Runs passes: when nudged and every so often.
pub async fn run(fleet: Fleet, every: Duration, stop: CancellationToken) -> anyhow::Result<()> {
    let mut timer = ticks(every);
    let mut taken = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = fleet.nudged() => {}
            _ = timer.tick() => {}
            // Who had them may have judged before there was what we were nudged for.
            () = tokio::time::sleep(TAKEN.mul_f64(rand::random_range(0.5..1.5))), if taken > 0 => {}
        }
        if let Err(error) = fleet.expire().await {
            tracing::warn!(error = %error, "could not look for changes that waited for too long");
        }
        taken = match pass(&fleet).await {
            Ok(passed) => passed.taken,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "could not look for changes to carry");
                0
            }
        };
    }
}

/// How many things a pass served, and how many it left to whoever had them.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    pub carried: usize,
    pub taken: usize,
}

/// One pass over all things with a change to carry.
pub async fn pass(fleet: &Fleet) -> anyhow::Result<Pass> {
    let mut db = fleet.db().acquire().await?;
    let due = store::changes::waiting::due_things(&mut db, fleet.clock().now()).await?;
    drop(db);
    let served = futures::stream::iter(due).map(|thing| async move {
        match carry(fleet, &thing).await {
            Ok(carried) => carried,
            Err(error) => {
                put_off(fleet, &thing, error).await;
                Some(false)
            }
        }
    });
    let served: Vec<Option<bool>> = served.buffer_unordered(AT_ONCE).collect().await;
    let count = |how| served.iter().filter(|one| **one == how).count();
    Ok(Pass { carried: count(Some(true)), taken: count(None) })
}

/// What is to be done to a shadow, judged on one reading of it.
enum Plan {
    /// The change goes into it.
    Carry(Box<Change>),
    /// The box does not understand what we would write.
    Refuse(Box<Change>),
    /// The box never said a word: what it was to have is taken out again.
    Empty(Vec<Change>),
    /// The box is to go back to what it runs: that is a change of its own now.
    Again,
    Nothing,
}

/// Brings one thing's shadow up to its newest change, and says whether something was written. None: another
/// replica is at it.
#[tracing::instrument(name = "fleet.carry", skip_all, fields(thing.name = %thing))]
async fn carry(fleet: &Fleet, thing: &ThingName) -> Result<Option<bool>, ApiError> {
    let mut db = fleet.db().acquire().await?;
    let Some(lease) = things::lease(&mut db, thing, LEASE).await? else {
        return Ok(None);
    };
    drop(db);
    let carried = tokio::time::timeout(IN_TIME, carry_leased(fleet, thing)).await;
    let mut db = fleet.db().acquire().await?;
    things::release(&mut db, thing, lease).await?;
    let carried = carried.map_err(|late| ApiError::unavailable("the device shadow", late)).flatten()?;
    if carried {
        // What was asked for meanwhile found the thing taken.
        fleet.parts.nudge.notify_one();
    }
    Ok(Some(carried))
}

/// No connection and no lock is held while AWS is asked. What is written was judged on the version
/// that it replaces: whoever else wrote since then makes us judge anew.
async fn carry_leased(fleet: &Fleet, thing: &ThingName) -> Result<bool, ApiError> {
    for _ in 0..RACES {
        let shadow = read(fleet, thing).await?;
        if let Some(shadow) = shadow.as_ref().filter(|shadow| shadow.reported != json!({})) {
            // A box keeps few verdicts: none may be pushed out by what we are about to ask for.
            collect::take_in(fleet, thing, shadow).await?;
        }
        let plan = judge(fleet, thing, shadow.as_ref()).await?;
        let wanted = match &plan {
            Plan::Carry(change) => json!(desired_of(change)?),
            Plan::Empty(_) => json!({}),
            Plan::Refuse(change) => {
                refuse(fleet, thing, change).await?;
                continue;
            }
            Plan::Again => continue,
            Plan::Nothing => return Ok(false),
        };
        let Some(version) = write(fleet, thing, &wanted, shadow.as_ref()).await? else {
            continue;
        };
        match plan {
            Plan::Carry(change) => record(fleet, thing, &change, version).await?,
            Plan::Empty(changes) => close_unseen(fleet, thing, &changes).await?,
            Plan::Refuse(_) | Plan::Again | Plan::Nothing => {}
        }
        return Ok(true);
    }
    let cause = anyhow::anyhow!("the shadow was written {RACES} times while we tried");
    Err(ApiError::unavailable("the device shadow", cause))
}

/// Says what is to be done, and commits that a box may have it before anything is written.
async fn judge(fleet: &Fleet, thing: &ThingName, shadow: Option<&Shadow>) -> Result<Plan, ApiError> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    let open = open_changes(db, thing).await?;
    match open.iter().rfind(|change| change.withdrawing.is_none()) {
        Some(next) if next.state == ChangeState::Queued && next.shadow_version.is_none() => {
            // What is before it must be on its way out, or it has to wait for its verdict.
            if open.iter().any(|change| change.seq < next.seq && change.withdrawing.is_none()) {
                return Ok(Plan::Nothing);
            }
            if !next.handed_over && shadow.is_some_and(is_too_old) {
                return Ok(Plan::Refuse(Box::new(next.clone())));
            }
            store::changes::hand_over(db, &next.change_id, fleet.clock().now()).await?;
            let next = next.clone();
            tx.commit().await?;
            Ok(Plan::Carry(Box::new(next)))
        }
        None if !open.is_empty() => match shadow {
            Some(shadow) if shadow.reported != json!({}) => {
                go_back(fleet, db, &open).await?;
                tx.commit().await?;
                Ok(Plan::Again)
            }
            _ => Ok(Plan::Empty(open)),
        },
        // Nobody here has ever asked for anything: what stands there is not ours, and goes.
        None if things::has_only_a_foreign_desired(db, thing).await? => Ok(Plan::Empty(Vec::new())),
        _ => Ok(Plan::Nothing),
    }
}

/// True if the box has said which schemas it knows, and ours is none of them.
fn is_too_old(shadow: &Shadow) -> bool {
    let known = shadow.reported["schemas"].as_array();
    known.is_some_and(|known| !known.contains(&json!(SCHEMA)))
}

/// Nothing is written that the box would not understand; it has not seen the change.
async fn refuse(fleet: &Fleet, thing: &ThingName, change: &Change) -> Result<(), ApiError> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    things::lock(db, thing).await?;
    let change = fleet.story(db, &change.change_id).await?;
    if change.handed_over {
        return Ok(());
    }
    let mut step = Step::of(ChangeState::Refused, fleet.clock().now());
    step.code = Some(code::AGENT_TOO_OLD.to_owned());
    step.detail = Some(format!("the agent has not announced schema {SCHEMA}"));
    fleet.step(db, &change, step, &Actor::system()).await?;
    tx.commit().await?;
    Ok(())
}

/// All that is open is to be taken back, and by now the box has spoken: it is asked to go back to what
/// it runs.
async fn go_back(fleet: &Fleet, db: &mut PgConnection, open: &[Change]) -> Result<(), ApiError> {
    let last = open.last().ok_or_else(|| anyhow::anyhow!("nothing is open"))?;
    let asked_before = store::changes::has_newer_handed_over(db, &last.thing, last.seq).await?;
    if asked_before || !fleet.restore(db, last, None, fleet.clock().now()).await? {
        let cause =
            anyhow::anyhow!("what became of change {} cannot be told from the report", last.change_id);
        return Err(ApiError::Internal(cause));
    }
    Ok(())
}

/// The change stands in the shadow now.
async fn record(fleet: &Fleet, thing: &ThingName, change: &Change, version: i64) -> Result<(), ApiError> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    // Read again: it may have been closed or taken back while AWS was asked.
    let open = open_changes(db, thing).await?;
    store::changes::set_shadow_version(db, &change.change_id, version).await?;
    if let Some(first) = open.first().filter(|first| first.change_id == change.change_id)
        && first.state == ChangeState::Queued
    {
        mark_sent(fleet, db, first, fleet.clock().now()).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A change that stands in the shadow and has nothing open before it is sent.
pub(crate) async fn mark_sent(
    fleet: &Fleet,
    db: &mut PgConnection,
    change: &Change,
    at: DateTime<Utc>,
) -> Result<(), ApiError> {
    fleet.step(db, change, Step::of(ChangeState::Sent, at), &Actor::system()).await?;
    Ok(())
}

/// Closes what a box that never said a word cannot have taken up: its shadow is empty now.
async fn close_unseen(fleet: &Fleet, thing: &ThingName, changes: &[Change]) -> Result<(), ApiError> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    things::lock(db, thing).await?;
    for change in changes {
        let why = change.withdrawing.unwrap_or(Withdrawing::Cancel);
        let detail = "taken back before the box ever reported";
        let step = Step::not_taken_up(why, fleet.clock().now(), detail);
        fleet.step(db, change, step, &Actor::system()).await?;
    }
    things::clear_foreign_desired(db, thing).await?;
    tx.commit().await?;
    Ok(())
}

/// Under the thing's lock, oldest first.
async fn open_changes(db: &mut PgConnection, thing: &ThingName) -> Result<Vec<Change>, ApiError> {
    things::lock(db, thing).await?;
    Ok(store::changes::open_of(db, thing).await?)
}

/// What stands in the shadow for a change.
pub(super) fn desired_of(change: &Change) -> Result<Desired, ApiError> {
    let after = change.asked_for()?.clone();
    Ok(Desired {
        schema: SCHEMA,
        change_id: change.change_id.clone(),
        lan: after.lan,
        share: after.share,
        probe: after.probe,
        window: after.window,
    })
}

/// Makes the desired side be `wanted`, stale keys nulled, if the shadow still is as it was read.
/// Answers the version that has it; None: somebody wrote in between.
async fn write(
    fleet: &Fleet,
    thing: &ThingName,
    wanted: &Value,
    shadow: Option<&Shadow>,
) -> Result<Option<i64>, ApiError> {
    let nothing = json!({});
    let patch = merge_patch(shadow.map_or(&nothing, |shadow| &shadow.desired), wanted);
    if let Some(shadow) = shadow
        && patch == nothing
    {
        // Written before a crash, or nothing is to be emptied.
        return Ok(Some(shadow.version));
    }
    let version = shadow.map(|shadow| shadow.version);
    let written = fleet.parts.shadows.write_desired(thing, &patch, version).await;
    match written.map_err(|error| ApiError::unavailable("the device shadow", error))? {
        Written::At(version) => Ok(Some(version)),
        Written::Conflict => Ok(None),
    }
}

async fn read(fleet: &Fleet, thing: &ThingName) -> Result<Option<Shadow>, ApiError> {
    let shadow = fleet.parts.shadows.read(thing).await;
    shadow.map_err(|error| ApiError::unavailable("the device shadow", error))
}

async fn put_off(fleet: &Fleet, thing: &ThingName, error: ApiError) {
    let error = match error {
        ApiError::Internal(cause) | ApiError::Unavailable { cause, .. } => cause,
        other => other.into(),
    };
    tracing::warn!(thing.name = %thing, error = format!("{error:#}"), "could not carry the change of `{thing}`");
    let jitter = rand::random_range(0.5..1.5);
    let put_off = async {
        let mut db = fleet.db().acquire().await?;
        store::changes::waiting::put_off(&mut db, thing, fleet.clock().now(), jitter).await
    };
    if let Err(error) = put_off.await {
        tracing::warn!(error = %error, "could not put a change off");
    }
}
