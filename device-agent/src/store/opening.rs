//! How the database is opened, and what becomes of one that cannot be read: it is set aside, and a fresh
//! one begins.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, MAIN_DB, ffi};

use crate::{durable, store::schema};

const FILE: &str = "agent.db";
/// Tells the next start that the database was found corrupt.
const MARK: &str = "agent.db.corrupt";
/// Databases that are kept for whoever wants to know what happened.
const MOST_ASIDE: usize = 3;
/// Space that is given up when there is none left, so that what waits can still be sent and dropped.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: u64 = 1024 * 1024;

/// Where the database and what belongs to it lie.
pub struct Place {
    folder: PathBuf,
}

impl Place {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Opens the database as it is.
    pub fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(self.database())?;
        // SQLite makes do with reading, and would go on so after the disk can be written again.
        if connection.is_readonly(MAIN_DB)? {
            return Err(failure(ffi::SQLITE_READONLY));
        }
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "busy_timeout", 5000)?;
        // A small box: the page cache need not hold more than a few files.
        connection.pragma_update(None, "cache_size", -1024)?;
        schema::upgrade(&connection)?;
        Ok(connection)
    }

    /// Opens the database if it is sound, else a fresh one in its place. True: it was replaced.
    pub fn connect_sound(&self) -> rusqlite::Result<(Connection, bool)> {
        if !self.is_marked() {
            match self.connect_checked() {
                Err(error) if is_corrupt(&error) => {
                    tracing::error!(%error, "the database cannot be read; a fresh one begins");
                    self.mark();
                }
                opened => return opened.map(|connection| (connection, false)),
            }
        }
        self.set_aside().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let fresh = self.connect()?;
        fresh.execute("insert or replace into meta values ('replaced', 1)", [])?;
        // Only now: a power cut on the way must not leave a fresh one that does not know it is one.
        drop(fs::remove_file(self.folder.join(MARK)));
        Ok((fresh, true))
    }

    /// Lets the next start set the database aside.
    pub fn mark(&self) {
        if let Err(error) = durable::replace(&self.folder.join(MARK), b"") {
            tracing::error!(%error, "the database cannot be marked as corrupt");
        }
    }

    /// Keeps space for a worse day, if there is some now.
    pub fn lay_by(&self) {
        let reserve = self.folder.join(RESERVE);
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&reserve);
        let kept = file.is_ok_and(|file| {
            rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES).is_ok()
        });
        if !kept {
            drop(fs::remove_file(reserve));
        }
    }

    /// True if there was anything to give up.
    pub fn give_up(&self) -> bool {
        let given_up = fs::remove_file(self.folder.join(RESERVE)).is_ok();
        if given_up {
            tracing::error!("the disk is full; the reserve is given up");
        }
        given_up
    }

    fn is_marked(&self) -> bool {
        self.folder.join(MARK).exists()
    }

    fn connect_checked(&self) -> rusqlite::Result<Connection> {
        // SQLite takes an empty file for a new database.
        if fs::metadata(self.database()).is_ok_and(|file| file.len() == 0) {
            return Err(failure(ffi::SQLITE_CORRUPT));
        }
        let connection = self.connect()?;
        let found: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if found == "ok" { Ok(connection) } else { Err(failure(ffi::SQLITE_CORRUPT)) }
    }

    fn set_aside(&self) -> io::Result<()> {
        let aside = match durable::set_aside(&self.database(), MOST_ASIDE) {
            Ok(aside) => Some(aside),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let beside = |suffix: &str| self.folder.join(format!("{FILE}-{suffix}"));
        // The log belongs to the database: a fresh one must not find it.
        let moved = aside.map(|mut aside| {
            aside.as_mut_os_string().push("-wal");
            fs::rename(beside("wal"), aside)
        });
        if moved.is_none_or(|moved| moved.is_err()) {
            remove(&beside("wal"))?;
        }
        remove(&beside("shm"))?;
        durable::sync_folder(&self.folder)
    }
}

/// The database itself is broken, and will be however often it is asked.
pub fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
