//! What the tests share.

use std::{
    fs::{self, File},
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use device_agent::{
    capture::{
        Capture, MOST_WAITING,
        spool::{
            Entry, Spool,
            keys::{KeyFile, KeyRing},
        },
    },
    clock::Clock,
    health::Health,
    space::Space,
    store::Store,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until there is an answer, for no longer than patience lasts.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// A folder in memory, where there is such a place: for what does not try the disk.
pub fn light_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub async fn spool_in(state: &Path) -> Spool {
    let store = Store::open(state).unwrap();
    Spool::open(store, state, spool_keys(state), u64::MAX).await.unwrap()
}

pub fn spool_keys(state: &Path) -> KeyRing {
    KeyFile::find(state, None).load_or_make().unwrap()
}

/// Long enough that a test that passes did not pass by a look at everything.
pub const NEVER: Duration = Duration::from_hours(1);

/// A disk with room for everything.
pub fn roomy() -> Arc<Space> {
    Arc::new(Space::reading(|| u64::MAX, 0))
}

/// A capture with nothing in its way, which looks at everything but once.
pub fn capture_of(share: &Path, spool: &Spool) -> Capture {
    Capture {
        share: share.to_owned(),
        spool: spool.clone(),
        clock: Clock::system(),
        space: roomy(),
        scope: Arc::default(),
        health: Health::new(Clock::system()),
        retention: None,
        rescan_every: NEVER,
        most_waiting: MOST_WAITING,
    }
}

/// A small file system of its own, to be filled. Nothing, for who may not mount one.
pub struct SmallDisk(pub TempDir);

impl SmallDisk {
    pub fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    /// Takes every byte that is left.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).unwrap();
        for chunk in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; chunk]).is_ok() {}
        }
    }

    pub fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

pub async fn entries(spool: &Spool) -> Vec<Entry> {
    spool.waiting(100_000).await.unwrap()
}
