//! Capture on a real folder with the kernel's own events.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use device_agent::{
    capture::{
        Capture,
        complete::{self, Body, Incomplete},
        lease::{self, Probe},
        spool::{Entry, Spool},
    },
    clock::Clock,
};
use device_model::upload::ContentHash;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{entries, eventually, spool_in};

/// Long enough that a test that passes did not pass by a rescan.
const NEVER: Duration = Duration::from_hours(1);

struct Share {
    folder: TempDir,
    state: TempDir,
    spool: Spool,
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Share {
    async fn watched(rescan_every: Duration) -> Self {
        Self::with_files(rescan_every, |_| {}).await
    }

    async fn with_files(rescan_every: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let spool = spool_in(state.path()).await;
        let mut share = Self { folder, state, spool, tasks: JoinSet::new(), stop: CancellationToken::new() };
        share.start(rescan_every);
        share.settle().await;
        share
    }

    fn start(&mut self, rescan_every: Duration) {
        self.stop = CancellationToken::new();
        let capture = Capture {
            share: self.folder.path().to_owned(),
            spool: self.spool.clone(),
            clock: Clock::system(),
            rescan_every,
        };
        self.tasks.spawn(capture.run(self.stop.clone()));
    }

    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        put(&self.path(name), content);
    }

    /// Waits for this content at this path, and answers with all entries there are.
    async fn captured(&self, name: &[u8], content: &[u8]) -> Vec<Entry> {
        let hash = ContentHash::of(content);
        eventually("a file is captured", || async {
            let all = entries(&self.spool).await;
            let found = all.iter().any(|entry| entry.path == name && entry.hash == hash);
            found.then_some(all)
        })
        .await
    }

    /// Everything that happened so far has been dealt with: a file written after it is captured.
    async fn settle(&self) -> Vec<Entry> {
        let name = format!("settle-{}", entries(&self.spool).await.len());
        self.write(&name, name.as_bytes());
        let all = self.captured(name.as_bytes(), name.as_bytes()).await;
        all.into_iter().filter(|entry| !entry.path.starts_with(b"settle-")).collect()
    }
}

fn put(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

fn hashes(entries: &[Entry]) -> Vec<ContentHash> {
    entries.iter().map(|entry| entry.hash).collect()
}

#[tokio::test]
async fn a_written_file_is_captured_whole_by_its_close() {
    let share = Share::watched(NEVER).await;

    let mut file = File::create(share.path("処方.csv")).unwrap();
    file.write_all(b"half").unwrap();
    let before = share.settle().await;
    file.write_all(b" and half").unwrap();
    drop(file);

    let entries = share.captured("処方.csv".as_bytes(), b"half and half").await;
    assert_eq!(before, []);
    assert_eq!(entries.iter().filter(|entry| entry.size == 13).count(), 1);
}

#[tokio::test]
async fn what_is_there_at_the_start_is_captured_once_over_restarts() {
    let mut share = Share::with_files(NEVER, |folder| {
        fs::create_dir_all(folder.join("a/b")).unwrap();
        put(&folder.join("a/b/old.csv"), b"old");
    })
    .await;
    share.captured(b"a/b/old.csv", b"old").await;

    share.end().await;
    share.write("while-away.csv", b"away");
    share.spool = spool_in(share.state.path()).await;
    share.start(NEVER);

    share.captured(b"while-away.csv", b"away").await;
    assert_eq!(share.settle().await.len(), 2);
}

#[tokio::test]
async fn going_back_to_earlier_content_is_an_observation_of_its_own() {
    let share = Share::watched(NEVER).await;

    for content in [b"A", b"B", b"A"] {
        share.write("f.csv", content);
        share.settle().await;
    }
    // Opened, closed, nothing changed.
    drop(File::options().append(true).open(share.path("f.csv")).unwrap());

    let entries = share.settle().await;
    assert_eq!(hashes(&entries), [b"A", b"B", b"A"].map(|content| ContentHash::of(content)));
    assert!(entries.is_sorted_by(|one, next| one.sequence < next.sequence));
}

#[tokio::test]
async fn a_file_that_takes_its_name_last_is_captured_under_it_only() {
    let share = Share::watched(NEVER).await;

    share.write("upload.tmp", b"renamed");
    fs::rename(share.path("upload.tmp"), share.path("final.csv")).unwrap();

    share.captured(b"final.csv", b"renamed").await;
    assert_eq!(share.settle().await.len(), 1);
}

#[tokio::test]
async fn directories_that_come_late_or_move_are_followed() {
    let share = Share::watched(NEVER).await;

    fs::create_dir_all(share.path("new/deep")).unwrap();
    share.write("new/deep/1.csv", b"1");
    share.captured(b"new/deep/1.csv", b"1").await;
    fs::rename(share.path("new"), share.path("moved")).unwrap();
    share.captured(b"moved/deep/1.csv", b"1").await;
    share.write("moved/deep/2.csv", b"2");
    share.captured(b"moved/deep/2.csv", b"2").await;
    fs::remove_dir_all(share.path("moved")).unwrap();
    fs::create_dir_all(share.path("moved/deep")).unwrap();
    share.write("moved/deep/3.csv", b"3");

    share.captured(b"moved/deep/3.csv", b"3").await;
}

#[tokio::test]
async fn what_is_no_file_never_stops_the_others() {
    let share = Share::with_files(NEVER, |folder| {
        let outside = folder.parent().unwrap().join("outside-of-the-share");
        drop(outside);
        symlink("/etc/passwd", folder.join("link.csv")).unwrap();
        symlink("/etc", folder.join("linked-folder")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.join("fifo.csv"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        fs::create_dir(folder.join("folder.csv")).unwrap();
    })
    .await;

    symlink("/etc/hostname", share.path("late-link.csv")).unwrap();
    fs::rename(share.path("late-link.csv"), share.path("moved-link.csv")).unwrap();
    fs::rename(share.path("fifo.csv"), share.path("moved-fifo.csv")).unwrap();
    for name in [".hidden", "~$open.xlsx", "x.TMP", "Thumbs.db"] {
        share.write(name, b"never");
    }
    for round in 0..50 {
        let path = share.path(&format!("vanishing-{round}"));
        put(&path, b"v");
        drop(fs::remove_file(path));
    }
    share.write("empty.csv", b"");

    let entries = share.captured(b"empty.csv", b"").await;
    let strange = |entry: &&Entry| {
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        !["empty.csv", "settle-", "vanishing-"].iter().any(|known| name.starts_with(known))
    };
    assert_eq!(entries.iter().filter(strange).count(), 0);
}

#[tokio::test]
async fn a_name_need_not_be_text() {
    let share = Share::watched(NEVER).await;
    let name = b"\x8f\x88\x95\xfb.csv";

    put(&share.folder.path().join(OsStr::from_bytes(name)), b"shift-jis");

    share.captured(name, b"shift-jis").await;
}

#[tokio::test]
async fn what_no_event_told_is_found_by_looking() {
    let share = Share::watched(Duration::from_millis(50)).await;
    put(&share.state.path().join("elsewhere"), b"linked");

    // A hard link brings no event that is watched for.
    fs::hard_link(share.state.path().join("elsewhere"), share.path("linked.csv")).unwrap();

    share.captured(b"linked.csv", b"linked").await;
}

#[test]
fn a_lease_tells_a_writer_from_a_reader() {
    lease::ignore_lease_signals();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let writer = File::create(&path).unwrap();
    let reader = File::open(&path).unwrap();

    let held = lease::probe(&reader);
    let busy = complete::read(folder.path(), b"f", folder.path());
    drop(writer);

    assert_eq!(held, Probe::Busy);
    assert!(matches!(busy, Err(Incomplete::Busy)));
    assert_eq!(lease::probe(&reader), Probe::Free);
}

#[test]
fn nothing_is_read_through_a_link_or_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("share");
    fs::create_dir(&share).unwrap();
    put(&folder.path().join("secret"), b"secret");
    symlink(folder.path(), share.join("up")).unwrap();

    for path in [&b"../secret"[..], b"up/secret", b"up"] {
        let read = complete::read(&share, path, folder.path());
        assert!(matches!(read, Err(Incomplete::NotAFile)), "{read:?}");
    }
}

#[tokio::test]
async fn a_spool_survives_a_restart_big_contents_included() {
    let state = tempfile::tempdir().unwrap();
    let share = tempfile::tempdir().unwrap();
    let big = vec![7; complete::INLINE + 1];
    put(&share.path().join("big"), &big);
    put(&share.path().join("small"), b"small");
    let spool = spool_in(state.path()).await;
    for name in [&b"big"[..], b"small"] {
        let whole = complete::read(share.path(), name, spool.folder()).unwrap();
        spool.add(name.to_vec(), whole, Clock::system().now(), true).await.unwrap();
    }
    put(&spool.folder().join("orphan"), b"nobody names me");
    drop(spool);

    let again = spool_in(state.path()).await;

    let entries = entries(&again).await;
    assert_eq!(hashes(&entries), [ContentHash::of(&big), ContentHash::of(b"small")]);
    let Some(Body::File(copy)) = again.body(1).await.unwrap() else {
        panic!("a big content belongs into a file");
    };
    assert_eq!(fs::read(copy).unwrap(), big);
    assert_eq!(fs::read_dir(again.folder()).unwrap().count(), 1);
}

#[tokio::test]
async fn after_a_lost_spool_the_count_goes_on_above_what_the_cloud_has_seen() {
    let state = tempfile::tempdir().unwrap();
    let share = tempfile::tempdir().unwrap();
    let spool = spool_in(state.path()).await;
    let add = async |content: &[u8]| {
        put(&share.path().join("f"), content);
        let whole = complete::read(share.path(), b"f", spool.folder()).unwrap();
        spool.add(b"f".to_vec(), whole, Clock::system().now(), true).await.unwrap();
    };
    let sequences =
        async || -> Vec<u64> { entries(&spool).await.iter().map(|entry| entry.sequence).collect() };

    add(b"1").await;
    add(b"2").await;
    spool.raise_sequence(1).await.unwrap();
    assert_eq!(sequences().await, [1, 2]);
    spool.raise_sequence(40).await.unwrap();
    add(b"3").await;

    assert_eq!(sequences().await, [41, 42, 43]);
}
