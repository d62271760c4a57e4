//! Carries open changes into shadows. A pass may be run again at any time: what stands in the shadow
//! already is not written twice, and a crash between shadow and row is mended by the next pass.

use std::time::Duration;

use device_model::{
    change::ChangeState,
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
    },
    store::{self, things},
};

/// How many boxes are served at once; one that does not answer must not stop the others.
const AT_ONCE: usize = 8;
/// Somebody else may write between our reading and our writing, but not for ever.
const RACES: usize = 5;

/// Runs passes: when nudged and every so often.
pub async fn run(fleet: Fleet, every: Duration, stop: CancellationToken) -> anyhow::Result<()> {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = fleet.nudged() => {}
            _ = timer.tick() => {}
        }
        if let Err(error) = pass(&fleet).await {
            tracing::warn!(error = format!("{error:#}"), "could not look for changes to carry");
        }
    }
}

/// One pass over all things with a change to carry; answers how many were carried.
pub async fn pass(fleet: &Fleet) -> anyhow::Result<usize> {
    let mut db = fleet.db().acquire().await?;
    let due = store::changes::due_things(&mut db, fleet.clock().now()).await?;
    drop(db);
    let carried = futures::stream::iter(due).map(|thing| async move {
        match carry(fleet, &thing).await {
            Ok(carried) => usize::from(carried),
            Err(error) => {
                put_off(fleet, &thing, error).await;
                0
            }
        }
    });
    Ok(carried.buffer_unordered(AT_ONCE).fold(0, |sum, one| async move { sum + one }).await)
}

/// Brings one thing's shadow up to its newest change. Another replica that is at it is left to it.
async fn carry(fleet: &Fleet, thing: &ThingName) -> Result<bool, ApiError> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !things::try_lock(db, thing).await? {
        return Ok(false);
    }
    let rows = store::changes::open_of(db, thing).await?;
    let open: Vec<Change> =
        rows.into_iter().map(store::changes::Row::into_change).collect::<Result<_, _>>()?;
    let carried = match open.iter().rfind(|change| change.withdrawing.is_none()) {
        Some(next) if next.state == ChangeState::Queued && next.shadow_version.is_none() => {
            // What is before it must be on its way out, or it has to wait for its verdict.
            if open.iter().any(|change| change.seq < next.seq && change.withdrawing.is_none()) {
                return Ok(false);
            }
            let version = write(fleet, thing, &desired_of(next)?).await?;
            store::changes::set_shadow_version(db, &next.change_id, version).await?;
            if open.len() == 1 {
                mark_sent(fleet, db, next).await?;
            }
            true
        }
        Some(_) => false,
        None => withdraw_unseen(fleet, db, thing, &open).await?,
    };
    tx.commit().await?;
    Ok(carried)
}

/// The change now stands in the shadow and nothing before it is open: it is sent.
pub(crate) async fn mark_sent(fleet: &Fleet, db: &mut PgConnection, change: &Change) -> Result<(), ApiError> {
    let step = Step::of(ChangeState::Sent, fleet.clock().now());
    fleet.step(db, change, step, &Actor::system()).await?;
    Ok(())
}

/// Takes back what a box that never said a word cannot have taken up: its shadow is emptied.
async fn withdraw_unseen(
    fleet: &Fleet,
    db: &mut PgConnection,
    thing: &ThingName,
    open: &[Change],
) -> Result<bool, ApiError> {
    if open.is_empty() {
        return Ok(false);
    }
    let shadow = read(fleet, thing).await?;
    if let Some(shadow) = &shadow
        && shadow.reported != json!({})
    {
        // It has spoken since: its report tells what became of them.
        return Ok(false);
    }
    write(fleet, thing, &json!({})).await?;
    for change in open {
        let ends_as = change.withdrawing.map_or(ChangeState::Cancelled, Withdrawing::ends_as);
        let mut step = Step::of(ends_as, fleet.clock().now());
        step.detail = Some("taken back before the box ever reported".to_owned());
        fleet.step(db, change, step, &Actor::system()).await?;
    }
    Ok(true)
}

fn desired_of(change: &Change) -> Result<Value, ApiError> {
    let after = change.after.clone();
    let desired = Desired {
        schema: SCHEMA,
        change_id: change.change_id.clone(),
        lan: after.lan,
        share: after.share,
        probe: after.probe,
        window: after.window,
    };
    serde_json::to_value(desired).map_err(|error| ApiError::Internal(error.into()))
}

/// Makes the desired side be `wanted`, stale keys nulled. Answers the version that has it.
async fn write(fleet: &Fleet, thing: &ThingName, wanted: &Value) -> Result<i64, ApiError> {
    for _ in 0..RACES {
        let shadow = read(fleet, thing).await?;
        let (desired, version) = match shadow {
            Some(shadow) => (shadow.desired, Some(shadow.version)),
            None => (json!({}), None),
        };
        let patch = merge_patch(&desired, wanted);
        match version {
            // Written before a crash, or nothing is to be emptied.
            Some(version) if patch == json!({}) => return Ok(version),
            _ => {}
        }
        let written = fleet.parts.shadows.write_desired(thing, &patch, version).await;
        match written.map_err(|error| ApiError::unavailable("the device shadow", error))? {
            Written::At(version) => return Ok(version),
            Written::Conflict => {}
        }
    }
    let cause = anyhow::anyhow!("the shadow was written {RACES} times while we tried");
    Err(ApiError::unavailable("the device shadow", cause))
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
        store::changes::put_off(&mut db, thing, fleet.clock().now(), jitter).await
    };
    if let Err(error) = put_off.await {
        tracing::warn!(error = %error, "could not put a change off");
    }
}
