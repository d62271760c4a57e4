//! What the share held and the cloud has not confirmed: durable before a capture counts, dropped only
//! against a receipt.

pub mod aside;
mod carry;
pub mod keys;
mod prune;
pub mod quota;
mod retention;
mod row;
mod seals;

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
    capture::{
        complete::{self, Body, Stamp, Whole},
        sealed::{BrokenSeal, SealedFile},
        spool::{
            aside::Aside,
            keys::{KeyId, KeyRing},
            quota::Quota,
            row::{Order, Sealed, counter, drop_entry, held, moment, open_head, set_counter, waiting},
            seals::Seals,
        },
    },
    clock::moment::Moment,
    durable,
    store::{Store, StoreError},
};

#[derive(Clone)]
pub struct Spool {
    store: Store,
    folder: PathBuf,
    seals: Arc<Seals>,
    added: Arc<Notify>,
    quota: Arc<Quota>,
}

/// An entry that waits for its receipt, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub path: Vec<u8>,
    pub hash: ContentHash,
    pub size: u64,
    pub observed: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Something new stands at the path.
    New { sequence: u64 },
    /// It holds what it held when it was last looked at.
    Unchanged,
    /// The cloud has said that it will never take this content from this path.
    Refused,
    /// The spool holds as much as it may. It counts as never looked at.
    Full,
}

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Torn(#[from] BrokenSeal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Spool {
    /// The spool below the state directory. What an earlier version left in the open, or an earlier key
    /// sealed, is sealed under the newest key; copies that no entry names are swept out. `quota`: the bytes that may wait.
    pub async fn open(store: Store, state_dir: &Path, ring: KeyRing, quota: u64) -> anyhow::Result<Self> {
        let folder = state_dir.join("spool");
        durable::make_folder(&folder)?;
        let seals = store.run(|db| Seals::load_or_make(db, ring)).await?;
        let spool = Self {
            store,
            folder,
            seals: Arc::new(seals),
            added: Arc::new(Notify::new()),
            quota: Arc::new(Quota::new(quota)),
        };
        carry::seal_what_is_plain(&spool).await?;
        if let Err(error) = carry::seal_anew(&spool).await {
            tracing::warn!(%error, "not all is sealed under the newest key; the next start goes on");
        }
        spool.quota.now_held(spool.store.run(held).await?);
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
        let seals = Arc::clone(&self.seals);
        self.store
            .read(move |db| {
                let mut known = db.prepare_cached(
                    "select 1 from observed where path_key = ?1 and stamp = ?2 and settled",
                )?;
                let mut unseen = Vec::new();
                for (path, stamp) in seen {
                    if !known.exists(params![seals.path_key(&path), stamp.text])? {
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
        observed: Moment,
        settled: bool,
    ) -> Result<Added, StoreError> {
        let Whole { hash, size, stamp, body, .. } = whole;
        let copy = match &body {
            Body::File(copy) => Some(copy.clone()),
            Body::Inline(_) => None,
        };
        let sealed = Sealed::of(&self.seals, path, hash, size, &observed, &body);
        let quota = Arc::clone(&self.quota);
        let added = match sealed {
            Ok(sealed) => self.store.run(move |db| sealed.add(db, &stamp.text, settled, &quota)).await,
            Err(error) => Err(StoreError::Sqlite(error.to_string())),
        };
        let added = added.map(|(added, torn, held)| {
            self.quota.now_held(held);
            if let Some(torn) = torn {
                self.discard(&torn);
            }
            added
        });
        if let Ok(Added::Full) = added {
            self.quota.deny();
        }
        match (&added, copy) {
            (Ok(Added::New { .. }), _) => self.added.notify_one(),
            (_, Some(copy)) => complete::discard(&Body::File(copy)),
            (_, None) => {}
        }
        added
    }

    /// The oldest entries that wait. What does not open any more is set aside on the way.
    pub async fn waiting(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.in_order(Order::OldestFirst, limit).await
    }

    /// The newest entries that wait, in the same way.
    pub async fn newest(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.in_order(Order::NewestFirst, limit).await
    }

    async fn in_order(&self, order: Order, limit: usize) -> Result<Vec<Entry>, StoreError> {
        loop {
            let seals = Arc::clone(&self.seals);
            let (entries, broken) = self.store.read(move |db| waiting(db, &seals, order, limit)).await?;
            if broken.is_empty() {
                return Ok(entries);
            }
            for sequence in broken {
                tracing::error!(sequence, "set an entry aside whose seal is broken or of another key");
                self.quarantine(sequence, Aside::Torn, BrokenSeal.to_string()).await?;
            }
        }
    }

    /// The content of an entry: nothing, if there is none of this number.
    pub async fn body(&self, sequence: u64) -> Result<Option<Body>, BodyError> {
        let (seals, folder) = (Arc::clone(&self.seals), self.folder.clone());
        let read = self.store.read(move |db| {
            db.prepare_cached(
                "select path_key, content_key, size, observed_at, head, content, file
                 from spool where sequence = ?1",
            )?
            .query_row([sequence], |row| {
                let (size, head) = (row.get(2)?, open_head(row, &seals)?);
                Ok((size, head, row.get::<_, Option<Vec<u8>>>(5)?, row.get::<_, Option<String>>(6)?))
            })
            .optional()
        });
        let Some((size, head, content, file)) = read.await? else {
            return Ok(None);
        };
        let key = head?.content_key;
        Ok(Some(match file {
            Some(file) => Body::File(SealedFile { path: folder.join(file), key, size }),
            None => Body::Inline(key.open(&content.unwrap_or_default())?),
        }))
    }

    /// Drops entries, each against its receipt, which is kept.
    pub async fn settle(&self, received: Vec<(u64, Receipt)>) -> Result<(), StoreError> {
        let seals = Arc::clone(&self.seals);
        let (files, held) = self
            .store
            .run(move |db| {
                let mut files = Vec::new();
                for (sequence, receipt) in &received {
                    let content_key = seals.content_key(receipt.sha256);
                    files.extend(drop_entry(db, *sequence, receipt, &content_key)?);
                }
                Ok((files, held(db)?))
            })
            .await?;
        self.quota.now_held(held);
        // The ledger first, the copies second: a copy that stays is swept at the next start.
        for file in files {
            self.discard(&file);
        }
        Ok(())
    }

    pub fn quota(&self) -> &Quota {
        &self.quota
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

    /// When the oldest entry that waits was seen.
    pub async fn oldest(&self) -> Result<Option<Moment>, StoreError> {
        self.store.read(oldest).await
    }

    pub async fn backlog(&self) -> Result<(Backlog, Option<DateTime<Utc>>), StoreError> {
        self.store.read(|db| Ok((backlog(db)?, last_receipt_at(db)?))).await
    }

    fn discard(&self, file: &str) {
        // If it stays, the sweep at the next start takes it.
        drop(fs::remove_file(self.folder.join(file)));
    }

    async fn sweep(&self) -> anyhow::Result<()> {
        let named: HashSet<String> = self
            .store
            .read(|db| {
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

/// How much waits, without how old it is: that depends on what is known of the time.
pub fn backlog(db: &Connection) -> rusqlite::Result<Backlog> {
    db.query_row(
        "select count(*) filter (where quarantined is null),
                count(*) filter (where quarantined is not null) from spool",
        [],
        |row| Ok(Backlog { count: row.get(0)?, quarantined: row.get(1)?, ..Backlog::default() }),
    )
}

/// The keys that something in the database is sealed under.
pub fn keys_needed(db: &Connection) -> rusqlite::Result<Vec<KeyId>> {
    let mut rows = db.prepare(
        "select substr(head, 1, 8) from spool
         union select substr(value, 1, 8) from meta where key = 'index_key'",
    )?;
    rows.query_map([], |row| row.get(0))?.collect()
}

/// When the oldest entry that waits was seen.
pub fn oldest(db: &Connection) -> rusqlite::Result<Option<Moment>> {
    let first = "select observed_at from spool where quarantined is null order by sequence limit 1";
    db.prepare_cached(first)?.query_row([], |row| moment(row, 0)).optional()
}

pub fn last_receipt_at(db: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let last: Option<String> = db.query_row("select max(received_at) from receipts", [], |row| row.get(0))?;
    Ok(last.and_then(|text| text.parse().ok()))
}
