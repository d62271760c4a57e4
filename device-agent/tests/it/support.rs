//! What the tests share.

pub mod smbd;

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
        complete::{self, Incomplete, Whole},
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

/// Long enough for a machine under load; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until there is an answer, for no longer than patience lasts.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// The same for what takes its time by its nature.
pub async fn eventually_within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, search).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// A folder in memory, where there is such a place: for what does not try the disk.
pub fn light_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Reads what was just written. A process that another test starts has it open too, until it is that program.
pub async fn read_whole(folder: &Path, name: &[u8], spool: &Spool) -> Whole {
    let read = async || match complete::read(folder, name, spool.folder()) {
        Err(Incomplete::Busy) => None,
        read => Some(read.unwrap()),
    };
    eventually("nobody has the file open for writing", read).await
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

/// True if it was done. Only who is not root may be refused: else a test would be left out unseen.
fn as_root(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let may_fail = !rustix::process::geteuid().is_root();
    assert!(output.status.success() || may_fail, "{program} {arguments:?}: {said}");
    output.status.success()
}

/// A disk whose file system becomes read-only at a fault, with everything that is open on it. Nothing, for
/// who may not mount one.
pub struct FailingDisk(TempDir);

impl FailingDisk {
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Self(folder);
        File::create(disk.image()).unwrap().set_len(24 * 1024 * 1024).unwrap();
        fs::create_dir(disk.path()).unwrap();
        let image = disk.image();
        (as_root("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]) && disk.mount_image()).then_some(disk)
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    pub fn fail(&self) {
        as_root("mount", &["-o", "remount,abort", self.path().to_str().unwrap()]);
    }

    /// Repairs it, as a person would, once nothing is open on it any more.
    pub async fn mend(&self) {
        eventually("nothing is open on the failed disk", || async {
            let unmounted = Command::new("umount").arg(self.path()).stderr(Stdio::null()).status();
            unmounted.unwrap().success().then_some(())
        })
        .await;
        // It answers with 1 for what it has repaired.
        drop(Command::new("e2fsck").args(["-p", "-f"]).arg(self.image()).output().unwrap());
        self.mount_image();
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    fn mount_image(&self) -> bool {
        let (image, path) = (self.image(), self.path());
        let to = ["-o", "loop,errors=remount-ro", image.to_str().unwrap(), path.to_str().unwrap()];
        as_root("mount", &to)
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status());
    }
}

/// A small file system of its own, to be filled. Nothing, for who may not mount one.
pub struct SmallDisk(pub TempDir);

impl SmallDisk {
    pub fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let path = folder.path().to_str().unwrap();
        as_root("mount", &["-t", "tmpfs", "-o", &options, "none", path]).then_some(Self(folder))
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
