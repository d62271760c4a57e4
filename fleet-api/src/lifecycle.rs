//! Tasks: a set, a token, an end. One that ends brings the process down in order, and whoever
//! supervises it starts it again; nothing dies unseen.

use std::time::Duration;

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// What is under way may be finished within this.
const GRACE: Duration = Duration::from_secs(4);

pub type Tasks = JoinSet<anyhow::Result<()>>;

/// Resolves at SIGTERM or SIGINT.
pub async fn stop_signal() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// For a loop: at once and then every so often, and not faster to make up for a pass that took long.
pub fn ticks(every: Duration) -> Interval {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// Waits for the signal or for the first task that ends, then stops the others.
pub async fn run_until(
    signal: impl Future<Output = anyhow::Result<()>>,
    mut tasks: Tasks,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let first = tokio::select! {
        signal = signal => signal,
        Some(ended) = tasks.join_next() => ended.map_err(anyhow::Error::from).flatten(),
    };
    stop.cancel();
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::warn!(tasks.left = tasks.len(), "tasks did not end in time");
    }
    first
}
