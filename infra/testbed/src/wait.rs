//! Waiting for a condition, never for a time alone.

use std::{future::Future, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer, for at most `bound`.
pub async fn until<T, F>(what: &str, bound: Duration, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if started.elapsed() > bound {
            bail!("{what}: not within {} s", bound.as_secs());
        }
        sleep(PAUSE).await;
    }
}
