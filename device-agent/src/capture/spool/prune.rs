//! Forgets what cannot matter any more, a little at a time.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, params};

use crate::{
    capture::spool::{Spool, seals::LookUp},
    store::StoreError,
};

/// What is gone from the share for as long is forgotten.
const REMEMBERED: TimeDelta = TimeDelta::days(30);
const PRUNED_AT_ONCE: usize = 256;

impl Spool {
    /// Forgets what was seen at paths where nothing stands any more for long, and the receipts of
    /// contents that stand nowhere: neither can be sent again. `there`: every path of the share.
    pub async fn prune(&self, there: HashSet<Vec<u8>>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let there: HashSet<LookUp> = there.iter().map(|path| self.seals.path_key(path)).collect();
        let there = Arc::new(there);
        let mut last = Vec::new();
        loop {
            let there = Arc::clone(&there);
            let Some(next) = self.store.run(move |db| prune_observed(db, &there, &last, now)).await? else {
                break;
            };
            last = next;
        }
        while self.store.run(move |db| prune_receipts(db, now)).await? == PRUNED_AT_ONCE {}
        Ok(())
    }
}

/// One batch beyond the key `last`; answers with its own last path, or nothing if it was empty.
fn prune_observed(
    db: &Connection,
    there: &HashSet<LookUp>,
    last: &[u8],
    now: DateTime<Utc>,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let seen: Vec<(LookUp, Option<String>)> = db
        .prepare_cached(
            "select path_key, missing_since from observed where path_key > ?1 order by path_key limit ?2",
        )?
        .query_map(params![last, PRUNED_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mark = |path: &LookUp, since: Option<String>| {
        db.prepare_cached("update observed set missing_since = ?2 where path_key = ?1")?
            .execute(params![path, since])
            .map(drop)
    };
    for (path, missing_since) in &seen {
        let since = missing_since.as_ref().and_then(|text| text.parse::<DateTime<Utc>>().ok());
        match (there.contains(path), since) {
            (true, Some(_)) => mark(path, None)?,
            (false, None) => mark(path, Some(now.to_rfc3339()))?,
            (false, Some(since)) if now - since >= REMEMBERED => {
                db.prepare_cached("delete from observed where path_key = ?1")?.execute([path])?;
            }
            (true, None) | (false, Some(_)) => {}
        }
    }
    Ok(seen.into_iter().next_back().map(|(path, _)| path.to_vec()))
}

fn prune_receipts(db: &Connection, now: DateTime<Utc>) -> rusqlite::Result<usize> {
    db.execute(
        "delete from receipts where sequence in (
            select sequence from receipts
            where received_at < ?1 and content_key not in (select content_key from observed)
              and sequence < (select max(sequence) from receipts)
            limit ?2)",
        params![(now - REMEMBERED).to_rfc3339(), PRUNED_AT_ONCE],
    )
}
