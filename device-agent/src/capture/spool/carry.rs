//! Seals what is not sealed under the newest key: what an earlier version left in the open, and what an
//! earlier key sealed. A bounded batch at a time, so it may be cut short anywhere.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use device_model::upload::ContentHash;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    capture::{
        complete::{Body, Draft},
        spool::{
            Spool,
            row::{Sealed, open_head},
            seals::{Label, LookUp},
        },
    },
    store::StoreError,
};

const AT_ONCE: usize = 64;

/// Carries over the tables of an earlier version. A copy that is torn is left out: the share has it.
pub async fn seal_what_is_plain(spool: &Spool) -> anyhow::Result<()> {
    let is_there =
        |db: &Connection| db.prepare("select 1 from sqlite_master where name = 'spool_plain'")?.exists([]);
    if !spool.store.run(is_there).await? {
        return Ok(());
    }
    let mut carried = 0;
    while let Some(plain) = spool.store.run(first_plain).await? {
        carried += 1;
        carry_entry(spool, plain).await?;
    }
    loop {
        let seals = Arc::clone(&spool.seals);
        let moved = spool.store.run(move |db| {
            let observed: Vec<Seen> = db
                .prepare("select path, sha256, stamp, settled, missing_since from observed_plain limit ?1")?
                .query_map([AT_ONCE], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            for (path, sha256, stamp, settled, missing_since) in &observed {
                let (path_key, content_key) = (seals.path_key(path), seals.content_key(ContentHash(*sha256)));
                db.execute(
                    "insert or ignore into observed values (?1, ?2, ?3, ?4, ?5)",
                    params![path_key, content_key, stamp, settled, missing_since],
                )?;
                db.execute("delete from observed_plain where path = ?1", [path])?;
            }
            let receipts: Vec<(i64, [u8; 32])> = db
                .prepare("select sequence, sha256 from receipts_plain limit ?1")?
                .query_map([AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (sequence, sha256) in &receipts {
                db.execute(
                    "insert or ignore into receipts
                     select sequence, upload_id, null, ?2, size, version_id, received_at from receipts_plain
                     where sequence = ?1",
                    params![sequence, seals.content_key(ContentHash(*sha256))],
                )?;
                db.execute("delete from receipts_plain where sequence = ?1", [sequence])?;
            }
            Ok(observed.len() + receipts.len())
        });
        match moved.await? {
            0 => break,
            moved => carried += moved,
        }
    }
    let free = |db: &Connection| db.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let has_free_pages = spool.store.run(free).await? > 0;
    if carried > 0 || has_free_pages {
        // What was deleted still stands in free pages and in the log.
        let rewrite = "vacuum; pragma wal_checkpoint(truncate)";
        if let Err(error) = spool.store.run_alone(move |db| db.execute_batch(rewrite)).await {
            tracing::warn!(%error, "the database cannot be rewritten now; the next start tries again");
            return Ok(());
        }
    }
    let drop_all = "drop table spool_plain; drop table observed_plain; drop table receipts_plain";
    Ok(spool.store.run(move |db| db.execute_batch(drop_all)).await?)
}

/// Seals the heads of all entries under the newest key. What does not open stays as it is.
pub async fn seal_anew(spool: &Spool) -> Result<(), StoreError> {
    let mut last = i64::MIN;
    loop {
        let seals = Arc::clone(&spool.seals);
        let reached = spool.store.run(move |db| {
            let mut rows = db.prepare_cached(
                "select path_key, content_key, size, observed_at, head, sequence from spool
                 where sequence > ?1 and substr(head, 1, 8) != ?2 order by sequence limit ?3",
            )?;
            let mut rows = rows.query(params![last, seals.newest(), AT_ONCE])?;
            let mut reached = None;
            while let Some(row) = rows.next()? {
                let sequence: i64 = row.get(5)?;
                reached = Some(sequence);
                if let Ok(head) = open_head(row, &seals)? {
                    let (path_key, content_key): (LookUp, LookUp) = (row.get(0)?, row.get(1)?);
                    let (size, observed_at): (u64, String) = (row.get(2)?, row.get(3)?);
                    let label = Label {
                        path_key: &path_key,
                        content_key: &content_key,
                        size,
                        observed_at: &observed_at,
                    };
                    let head = seals.seal(&label, &head)?;
                    db.execute("update spool set head = ?2 where sequence = ?1", params![sequence, head])?;
                }
            }
            Ok(reached)
        });
        match reached.await? {
            Some(reached) => last = reached,
            None => return Ok(()),
        }
    }
}

/// Path, hash of the content, stamp, settled, missing since.
type Seen = (Vec<u8>, [u8; 32], String, bool, Option<String>);

struct Plain {
    sequence: u64,
    path: Vec<u8>,
    hash: ContentHash,
    size: u64,
    observed_at: String,
    content: Option<Vec<u8>>,
    file: Option<String>,
    quarantined: Option<String>,
    refused: bool,
}

fn first_plain(db: &Connection) -> rusqlite::Result<Option<Plain>> {
    db.query_row(
        "select sequence, path, sha256, size, observed_at, content, file, quarantined, refused
         from spool_plain order by sequence limit 1",
        [],
        |row| {
            Ok(Plain {
                sequence: row.get(0)?,
                path: row.get(1)?,
                hash: ContentHash(row.get(2)?),
                size: row.get(3)?,
                observed_at: row.get(4)?,
                content: row.get(5)?,
                file: row.get(6)?,
                quarantined: row.get(7)?,
                refused: row.get(8)?,
            })
        },
    )
    .optional()
}

async fn carry_entry(spool: &Spool, plain: Plain) -> anyhow::Result<()> {
    let Plain { sequence, path, hash, size, observed_at, content, file, quarantined, refused } = plain;
    let body = match (content, file) {
        (_, Some(file)) => {
            let (from, folder) = (spool.folder.join(file), spool.folder.clone());
            tokio::task::spawn_blocking(move || copy_sealed(&from, &folder, size)).await??
        }
        (content, None) => Some(Body::Inline(content.unwrap_or_default())),
    };
    let forget = move |db: &Connection| db.execute("delete from spool_plain where sequence = ?1", [sequence]);
    let Some(body) = body else {
        tracing::error!(sequence, "an entry's copy is torn; the share is read again");
        let forgotten = spool.store.run(move |db| {
            forget(db)?;
            db.execute("delete from observed_plain where path = ?1", [path])
        });
        return Ok(forgotten.await.map(drop)?);
    };
    let observed_at = observed_at.parse()?;
    let sealed = Sealed::of(&spool.seals, path, hash, size, &observed_at, &body)?;
    let carried = spool.store.run(move |db| {
        sealed.insert(db, sequence)?;
        db.execute(
            "update spool set quarantined = ?2, refused = ?3 where sequence = ?1",
            params![sequence, quarantined, refused],
        )?;
        forget(db)
    });
    Ok(carried.await.map(drop)?)
}

/// Nothing, if the copy is gone or has another size.
fn copy_sealed(from: &Path, folder: &Path, size: u64) -> io::Result<Option<Body>> {
    let mut file = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if file.metadata()?.len() != size {
        return Ok(None);
    }
    let mut draft = Draft::new(folder)?;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Some(Body::File(draft.keep(folder, size)?))),
            read => draft.write(chunk.get(..read).unwrap_or_default())?,
        }
    }
}
