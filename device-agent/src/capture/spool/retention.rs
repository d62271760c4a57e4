//! Which files of the share the cloud has, and since when.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use crate::{
    capture::{
        complete::Stamp,
        spool::{Spool, seals::LookUp},
    },
    store::StoreError,
};

const LOOK_UP: usize = 256;

impl Spool {
    /// Of these files, those that stand as they were read, and of which all was confirmed by the cloud,
    /// the present content last before that time.
    pub async fn confirmed_before(
        &self,
        mut files: Vec<(Vec<u8>, Stamp)>,
        before: DateTime<Utc>,
    ) -> Result<Vec<(Vec<u8>, Stamp)>, StoreError> {
        let mut found = Vec::new();
        while !files.is_empty() {
            let rest = files.split_off(files.len().min(LOOK_UP));
            let seals = Arc::clone(&self.seals);
            let looked_up = self.store.run(move |db| {
                let mut found = Vec::new();
                for (path, stamp) in files {
                    if is_confirmed(db, &seals.path_key(&path), &stamp, before)? {
                        found.push((path, stamp));
                    }
                }
                Ok(found)
            });
            found.extend(looked_up.await?);
            files = rest;
        }
        Ok(found)
    }
}

/// Whether what stands at the path is known well, nothing of the path waits, and the last receipt for the
/// content is older.
fn is_confirmed(
    db: &Connection,
    path_key: &LookUp,
    stamp: &Stamp,
    before: DateTime<Utc>,
) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "select 1 from observed join receipts using (path_key, content_key)
         where path_key = ?1 and stamp = ?2 and settled
           and not exists (select 1 from spool where spool.path_key = ?1)
         group by content_key having max(received_at) < ?3",
    )?
    .exists(params![path_key, stamp.text, before.to_rfc3339()])
}
