//! The box's one database: spool, LAN journal, receipts. SQLite with WAL and synchronous=FULL, so what
//! was committed survives a power cut.
//!
//! One thread owns the connection. Jobs that wait together are committed together: one fsync for all.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

const FILE: &str = "agent.db";
/// More jobs than this are not put into one transaction.
const BATCH: usize = 128;
/// Space that is given up when there is none left, so that what waits can still be sent and dropped.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: u64 = 1024 * 1024;
/// What leads from each version of the schema to the next.
const STEPS: [&str; 2] = [FIRST, SECOND];
const FIRST: &str = "
create table meta (key text primary key, value) without rowid;
-- What was last seen at each path, so that an unchanged file is not sent again.
create table observed (
    path blob primary key, sha256 blob not null, stamp text not null, settled integer not null
) without rowid;
-- What the cloud has not confirmed yet; small contents here, big ones in a file beside.
create table spool (
    sequence integer primary key, path blob not null, sha256 blob not null, size integer not null,
    observed_at text not null, content blob, file text,
    quarantined text, check ((content is null) != (file is null))
);
create index spool_waiting on spool (sequence) where quarantined is null;
create table receipts (
    sequence integer primary key, upload_id text not null, sha256 blob not null, size integer not null,
    version_id text not null, received_at text not null
);
create table lan_journal (id integer primary key check (id = 1), machine text not null);
create table lan_verdicts (
    number integer primary key autoincrement, change_id text not null unique, verdict text not null
);
";

const SECOND: &str = "
-- Refused: the cloud will never take it. Else what is set aside is torn, and is replaced by the next
-- whole copy.
alter table spool add column refused integer not null default 0;
create index spool_aside on spool (path) where quarantined is not null;
-- Since when nothing stands at the path.
alter table observed add column missing_since text;
";

#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store {path} cannot be opened: {error}")]
    Open { path: PathBuf, error: rusqlite::Error },
    #[error("the state directory {path} cannot be used: {error}")]
    Folder { path: PathBuf, error: std::io::Error },
    #[error("the store failed: {0}")]
    Sqlite(String),
    #[error("the store has ended")]
    Gone,
}

impl Store {
    /// Opens the database in the folder, making both if they are not there.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|error| StoreError::Folder { path: folder.to_owned(), error })?;
        let path = folder.join(FILE);
        let reserve = folder.join(RESERVE);
        let connection = connect(&path).or_else(|error| {
            // A full disk has no room even for what SQLite keeps beside the database.
            if give_up(&reserve) { connect(&path) } else { Err(error) }
        });
        let connection = connection.map_err(|error| StoreError::Open { path, error })?;
        lay_by(&reserve);
        let (jobs, waiting) = mpsc::channel();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || serve(&connection, &waiting, &reserve))
            .map_err(|error| StoreError::Folder { path: folder.to_owned(), error })?;
        Ok(Self { jobs })
    }

    /// Does the work in a transaction and answers once it is durable. A failed job undoes only itself.
    pub async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let task = Task { work: Some(work), result: None, answer };
        self.jobs.send(Box::new(task)).map_err(|_| StoreError::Gone)?;
        answered.await.map_err(|_| StoreError::Gone)?
    }
}

/// Looks into the database of an agent that may be running, without disturbing it.
pub fn open_to_read(folder: &Path) -> Result<Connection, StoreError> {
    let path = folder.join(FILE);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&path, flags).map_err(|error| StoreError::Open { path, error })
}

/// Opens the database of an agent that may be running, to change a little in it.
pub fn open_to_change(folder: &Path) -> Result<Connection, StoreError> {
    let path = folder.join(FILE);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.pragma_update(None, "busy_timeout", 5000)?;
        Ok(connection)
    };
    open().map_err(|error| StoreError::Open { path: path.clone(), error })
}

trait Job: Send {
    /// True if its work may stay. It is the disk that fails and not the job: all of them fail.
    fn work(&mut self, connection: &Connection) -> rusqlite::Result<bool>;
    fn answer(self: Box<Self>, committed: Result<(), String>);
}

struct Task<T, W> {
    work: Option<W>,
    result: Option<rusqlite::Result<T>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Task<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn work(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        match self.work.take().map(|work| work(connection)) {
            // SQLite has ended the transaction by itself then.
            Some(Err(error)) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
                Err(error)
            }
            result => {
                self.result = result;
                Ok(matches!(self.result, Some(Ok(_))))
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), String>) {
        let result = match (self.result, committed) {
            (Some(Err(error)), _) => Err(StoreError::Sqlite(error.to_string())),
            (_, Err(error)) => Err(StoreError::Sqlite(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Gone),
        };
        // Who asked may have been cancelled; the work is done all the same.
        drop(self.answer.send(result));
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "busy_timeout", 5000)?;
    // A small box: the page cache need not hold more than a few files.
    connection.pragma_update(None, "cache_size", -1024)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (step, next) in STEPS.iter().zip(1i64..) {
        if version < next {
            connection
                .execute_batch(&format!("begin immediate; {step} pragma user_version = {next}; commit;"))?;
        }
    }
    Ok(connection)
}

/// Keeps space for a worse day, if there is some now.
fn lay_by(reserve: &Path) {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(reserve);
    let kept = file.is_ok_and(|file| {
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES).is_ok()
    });
    if !kept {
        drop(fs::remove_file(reserve));
    }
}

/// True if there was anything to give up.
fn give_up(reserve: &Path) -> bool {
    let given_up = fs::remove_file(reserve).is_ok();
    if given_up {
        tracing::error!("the disk is full; the reserve is given up");
    }
    given_up
}

fn serve(connection: &Connection, waiting: &mpsc::Receiver<Box<dyn Job>>, reserve: &Path) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(BATCH - 1));
        let committed = commit_together(connection, &mut batch).map_err(|error| {
            drop(connection.execute_batch("rollback"));
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
                give_up(reserve);
            }
            error.to_string()
        });
        for job in batch {
            job.answer(committed.clone());
        }
    }
}

fn commit_together(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    connection.execute_batch("begin")?;
    for job in batch {
        connection.execute_batch("savepoint job")?;
        if !job.work(connection)? {
            connection.execute_batch("rollback to job")?;
        }
        connection.execute_batch("release job")?;
    }
    connection.execute_batch("commit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_job_undoes_itself_and_leaves_its_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let put = |key: &'static str, twice: bool| {
            store.run(move |db| {
                let insert = "insert into meta values (?1, 1)";
                db.execute(insert, [key])?;
                if twice {
                    db.execute(insert, [key])?;
                }
                Ok(())
            })
        };

        let (good, bad, other) = tokio::join!(put("a", false), put("b", true), put("c", false));

        assert!(good.is_ok() && bad.is_err() && other.is_ok());
        let again = Store::open(folder.path()).unwrap();
        let keys = again
            .run(|db| db.query_row("select group_concat(key) from meta", [], |row| row.get::<_, String>(0)))
            .await
            .unwrap();
        assert_eq!(keys, "a,c");
    }

    #[tokio::test]
    async fn the_database_is_as_durable_as_promised() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();

        let (journal, synchronous) = store
            .run(|db| {
                let journal: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
                let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
                Ok((journal, synchronous))
            })
            .await
            .unwrap();

        assert_eq!((journal.as_str(), synchronous), ("wal", 2));
    }
}
