//! An entry as it stands in the database: sealed, and found by keyed hashes.

use device_model::upload::{ContentHash, Receipt};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use crate::{
    capture::{
        complete::Body,
        sealed::{BrokenSeal, ContentKey},
        spool::{
            Added, Entry,
            quota::Quota,
            seals::{Head, Label, LookUp, Seals},
        },
    },
    clock::moment::Moment,
};

/// An entry that was sealed and is to be added.
pub struct Sealed {
    path_key: LookUp,
    content_key: LookUp,
    size: u64,
    observed_at: String,
    head: Vec<u8>,
    /// Either the sealed content, or the name of the file that it is sealed in.
    content: Option<Vec<u8>>,
    file: Option<String>,
}

impl Sealed {
    pub fn of(
        seals: &Seals,
        path: Vec<u8>,
        hash: ContentHash,
        size: u64,
        observed: &Moment,
        body: &Body,
    ) -> rusqlite::Result<Self> {
        let failed = |error: std::io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
        let (key, content, file) = match body {
            Body::Inline(content) => {
                let key = ContentKey::random();
                let content = key.seal(content).map_err(failed)?;
                (key, Some(content), None)
            }
            Body::File(copy) => {
                let name = copy.path.file_name().unwrap_or_default();
                (copy.key.clone(), None, Some(name.to_string_lossy().into_owned()))
            }
        };
        let (path_key, content_key) = (seals.path_key(&path), seals.content_key(hash));
        let observed_at = observed.to_string();
        let label = Label { path_key: &path_key, content_key: &content_key, size, observed_at: &observed_at };
        let head = seals.seal(&label, &Head { path, hash, content_key: key })?;
        Ok(Self { path_key, content_key, size, observed_at, head, content, file })
    }

    /// Answers with what became of it, the copy of a torn entry that it replaces, and the bytes held.
    pub fn add(
        &self,
        db: &Connection,
        stamp: &str,
        settled: bool,
        quota: &Quota,
    ) -> rusqlite::Result<(Added, Option<String>, u64)> {
        let last: Option<LookUp> = db
            .prepare_cached("select content_key from observed where path_key = ?1")?
            .query_row([self.path_key], |row| row.get(0))
            .optional()?;
        let is_known = last.is_some_and(|last| last == self.content_key);
        let held_now = held(db)?;
        if !is_known && quota.is_beyond(held_now, self.size) {
            return Ok((Added::Full, None, held_now));
        }
        db.prepare_cached(
            "insert or replace into observed (path_key, content_key, stamp, settled) values (?1, ?2, ?3, ?4)",
        )?
        .execute(params![self.path_key, self.content_key, stamp, settled])?;
        if is_known {
            return Ok((Added::Unchanged, None, held_now));
        }
        let aside: Option<(u64, bool, Option<String>)> = db
            .prepare_cached(
                "select sequence, refused, file from spool
                 where path_key = ?1 and content_key = ?2 and quarantined is not null order by refused desc",
            )?
            .query_row(params![self.path_key, self.content_key], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let torn = match aside {
            Some((_, true, _)) => return Ok((Added::Refused, None, held_now)),
            Some((sequence, false, file)) => {
                db.execute("delete from spool where sequence = ?1", [sequence])?;
                file
            }
            None => None,
        };
        let sequence = counter(db)? + 1;
        set_counter(db, sequence)?;
        self.insert(db, sequence)?;
        Ok((Added::New { sequence }, torn, held(db)?))
    }

    pub fn insert(&self, db: &Connection, sequence: u64) -> rusqlite::Result<()> {
        db.prepare_cached(
            "insert into spool (sequence, path_key, content_key, size, observed_at, head, content, file)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            sequence,
            self.path_key,
            self.content_key,
            self.size,
            self.observed_at,
            self.head,
            self.content,
            self.file
        ])
        .map(drop)
    }
}

/// Puts the receipt in the entry's place; answers the name of its copy, if it has one.
pub fn drop_entry(
    db: &Connection,
    sequence: u64,
    receipt: &Receipt,
    content_key: &LookUp,
) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(
        "insert or replace into receipts values
         (?1, ?2, (select path_key from spool where sequence = ?1), ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        sequence,
        receipt.upload_id.to_string(),
        content_key,
        receipt.size,
        receipt.version_id,
        receipt.received_at.to_rfc3339(),
    ])?;
    let file: Option<Option<String>> = db
        .prepare_cached("delete from spool where sequence = ?1 returning file")?
        .query_row([sequence], |row| row.get(0))
        .optional()?;
    Ok(file.flatten())
}

#[derive(Debug, Clone, Copy)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// The first entries that wait and open, and the numbers of those that wait and do not.
pub fn waiting(
    db: &Connection,
    seals: &Seals,
    order: Order,
    limit: usize,
) -> rusqlite::Result<(Vec<Entry>, Vec<u64>)> {
    let order = match order {
        Order::OldestFirst => "asc",
        Order::NewestFirst => "desc",
    };
    let mut rows = db.prepare_cached(&format!(
        "select path_key, content_key, size, observed_at, head, sequence from spool
         where quarantined is null order by sequence {order} limit ?1"
    ))?;
    let (mut entries, mut broken) = (Vec::new(), Vec::new());
    let mut rows = rows.query([limit])?;
    while let Some(row) = rows.next()? {
        let sequence = row.get(5)?;
        match open_head(row, seals)? {
            Ok(Head { path, hash, .. }) => {
                let (size, observed) = (row.get(2)?, moment(row, 3)?);
                entries.push(Entry { sequence, path, hash, size, observed });
            }
            Err(BrokenSeal) => broken.push(sequence),
        }
    }
    Ok((entries, broken))
}

/// Of a row that begins with path key, content key, size, time and head.
pub fn open_head(row: &Row<'_>, seals: &Seals) -> rusqlite::Result<Result<Head, BrokenSeal>> {
    let (path_key, content_key): (LookUp, LookUp) = (row.get(0)?, row.get(1)?);
    let observed_at: String = row.get(3)?;
    let label = Label {
        path_key: &path_key,
        content_key: &content_key,
        size: row.get(2)?,
        observed_at: &observed_at,
    };
    Ok(seals.open(&label, row.get_ref(4)?.as_blob().unwrap_or_default()))
}

/// The bytes of what waits.
pub fn held(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("select value from meta where key = 'held'")?.query_row([], |row| row.get(0))
}

pub fn counter(db: &Connection) -> rusqlite::Result<u64> {
    let count: Option<u64> = db
        .prepare_cached("select value from meta where key = 'sequence'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(count.unwrap_or(0))
}

pub fn set_counter(db: &Connection, count: u64) -> rusqlite::Result<()> {
    db.prepare_cached("insert or replace into meta values ('sequence', ?1)")?.execute([count]).map(drop)
}

pub fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Moment> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
