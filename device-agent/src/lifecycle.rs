//! Tasks: a set, a token, an end. A task that ends brings the process down in order, and its
//! supervisor starts it again; nothing dies unseen.

use std::time::Duration;

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What tasks may take to end; the store is safe at any point, so this is politeness.
const GRACE: Duration = Duration::from_secs(2);

/// Runs until a signal comes or a task ends, then ends them all.
pub async fn run_to_end(
    mut tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let first = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(ended) = tasks.join_next() => ended.map_err(anyhow::Error::from).flatten(),
    };
    stop.cancel();
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::warn!(tasks.left = tasks.len(), "tasks did not end in time");
    }
    first
}
