//! Makes commits durable, many with one sync.
//!
//! A commit under `synchronous = normal` is whole in SQLite's write-ahead log, but the log may still be in memory. A
//! sync of the log's file makes every commit before it durable, so those that wait share the next one. (A checkpoint
//! syncs for itself before it lets go of anything in the log.)

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub struct Log {
    file: File,
    /// Commits so far.
    written: AtomicU64,
    /// Commits that are durable. None once a sync has failed: what it lost is not known.
    durable: Mutex<Option<u64>>,
}

/// A commit that may not be durable yet.
pub struct Ticket(u64);

impl Log {
    /// Of the database at `path`, whose log is there by now.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let file = File::open(log)?;
        path.parent().map(File::open).transpose()?.map(|folder| folder.sync_all()).transpose()?;
        Ok(Self { file, written: AtomicU64::new(0), durable: Mutex::new(Some(0)) })
    }

    /// To be called after a commit, before the next one.
    pub fn committed(&self) -> Ticket {
        Ticket(self.written.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Waits until the commit is durable. Blocks.
    pub fn sync(&self, commit: &Ticket) -> io::Result<()> {
        // Whoever holds the lock syncs; the others find themselves served when they get it.
        let mut durable = self.durable.lock();
        match *durable {
            None => Err(io::Error::other("an earlier sync of the log has failed")),
            Some(count) if count >= commit.0 => Ok(()),
            Some(_) => {
                let covered = self.written.load(Ordering::Acquire);
                let synced = self.file.sync_data();
                *durable = synced.is_ok().then_some(covered);
                synced
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_serves_all_commits_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        File::create(folder.path().join("index-wal")).unwrap();
        let log = Log::open(&path).unwrap();
        let (first, second) = (log.committed(), log.committed());

        log.sync(&first).unwrap();
        assert_eq!(*log.durable.lock(), Some(2));
        log.sync(&second).unwrap();

        let third = log.committed();
        assert_eq!(*log.durable.lock(), Some(2));
        log.sync(&third).unwrap();
        assert_eq!(*log.durable.lock(), Some(3));
    }

    #[test]
    fn after_a_failed_sync_nothing_counts_as_durable() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("index-wal")).unwrap();
        let log = Log::open(&folder.path().join("index")).unwrap();
        let commit = log.committed();
        *log.durable.lock() = None;

        assert!(log.sync(&commit).is_err());
    }
}
