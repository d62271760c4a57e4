//! The box's one database: spool, LAN journal, receipts. SQLite with WAL and synchronous=FULL, so what
//! was committed survives a power cut.
//!
//! One thread owns the connection. What waits together to be written is committed together, one fsync
//! for all; what is only read is answered before that.

mod keeper;
mod opening;
mod schema;

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    durable,
    store::{
        keeper::{Job, Keeper, Kind, Task},
        opening::Place,
    },
};

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
        let mut keeper = Keeper::new(place, connection, broken.clone());
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
        let task = Task::new(work, kind, answer);
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
