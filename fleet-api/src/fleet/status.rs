//! Reads back how boxes say they are: their shadow `status`. As with changes, a hint only says where to look.

use chrono::TimeDelta;
use device_model::{status::Status, thing_name::ThingName};
use futures::StreamExt;

use crate::{
    error::ApiError,
    fleet::{Fleet, collect::describe},
    store::presence,
};

/// A box tells once an hour; one that is connected and is silent for longer is looked at.
const HEARTBEAT: TimeDelta = TimeDelta::minutes(75);
const AT_ONCE: usize = 8;
/// How many silent boxes one pass looks at.
const SILENT: i64 = 200;

/// Looks at boxes that are connected and have not told how they are: the hint may have been lost.
pub async fn pass(fleet: &Fleet) -> anyhow::Result<()> {
    let now = fleet.clock().now();
    let mut db = fleet.db().acquire().await?;
    let silent = presence::take_silent(&mut db, now - HEARTBEAT, now, SILENT).await?;
    drop(db);
    collect_each(fleet, silent).await;
    Ok(())
}

/// One that does not answer stops no other.
pub(super) async fn collect_each(fleet: &Fleet, things: Vec<ThingName>) {
    let reads = futures::stream::iter(things).map(|thing| async move {
        if let Err(error) = collect(fleet, &thing).await {
            tracing::warn!(thing.name = %thing, error = %describe(&error), "could not read how `{thing}` is");
        }
    });
    reads.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Reads one thing's status. The same one read twice changes nothing.
#[tracing::instrument(name = "fleet.status", skip_all, fields(thing.name = %thing))]
pub async fn collect(fleet: &Fleet, thing: &ThingName) -> Result<(), ApiError> {
    let shadow = fleet.parts.shadows.read_status(thing).await;
    let shadow = shadow.map_err(|error| ApiError::unavailable("the device shadow", error))?;
    let Some(shadow) = shadow else {
        return Ok(());
    };
    if let Err(error) = serde_json::from_value::<Status>(shadow.reported.clone()) {
        // Updates merge: the first of them may have told a part only.
        tracing::debug!(thing.name = %thing, error = %error, "`{thing}` says nothing readable of itself");
        return Ok(());
    }
    let mut db = fleet.db().acquire().await?;
    presence::set_status(&mut db, thing, &shadow.reported, shadow.version, fleet.clock().now()).await?;
    Ok(())
}
