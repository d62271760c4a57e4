//! Entries that cannot be sent as they are: set aside, so that the others go on, and put back.

use rusqlite::{Connection, params};

use crate::{
    capture::spool::{Spool, row::held},
    store::StoreError,
};

/// Why an entry is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// Its content is lost here: the share's is read again.
    Torn,
    /// The cloud will never take it, however often it is read.
    Refused,
}

impl Spool {
    /// Sets an entry aside, so that the others go on. Its path counts as never looked at, so that the
    /// next look at everything reads it again.
    pub async fn quarantine(&self, sequence: u64, why: Aside, reason: String) -> Result<(), StoreError> {
        let refused = why == Aside::Refused;
        let waits = self
            .store
            .run(move |db| {
                db.execute(
                    "delete from observed where (path_key, content_key) in
                     (select path_key, content_key from spool where sequence = ?1)",
                    [sequence],
                )?;
                db.execute(
                    "update spool set quarantined = ?2, refused = ?3 where sequence = ?1",
                    params![sequence, reason, refused],
                )?;
                held(db)
            })
            .await?;
        self.quota.now_held(waits);
        Ok(())
    }

    /// Lets everything that was set aside be tried again. Answers how much that is.
    pub async fn retry(&self) -> Result<usize, StoreError> {
        let retried = self.store.run(retry).await?;
        self.added.notify_one();
        Ok(retried)
    }
}

/// Lets everything that was set aside be tried again.
pub fn retry(db: &Connection) -> rusqlite::Result<usize> {
    db.execute("update spool set quarantined = null, refused = 0 where quarantined is not null", [])
}
