//! Which files of the share the cloud has, and since when.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use device_model::{
    thing_name::ThingName,
    upload::{ContentHash, UploadId},
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    capture::{complete::Stamp, spool::Spool},
    store::StoreError,
};

const LOOK_UP: usize = 256;

impl Spool {
    /// Of these files, those that stand as they were read, and of which all was confirmed by the cloud,
    /// the present content last before that time.
    pub async fn confirmed_before(
        &self,
        thing: &ThingName,
        mut files: Vec<(Vec<u8>, Stamp)>,
        before: DateTime<Utc>,
    ) -> Result<Vec<(Vec<u8>, Stamp)>, StoreError> {
        let confirmed = Arc::new(self.store.run(move |db| confirmed(db, before)).await?);
        let mut found = Vec::new();
        while !files.is_empty() {
            let rest = files.split_off(files.len().min(LOOK_UP));
            let (confirmed, thing) = (Arc::clone(&confirmed), thing.clone());
            let looked_up = self.store.run(move |db| {
                let mut found = Vec::new();
                for (path, stamp) in files {
                    if let Some(hash) = settled(db, &path, &stamp)?
                        && confirmed.contains(&UploadId::of(&thing, &path, hash).to_string())
                    {
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

/// The uploads whose last receipt is older.
fn confirmed(db: &Connection, before: DateTime<Utc>) -> rusqlite::Result<HashSet<String>> {
    db.prepare("select upload_id from receipts group by upload_id having max(received_at) < ?1")?
        .query_map([before.to_rfc3339()], |row| row.get(0))?
        .collect()
}

/// What stands at the path, if it is known well and nothing of the path waits.
fn settled(db: &Connection, path: &[u8], stamp: &Stamp) -> rusqlite::Result<Option<ContentHash>> {
    let hash: Option<[u8; 32]> = db
        .prepare_cached(
            "select sha256 from observed where path = ?1 and stamp = ?2 and settled
             and not exists (select 1 from spool where spool.path = ?1)",
        )?
        .query_row(params![path, stamp.text], |row| row.get(0))
        .optional()?;
    Ok(hash.map(ContentHash))
}
