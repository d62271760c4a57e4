//! The box's one database: spool, LAN journal, receipts. SQLite with WAL and synchronous=FULL, so what
//! was committed survives a power cut.
//!
//! One thread owns the connection. What waits together to be written is committed together, one fsync
//! for all; what is only read is answered before that.

mod opening;
mod schema;

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    durable,
    store::opening::{Place, is_corrupt},
};

/// More jobs than this are not put into one transaction.
const BATCH: usize = 128;

#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Box<dyn Job>>,
    broken: CancellationToken,
    was_replaced: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store {path} cannot be opened: {error}")]
    Open { path: PathBuf, error: rusqlite::Error },
    #[error("the state directory {path} cannot be used: {error}")]
    Folder { path: PathBuf, error: std::io::Error },
    /// May pass: the disk is full, or cannot be written now.
    #[error("the store failed: {0}")]
    Sqlite(String),
    /// The next start sets it aside.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    #[error("the store has ended")]
    Gone,
}

impl Store {
    /// Opens the database in the folder, making both if they are not there. One that cannot be read is
    /// set aside for a fresh one.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        durable::make_folder(folder)
            .map_err(|error| StoreError::Folder { path: folder.to_owned(), error })?;
        let place = Place::new(folder);
        let opened = place.connect_sound().or_else(|error| {
            // A full disk has no room even for what SQLite keeps beside the database.
            if place.give_up() { place.connect_sound() } else { Err(error) }
        });
        let (connection, was_replaced) =
            opened.map_err(|error| StoreError::Open { path: place.database(), error })?;
        place.lay_by();
        let (jobs, waiting) = mpsc::channel();
        let broken = CancellationToken::new();
        let mut keeper = Keeper { place, connection: Some(connection), broken: broken.clone() };
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || keeper.serve(&waiting))
            .map_err(|error| StoreError::Folder { path: folder.to_owned(), error })?;
        Ok(Self { jobs, broken, was_replaced })
    }

    /// True if a fresh database was begun because the one before could not be read.
    pub fn was_replaced(&self) -> bool {
        self.was_replaced
    }

    /// Waits until the database is found corrupt. Only a start mends that.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Does the work in a transaction and answers once it is durable. A failed job undoes only itself.
    pub async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.submit(work, Kind::Write).await
    }

    /// Looks something up. It does not wait for what others write.
    pub async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.submit(work, Kind::Read).await
    }

    /// Does what no transaction may be around.
    pub async fn run_alone<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.submit(work, Kind::Alone).await
    }

    async fn submit<T, W>(&self, work: W, kind: Kind) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let task = Task { work: Some(work), kind, result: None, answer };
        self.jobs.send(Box::new(task)).map_err(|_| StoreError::Gone)?;
        answered.await.map_err(|_| StoreError::Gone)?
    }
}

/// Looks into the database of an agent that may be running, without disturbing it.
pub fn open_to_read(folder: &Path) -> Result<Connection, StoreError> {
    let path = Place::new(folder).database();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&path, flags).map_err(|error| StoreError::Open { path, error })
}

/// Opens the database of an agent that may be running, to change a little in it.
pub fn open_to_change(folder: &Path) -> Result<Connection, StoreError> {
    let path = Place::new(folder).database();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.pragma_update(None, "busy_timeout", 5000)?;
        Ok(connection)
    };
    open().map_err(|error| StoreError::Open { path: path.clone(), error })
}

/// How a job stands to the others that wait with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Changes nothing and comes first.
    Read,
    /// Is committed together with the others.
    Write,
    /// Comes when the others are done.
    Alone,
}

trait Job: Send {
    fn kind(&self) -> Kind;
    /// True if its work may stay. It is the disk that fails and not the job: all of them fail.
    fn work(&mut self, connection: &Connection) -> rusqlite::Result<bool>;
    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>);
}

struct Task<T, W> {
    work: Option<W>,
    kind: Kind,
    result: Option<rusqlite::Result<T>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Task<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn work(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        match self.work.take().map(|work| work(connection)) {
            // SQLite may have ended the transaction by itself then.
            Some(Err(error)) if is_of_the_disk(&error) => Err(error),
            result => {
                self.result = result;
                Ok(matches!(self.result, Some(Ok(_))))
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>) {
        let failed = |error: &rusqlite::Error| {
            let said = error.to_string();
            if is_corrupt(error) { StoreError::Corrupt(said) } else { StoreError::Sqlite(said) }
        };
        let result = match (self.result, committed) {
            (Some(Err(error)), _) => Err(failed(&error)),
            (_, Err(error)) => Err(failed(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Gone),
        };
        // Who asked may have been cancelled; the work is done all the same.
        drop(self.answer.send(result));
    }
}

/// The one thread that owns the connection.
struct Keeper {
    place: Place,
    /// None: the disk failed under it, and the next job opens it anew.
    connection: Option<Connection>,
    broken: CancellationToken,
}

impl Keeper {
    fn serve(&mut self, waiting: &mpsc::Receiver<Box<dyn Job>>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| waiting.recv().ok()) {
            let mut batch = Vec::new();
            let mut came = Some(first);
            while let Some(job) = came.take() {
                match job.kind() {
                    Kind::Read => self.finish(vec![job]),
                    Kind::Alone if !batch.is_empty() => {
                        next = Some(job);
                        break;
                    }
                    kind => {
                        batch.push(job);
                        if kind == Kind::Alone || batch.len() == BATCH {
                            break;
                        }
                    }
                }
                came = waiting.try_recv().ok();
            }
            if !batch.is_empty() {
                self.finish(batch);
            }
        }
    }

    fn finish(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let done = self.commit(&mut batch);
        for job in batch {
            job.answer(done.as_ref().copied());
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.place.connect()?,
        };
        let done = match batch {
            [job] if job.kind() != Kind::Write => job.work(&connection).map(drop),
            _ => commit_together(&connection, batch),
        };
        let Err(error) = &done else {
            self.connection = Some(connection);
            return done;
        };
        drop(connection.execute_batch("rollback"));
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                self.place.give_up();
                self.connection = Some(connection);
            }
            // A disk that became read-only may come back as another mount: everything is opened anew.
            Some(ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                tracing::error!(%error, "the database cannot be written; it is opened anew");
            }
            _ if is_corrupt(error) => {
                self.place.mark();
                self.broken.cancel();
                self.connection = Some(connection);
            }
            _ => self.connection = Some(connection),
        }
        done
    }
}

/// No fault of the job's own: whoever writes next fares no better.
fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
        )
    )
}

fn commit_together(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    // At once for writing: whoever reads first and then finds another process in the way is not waited for.
    connection.execute_batch("begin immediate")?;
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
    async fn another_process_does_not_come_between_what_a_job_reads_and_what_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let other = open_to_change(folder.path()).unwrap();
        other.pragma_update(None, "busy_timeout", 0).unwrap();

        let job = store.run(move |db| {
            db.query_row("select count(*) from meta", [], |row| row.get::<_, i64>(0))?;
            let came_between = other.execute("insert into meta values ('other', 1)", []).is_ok();
            db.execute("insert into meta values ('ours', 1)", [])?;
            Ok((came_between, other))
        });
        let (came_between, other) = job.await.unwrap();

        assert!(!came_between);
        other.execute("insert into meta values ('other', 1)", []).unwrap();
    }

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
            .run(|db| {
                db.query_row("select group_concat(key) from meta where key < 'd'", [], |row| {
                    row.get::<_, String>(0)
                })
            })
            .await
            .unwrap();
        assert_eq!(keys, "a,c");
    }

    #[tokio::test]
    async fn who_only_reads_does_not_wait_for_those_who_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let held = |gate: mpsc::Receiver<()>| store.run(move |_| Ok(gate.recv().is_ok()));
        let (open_first, first) = mpsc::channel::<()>();
        let (open_second, second) = mpsc::channel::<()>();
        let mut first = Box::pin(held(first));
        let mut second = Box::pin(held(second));
        let mut read = Box::pin(store.read(|db| db.query_row("select 1", [], |row| row.get::<_, i64>(0))));
        // While the first is at work the others come, in this order.
        for waiting in [&mut first, &mut second] {
            assert!(futures::poll!(waiting).is_pending());
        }
        assert!(futures::poll!(&mut read).is_pending());

        drop(open_first);
        let found = tokio::time::timeout(std::time::Duration::from_secs(10), read).await;

        assert_eq!(found.unwrap().unwrap(), 1);
        drop(open_second);
        assert!(second.await.is_ok());
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
