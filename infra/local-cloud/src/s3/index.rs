//! Which objects there are: one SQLite table of versions, whose transactions make conditional writes atomic.

use std::{collections::BTreeSet, path::Path};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use s3s::{S3Error, S3Result, s3_error};

use super::log::Log;
use super::meta::{Meta, Object, Version};
use crate::template::Bucket;

pub struct Index {
    db: Mutex<Connection>,
    log: Log,
}

/// A condition on the current object of a key, judged in the same transaction as the write.
#[derive(Debug, Clone)]
pub enum Condition {
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: "etag"`, or `*`.
    Matches(Option<String>),
}

/// What became of a delete.
pub struct Deleted {
    /// The version that was removed, or the marker that was laid.
    pub version_id: Option<String>,
    pub marker: bool,
    /// The file that nobody refers to any more.
    pub content: Option<String>,
}

const SCHEMA: &str = "
    create table if not exists version (
        seq        integer primary key autoincrement,
        bucket     text not null,
        key        text not null,
        version_id text not null,
        modified   text not null,
        object     text,
        unique (bucket, key, version_id)
    );
    create index if not exists version_order on version (bucket, key, seq desc);
    create table if not exists upload (
        upload_id  text primary key,
        bucket     text not null,
        key        text not null,
        initiated  text not null,
        meta       text not null
    );
    create table if not exists part (
        upload_id  text not null references upload on delete cascade,
        number     integer not null,
        object     text not null,
        modified   text not null,
        primary key (upload_id, number)
    );
";

const COLUMNS: &str = "seq, key, version_id, modified, object";

impl Index {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let db = Connection::open(path)?;
        // NORMAL leaves it to the log here to make commits durable, many at once.
        db.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on; pragma busy_timeout = 5000;",
        )?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db: Mutex::new(db), log: Log::open(path)? })
    }

    /// Runs `work` in a transaction that writes. What it did is there after a power cut.
    pub fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> S3Result<T>) -> S3Result<T> {
        let mut db = self.db.lock();
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(internal)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(internal)?;
        let commit = self.log.committed();
        drop(db);
        self.log.sync(&commit).map_err(internal)?;
        Ok(done)
    }

    /// The names of all files that an object or a part refers to.
    pub fn contents(&self) -> anyhow::Result<BTreeSet<String>> {
        let db = self.db.lock();
        let mut statement = db.prepare(
            "select json_extract(object, '$.content') from version where object is not null
             union select json_extract(object, '$.content') from part",
        )?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> S3Result<T>) -> S3Result<T> {
        work(&self.db.lock())
    }
}

/// The current version of a key, a delete marker included.
pub fn current(db: &Connection, bucket: &str, key: &str) -> S3Result<Option<Version>> {
    let sql =
        format!("select {COLUMNS} from version where bucket = ?1 and key = ?2 order by seq desc limit 1");
    let mut statement = db.prepare_cached(&sql).map_err(internal)?;
    statement.query_row(params![bucket, key], version).optional().map_err(internal)
}

pub fn by_id(db: &Connection, bucket: &str, key: &str, version_id: &str) -> S3Result<Option<Version>> {
    let sql = format!("select {COLUMNS} from version where bucket = ?1 and key = ?2 and version_id = ?3");
    let mut statement = db.prepare_cached(&sql).map_err(internal)?;
    statement.query_row(params![bucket, key, version_id], version).optional().map_err(internal)
}

/// The first version whose key is `from` (or after it), in the order of keys, the newest first.
pub fn first_from(db: &Connection, bucket: &str, from: &str, inclusive: bool) -> S3Result<Option<Version>> {
    let than = if inclusive { ">=" } else { ">" };
    let sql = format!(
        "select {COLUMNS} from version where bucket = ?1 and key {than} ?2 order by key, seq desc limit 1"
    );
    let mut statement = db.prepare_cached(&sql).map_err(internal)?;
    statement.query_row(params![bucket, from], version).optional().map_err(internal)
}

/// The next older version of the same key.
pub fn older(db: &Connection, bucket: &str, key: &str, seq: i64) -> S3Result<Option<Version>> {
    let sql = format!(
        "select {COLUMNS} from version where bucket = ?1 and key = ?2 and seq < ?3 order by seq desc limit 1"
    );
    let mut statement = db.prepare_cached(&sql).map_err(internal)?;
    statement.query_row(params![bucket, key, seq], version).optional().map_err(internal)
}

/// The version that a request speaks of, which is an object: the one it names, or the current one.
pub fn find(db: &Connection, bucket: &str, key: &str, version_id: Option<&str>) -> S3Result<Version> {
    let found = match version_id {
        Some(version_id) => by_id(db, bucket, key, version_id)?,
        None => current(db, bucket, key)?,
    };
    match (found, version_id) {
        (Some(version), _) if version.object.is_some() => Ok(version),
        (Some(_), Some(_)) => {
            Err(s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource."))
        }
        (None, Some(_)) => Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
        (_, None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
    }
}

/// Puts an object where its condition allows it. Answers also with the file that it replaced in an unversioned bucket.
pub fn put(
    db: &Connection,
    bucket: &Bucket,
    key: &str,
    object: Object,
    now: DateTime<Utc>,
    condition: Option<&Condition>,
) -> S3Result<(Version, Option<String>)> {
    let exists = current(db, &bucket.name, key)?.and_then(|version| version.object);
    match (condition, &exists) {
        (None, _) | (Some(Condition::Absent), None) | (Some(Condition::Matches(None)), Some(_)) => {}
        (Some(Condition::Matches(Some(etag))), Some(object)) if object.etag == *etag => {}
        (Some(Condition::Matches(_)), None) => return Err(s3_error!(NoSuchKey)),
        (Some(_), Some(_)) => {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
    }
    let (seq, id) = next(db, bucket)?;
    let new = Version { seq, key: key.to_owned(), id, modified: now, object: Some(object) };
    let replaced = by_id(db, &bucket.name, key, &new.id)?.and_then(|version| version.object);
    insert(db, &bucket.name, &new)?;
    Ok((new, replaced.map(|object| object.content)))
}

/// The place and the id of the next version. An id begins with the place, so that a list can go on after a version
/// that is gone by then.
fn next(db: &Connection, bucket: &Bucket) -> S3Result<(i64, String)> {
    let last: Option<i64> = db
        .prepare_cached("select seq from sqlite_sequence where name = 'version'")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .map_err(internal)?;
    let seq = last.unwrap_or(0) + 1;
    let id = if bucket.versioning {
        format!("{seq:016x}{}", hex::encode(rand::random::<[u8; 8]>()))
    } else {
        "null".to_owned()
    };
    Ok((seq, id))
}

/// The place that a version had, by its id.
pub fn place_of(version_id: &str) -> Option<i64> {
    i64::from_str_radix(version_id.get(..16)?, 16).ok()
}

fn insert(db: &Connection, bucket: &str, new: &Version) -> S3Result<()> {
    let object = new.object.as_ref().map(serde_json::to_string).transpose().map_err(internal)?;
    db.prepare_cached(
        "insert or replace into version (seq, bucket, key, version_id, modified, object)
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut statement| {
        statement.execute(params![new.seq, bucket, new.key, new.id, new.modified.to_rfc3339(), object])
    })
    .map_err(internal)?;
    Ok(())
}

/// Deletes one version, unless it is locked.
pub fn delete_version(
    db: &Connection,
    bucket: &str,
    key: &str,
    version_id: &str,
    now: DateTime<Utc>,
    bypass: bool,
) -> S3Result<Deleted> {
    let found = by_id(db, bucket, key, version_id)?;
    let marker = found.as_ref().is_some_and(|version| version.object.is_none());
    let object = found.and_then(|version| version.object);
    if object.as_ref().is_some_and(|object| object.meta.is_locked(now, bypass)) {
        return Err(s3_error!(AccessDenied, "Access Denied because object protected by object lock."));
    }
    db.execute(
        "delete from version where bucket = ?1 and key = ?2 and version_id = ?3",
        params![bucket, key, version_id],
    )
    .map_err(internal)?;
    let content = object.map(|object| object.content);
    Ok(Deleted { version_id: Some(version_id.to_owned()), marker, content })
}

/// Hides a key behind a marker; in an unversioned bucket the object goes.
pub fn delete(db: &Connection, bucket: &Bucket, key: &str, now: DateTime<Utc>) -> S3Result<Deleted> {
    let (seq, id) = next(db, bucket)?;
    if !bucket.versioning {
        let gone = delete_version(db, &bucket.name, key, &id, now, false)?;
        return Ok(Deleted { version_id: None, marker: false, ..gone });
    }
    let marker = Version { seq, key: key.to_owned(), id: id.clone(), modified: now, object: None };
    insert(db, &bucket.name, &marker)?;
    Ok(Deleted { version_id: Some(id), marker: true, content: None })
}

/// Changes what is kept of an object beside its bytes. It is read and written in one transaction, or of two changes
/// at once one would undo the other.
pub fn change_meta(
    db: &Transaction<'_>,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
    change: impl FnOnce(&mut Meta) -> S3Result<()>,
) -> S3Result<Version> {
    let mut version = find(db, bucket, key, version_id)?;
    if let Some(object) = &mut version.object {
        change(&mut object.meta)?;
        let object = serde_json::to_string(object).map_err(internal)?;
        db.execute("update version set object = ?2 where seq = ?1", params![version.seq, object])
            .map_err(internal)?;
    }
    Ok(version)
}

pub fn internal(error: impl std::error::Error + Send + Sync + 'static) -> S3Error {
    tracing::error!(error = %error, "S3's index failed");
    S3Error::internal_error(error)
}

pub fn parse<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

pub fn parse_date(row: &Row<'_>, column: usize) -> rusqlite::Result<DateTime<Utc>> {
    let text: String = row.get(column)?;
    DateTime::parse_from_rfc3339(&text).map(|date| date.to_utc()).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn version(row: &Row<'_>) -> rusqlite::Result<Version> {
    let has_object = row.get_ref(4)? != rusqlite::types::ValueRef::Null;
    Ok(Version {
        seq: row.get(0)?,
        key: row.get(1)?,
        id: row.get(2)?,
        modified: parse_date(row, 3)?,
        object: if has_object { Some(parse(row, 4)?) } else { None },
    })
}
