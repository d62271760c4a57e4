//! What the share held and the cloud has not confirmed: durable before a capture counts, dropped only
//! against a receipt.

pub mod aside;
mod prune;
mod retention;

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use device_model::{
    status::Backlog,
    upload::{ContentHash, Receipt},
};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::Notify;

use crate::{
    capture::complete::{self, Body, Stamp, Whole},
    store::{Store, StoreError},
};

#[derive(Clone)]
pub struct Spool {
    store: Store,
    folder: PathBuf,
    added: Arc<Notify>,
}

/// An entry that waits for its receipt, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub path: Vec<u8>,
    pub hash: ContentHash,
    pub size: u64,
    pub observed_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Something new stands at the path.
    New { sequence: u64 },
    /// It holds what it held when it was last looked at.
    Unchanged,
    /// The cloud has said that it will never take this content from this path.
    Refused,
}

impl Spool {
    /// The spool below the state directory; copies that no entry names are swept out.
    pub async fn open(store: Store, state_dir: &Path) -> anyhow::Result<Self> {
        let folder = state_dir.join("spool");
        fs::create_dir_all(&folder)?;
        let spool = Self { store, folder, added: Arc::new(Notify::new()) };
        spool.sweep().await?;
        Ok(spool)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Wakes when an entry was added.
    pub async fn wait_for_more(&self) {
        self.added.notified().await;
    }

    /// Of these paths and stamps, those that were not yet looked at as they are now.
    pub async fn unseen(&self, seen: Vec<(Vec<u8>, Stamp)>) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store
            .run(move |db| {
                let mut known =
                    db.prepare_cached("select 1 from observed where path = ?1 and stamp = ?2 and settled")?;
                let mut unseen = Vec::new();
                for (path, stamp) in seen {
                    if !known.exists(params![path, stamp.text])? {
                        unseen.push(path);
                    }
                }
                Ok(unseen)
            })
            .await
    }

    /// Adds what was read at the path, unless it is what was read there last. `settled`: the stamp is
    /// old enough that a later change must show in it.
    pub async fn add(
        &self,
        path: Vec<u8>,
        whole: Whole,
        observed_at: DateTime<Utc>,
        settled: bool,
    ) -> Result<Added, StoreError> {
        let Whole { hash, size, stamp, body, .. } = whole;
        let (content, file) = match body {
            Body::Inline(content) => (Some(content), None),
            Body::File(copy) => (None, Some(copy)),
        };
        let name = file.as_deref().and_then(Path::file_name);
        let name = name.map(|name| name.to_string_lossy().into_owned());
        let added = self
            .store
            .run(move |db| {
                let last: Option<Vec<u8>> = db
                    .prepare_cached("select sha256 from observed where path = ?1")?
                    .query_row([&path], |row| row.get(0))
                    .optional()?;
                db.prepare_cached(
                    "insert or replace into observed (path, sha256, stamp, settled) values (?1, ?2, ?3, ?4)",
                )?
                .execute(params![path, hash.0, stamp.text, settled])?;
                if last.is_some_and(|last| last == hash.0) {
                    return Ok((Added::Unchanged, None));
                }
                let aside: Option<(u64, bool, Option<String>)> = db
                    .prepare_cached(
                        "select sequence, refused, file from spool
                         where path = ?1 and sha256 = ?2 and quarantined is not null order by refused desc",
                    )?
                    .query_row(params![path, hash.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .optional()?;
                let torn = match aside {
                    Some((_, true, _)) => return Ok((Added::Refused, None)),
                    Some((sequence, false, file)) => {
                        db.execute("delete from spool where sequence = ?1", [sequence])?;
                        file
                    }
                    None => None,
                };
                let sequence = counter(db)? + 1;
                set_counter(db, sequence)?;
                db.prepare_cached(
                    "insert into spool (sequence, path, sha256, size, observed_at, content, file)
                     values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    sequence,
                    path,
                    hash.0,
                    size,
                    observed_at.to_rfc3339(),
                    content,
                    name
                ])?;
                Ok((Added::New { sequence }, torn))
            })
            .await;
        let added = added.map(|(added, torn)| {
            if let Some(torn) = torn {
                complete::discard(&Body::File(self.folder.join(torn)));
            }
            added
        });
        match (&added, file) {
            (Ok(Added::New { .. }), _) => self.added.notify_one(),
            (_, Some(copy)) => complete::discard(&Body::File(copy)),
            (_, None) => {}
        }
        added
    }

    /// The oldest entries that wait.
    pub async fn waiting(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store
            .run(move |db| {
                let mut rows = db.prepare_cached(
                    "select sequence, path, sha256, size, observed_at from spool
                     where quarantined is null order by sequence limit ?1",
                )?;
                let entry = |row: &rusqlite::Row<'_>| {
                    Ok(Entry {
                        sequence: row.get(0)?,
                        path: row.get(1)?,
                        hash: ContentHash(row.get(2)?),
                        size: row.get(3)?,
                        observed_at: time(row, 4)?,
                    })
                };
                rows.query_map([limit], entry)?.collect()
            })
            .await
    }

    /// The content of an entry.
    pub async fn body(&self, sequence: u64) -> Result<Option<Body>, StoreError> {
        let folder = self.folder.clone();
        self.store
            .run(move |db| {
                db.prepare_cached("select content, file from spool where sequence = ?1")?
                    .query_row([sequence], |row| {
                        Ok(match row.get::<_, Option<String>>(1)? {
                            Some(file) => Body::File(folder.join(file)),
                            None => Body::Inline(row.get(0)?),
                        })
                    })
                    .optional()
            })
            .await
    }

    /// Drops an entry against its receipt, which is kept.
    pub async fn settle(&self, sequence: u64, receipt: Receipt) -> Result<(), StoreError> {
        let file = self
            .store
            .run(move |db| {
                db.prepare_cached("insert or replace into receipts values (?1, ?2, ?3, ?4, ?5, ?6)")?
                    .execute(params![
                        sequence,
                        receipt.upload_id.to_string(),
                        receipt.sha256.0,
                        receipt.size,
                        receipt.version_id,
                        receipt.received_at.to_rfc3339(),
                    ])?;
                let file: Option<Option<String>> = db
                    .prepare_cached("delete from spool where sequence = ?1 returning file")?
                    .query_row([sequence], |row| row.get(0))
                    .optional()?;
                Ok(file.flatten())
            })
            .await?;
        // The ledger first, the copy second: a copy that stays is swept at the next start.
        if let Some(file) = file {
            complete::discard(&Body::File(self.folder.join(file)));
        }
        Ok(())
    }

    /// Goes on above what the cloud has seen. A floor above our own count means that a spool was lost:
    /// what waits now is newer than all the cloud knows.
    pub async fn raise_sequence(&self, floor: u64) -> Result<(), StoreError> {
        self.store
            .run(move |db| {
                let counted = counter(db)?;
                if floor <= counted {
                    return Ok(());
                }
                tracing::warn!("the cloud has seen more than this store remembers; counting on above it");
                // Twice, through the negative numbers: shifted one by one, they could meet.
                db.execute("update spool set sequence = -(sequence + ?1)", [floor])?;
                db.execute("update spool set sequence = -sequence where sequence < 0", [])?;
                set_counter(db, counted + floor)
            })
            .await
    }

    pub async fn backlog(&self) -> Result<(Backlog, Option<DateTime<Utc>>), StoreError> {
        self.store.run(|db| Ok((backlog(db)?, last_receipt_at(db)?))).await
    }

    async fn sweep(&self) -> anyhow::Result<()> {
        let named: HashSet<String> = self
            .store
            .run(|db| {
                let mut rows = db.prepare("select file from spool where file is not null")?;
                rows.query_map([], |row| row.get(0))?.collect()
            })
            .await?;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !named.contains(entry.file_name().to_string_lossy().as_ref()) {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

pub fn backlog(db: &Connection) -> rusqlite::Result<Backlog> {
    db.query_row(
        "select count(*) filter (where quarantined is null),
                min(observed_at) filter (where quarantined is null),
                count(*) filter (where quarantined is not null) from spool",
        [],
        |row| {
            let oldest: Option<String> = row.get(1)?;
            Ok(Backlog {
                count: row.get(0)?,
                oldest_at: oldest.and_then(|text| text.parse().ok()),
                quarantined: row.get(2)?,
                oldest_age_seconds: None,
            })
        },
    )
}

pub fn last_receipt_at(db: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let last: Option<String> = db.query_row("select max(received_at) from receipts", [], |row| row.get(0))?;
    Ok(last.and_then(|text| text.parse().ok()))
}

fn counter(db: &Connection) -> rusqlite::Result<u64> {
    let count: Option<u64> = db
        .prepare_cached("select value from meta where key = 'sequence'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(count.unwrap_or(0))
}

fn set_counter(db: &Connection, count: u64) -> rusqlite::Result<()> {
    db.prepare_cached("insert or replace into meta values ('sequence', ?1)")?.execute([count]).map(drop)
}

fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<DateTime<Utc>> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
