//! What keeps the log: its loops, each led by one replica at a time.

use std::time::Duration;

use chrono::TimeDelta;
use sqlx::Acquire;
use tokio_util::sync::CancellationToken;

use super::{chain::Chainer, checkpoint, seal};
use crate::{
    fleet::Fleet,
    lifecycle::ticks,
    store::{leadership, retention},
};

/// Rows of a partition, and how many partitions stand ready.
const PARTITION: i64 = 1_000_000;
const AHEAD: i32 = 3;
/// How many uploads one pass forgets.
const FORGET_AT_ONCE: i32 = 1_000;

const CHAIN_EVERY: Duration = Duration::from_millis(400);
const SEAL_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(5);
const KEEP_EVERY: Duration = Duration::from_mins(1);
/// After a failure, which is told each time.
const PAUSE: Duration = Duration::from_secs(15);

/// Chains, seals, signs, makes room and drops what is old, until it is told to stop.
pub async fn run(fleet: Fleet, stop: CancellationToken) -> anyhow::Result<()> {
    let every = fleet.parts.audit.checkpoint_every;
    let chaining = async {
        let (mut chainer, mut timer) = (Chainer::default(), ticks(CHAIN_EVERY));
        loop {
            timer.tick().await;
            if let Err(error) = fleet.chain_audit(&mut chainer).await {
                tracing::error!(error = format!("{error:#}"), "the audit log is not chained");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let sealing = async {
        let mut timer = ticks(SEAL_EVERY);
        loop {
            timer.tick().await;
            if let Err(error) = seal::pass(&fleet).await {
                tracing::warn!(error = format!("{error:#}"), "could not seal uploads");
            }
        }
    };
    let signing = async {
        let mut timer = ticks(LOOK_EVERY);
        loop {
            timer.tick().await;
            if let Err(error) = checkpoint::pass(&fleet, every).await {
                tracing::error!(error = format!("{error:#}"), "the audit log has no new checkpoint");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let keeping = async {
        let mut timer = ticks(KEEP_EVERY);
        loop {
            timer.tick().await;
            if let Err(error) = keep(&fleet, PARTITION).await {
                tracing::error!(error = format!("{error:#}"), "could not make room or drop what is old");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = chaining => {}
        () = sealing => {}
        () = signing => {}
        () = keeping => {}
    }
    Ok(())
}

/// What one pass dropped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub made: i32,
    pub dropped: Option<String>,
    pub forgotten: i32,
}

/// One pass: room for partitions of so many rows, and a bounded bite of what is older than the retention.
pub async fn keep(fleet: &Fleet, partition: i64) -> anyhow::Result<Kept> {
    let mut tx = fleet.db().begin().await?;
    let db = tx.acquire().await?;
    if !leadership::lead(db, leadership::RETENTION).await? {
        return Ok(Kept::default());
    }
    let made = retention::make_ahead(db, partition, AHEAD).await?;
    tx.commit().await?;
    let before = fleet.clock().now() - TimeDelta::abs(&fleet.parts.audit.retention);
    let mut db = fleet.db().acquire().await?;
    if let Some(last) = retention::oldest(&mut db, before).await? {
        // Without it nobody could verify what is left.
        drop(db);
        checkpoint::of_row(fleet, last).await?;
        db = fleet.db().acquire().await?;
    }
    let dropped = retention::drop_one(&mut db, before).await?;
    let forgotten = retention::forget_uploads(&mut db, before, FORGET_AT_ONCE).await?;
    if dropped.is_some() || forgotten > 0 {
        let partition = dropped.as_deref().unwrap_or("none");
        tracing::info!(partition, uploads = forgotten, "what is older than the retention was dropped");
    }
    Ok(Kept { made, dropped, forgotten })
}
