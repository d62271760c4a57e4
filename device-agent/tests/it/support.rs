//! What the tests share.

use std::{future::Future, path::Path, time::Duration};

use device_agent::{
    capture::spool::{Entry, Spool},
    store::Store,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until there is an answer, for no longer than patience lasts.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

pub async fn spool_in(state: &Path) -> Spool {
    let store = Store::open(state).unwrap();
    Spool::open(store, state).await.unwrap()
}

pub async fn entries(spool: &Spool) -> Vec<Entry> {
    spool.waiting(100_000).await.unwrap()
}
