//! Keeps what is known of the time over a restart and a power cut: the floor that the clock never reads
//! below.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, moment::Trusted},
    store::Store,
};

/// It is written down no more often than this: an hour's time is heard many times in a busy hour.
const SELDOM: Duration = Duration::from_mins(5);

/// Tells the clock what an earlier run has written down.
pub async fn recall(clock: &Clock, store: &Store) {
    match store.run(last).await {
        Ok(Some(trusted)) => clock.recall(&trusted),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "what was known of the time cannot be read"),
    }
}

/// What was written down last. What cannot be read is as good as nothing.
pub fn last(db: &Connection) -> rusqlite::Result<Option<Trusted>> {
    let text: Option<String> =
        db.query_row("select value from meta where key = 'trusted_time'", [], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Writes down the cloud's time whenever it was heard.
pub async fn keep(clock: Arc<Clock>, store: Store, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = clock.learnt() => {}
        }
        if let Some(trusted) = clock.trusted() {
            let text = serde_json::to_string(&trusted)?;
            let put = "insert or replace into meta values ('trusted_time', ?1)";
            // Nothing hangs on this one: the next time that is heard is written down again.
            if let Err(error) = store.run(move |db| db.execute(put, [text])).await {
                tracing::warn!(%error, "the time cannot be written down now");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(SELDOM) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_that_was_heard_is_known_to_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let clock = Clock::reading(|| "2026-11-22T12:00:00Z".parse().unwrap());
        let stop = CancellationToken::new();
        let keeper = keep(Arc::clone(&clock), store.clone(), stop.clone());

        clock.learn("2026-11-22T15:00:00Z".parse().unwrap());
        let written = async {
            while store.run(last).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        let (ended, ()) =
            tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(keeper, written) })
                .await
                .unwrap();
        ended.unwrap();
        let next = Clock::reading(|| "1970-01-01T00:00:00Z".parse().unwrap());
        recall(&next, &store).await;

        assert_eq!(next.trusted(), clock.trusted());
    }
}
