//! Capture on a real folder with the kernel's own events.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use device_agent::{
    capture::{
        Capture,
        complete::{self, Body, Incomplete},
        lease::{self, Probe},
        patterns::Patterns,
        scope::Scope,
        spool::{Added, Entry, Spool, aside::Aside},
        watch::Watch,
    },
    clock::Clock,
    health::Health,
    space::Space,
};
use device_model::upload::{ContentHash, Receipt};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{NEVER, capture_of, entries, eventually, light_folder, read_whole, spool_in};

/// A folder that is captured.
pub struct Share {
    pub folder: TempDir,
    state: TempDir,
    pub spool: Spool,
    pub health: Arc<Health>,
    change: fn(&mut Capture),
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Share {
    pub async fn watched(rescan_every: Duration) -> Self {
        Self::with_files(rescan_every, |_| {}).await
    }

    pub async fn with_files(rescan_every: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let share = Self::changed(rescan_every, prepare, |_| {}).await;
        share.settle().await;
        share
    }

    pub async fn changed(
        rescan_every: Duration,
        prepare: impl FnOnce(&Path),
        change: fn(&mut Capture),
    ) -> Self {
        let folder = light_folder();
        let state = light_folder();
        prepare(folder.path());
        let spool = spool_in(state.path()).await;
        let (tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let health = Health::new(Clock::system());
        let mut share = Self { folder, state, spool, health, change, tasks, stop };
        share.start(rescan_every);
        share
    }

    fn start(&mut self, rescan_every: Duration) {
        self.stop = CancellationToken::new();
        let mut capture = capture_of(self.folder.path(), &self.spool);
        capture.health = Arc::clone(&self.health);
        capture.rescan_every = rescan_every;
        (self.change)(&mut capture);
        let watch = Watch::new(capture.share.clone(), Arc::clone(&capture.scope)).unwrap();
        self.tasks.spawn(capture.run(watch, self.stop.clone()));
    }

    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        put(&self.path(name), content);
    }

    /// Waits for this content at this path, and answers with all entries there are.
    pub async fn captured(&self, name: &[u8], content: &[u8]) -> Vec<Entry> {
        let hash = ContentHash::of(content);
        eventually("a file is captured", || async {
            let all = entries(&self.spool).await;
            let found = all.iter().any(|entry| entry.path == name && entry.hash == hash);
            found.then_some(all)
        })
        .await
    }

    /// Everything that happened so far has been dealt with: a file written after it is captured.
    pub async fn settle(&self) -> Vec<Entry> {
        let name = format!("settle-{}", entries(&self.spool).await.len());
        self.write(&name, name.as_bytes());
        let all = self.captured(name.as_bytes(), name.as_bytes()).await;
        all.into_iter().filter(|entry| !entry.path.starts_with(b"settle-")).collect()
    }
}

pub fn put(path: &Path, content: &[u8]) {
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

    for (content, seen) in [b"A", b"B", b"A"].into_iter().zip(1..) {
        share.write("f.csv", content);
        eventually("it was read", || async {
            let entries = entries(&share.spool).await;
            (entries.iter().filter(|entry| entry.path == b"f.csv").count() == seen).then_some(())
        })
        .await;
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

#[tokio::test]
async fn a_close_that_was_told_before_it_was_over_is_waited_for() {
    let share = Share::watched(NEVER).await;
    // Who closes it under a name elsewhere brings no event here, as if its event had come already.
    let elsewhere = share.state.path().join("elsewhere");
    let held = File::create(&elsewhere).unwrap();
    fs::hard_link(&elsewhere, share.path("held.csv")).unwrap();
    put(&share.path("held.csv"), b"content");
    let before = share.settle().await;

    drop(held);

    share.captured(b"held.csv", b"content").await;
    assert_eq!(before, []);
}

#[tokio::test]
async fn a_lease_tells_a_writer_from_a_reader() {
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
    let is_free = async || (lease::probe(&reader) == Probe::Free).then_some(());
    eventually("nobody has the file open for writing", is_free).await;
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
        let whole = read_whole(share.path(), name, &spool).await;
        spool.add(name.to_vec(), whole, Clock::system().moment(), true).await.unwrap();
    }
    put(&spool.folder().join("orphan"), b"nobody names me");
    drop(spool);

    let again = spool_in(state.path()).await;

    let entries = entries(&again).await;
    assert_eq!(hashes(&entries), [ContentHash::of(&big), ContentHash::of(b"small")]);
    let Some(Body::File(copy)) = again.body(1).await.unwrap() else {
        panic!("a big content belongs into a file");
    };
    assert_eq!(copy.key.open(&fs::read(&copy.path).unwrap()).unwrap(), big);
    assert_eq!(fs::read_dir(again.folder()).unwrap().count(), 1);
}

#[tokio::test]
async fn after_a_lost_spool_the_count_goes_on_above_what_the_cloud_has_seen() {
    let state = tempfile::tempdir().unwrap();
    let share = tempfile::tempdir().unwrap();
    let spool = spool_in(state.path()).await;
    let add = async |content: &[u8]| {
        put(&share.path().join("f"), content);
        let whole = read_whole(share.path(), b"f", &spool).await;
        spool.add(b"f".to_vec(), whole, Clock::system().moment(), true).await.unwrap();
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

#[tokio::test]
async fn below_the_floor_of_free_space_the_share_keeps_its_files_until_there_is_more() {
    static FREE: AtomicU64 = AtomicU64::new(99);
    let share = Share::changed(
        Duration::from_millis(20),
        |folder| put(&folder.join("early.csv"), b"early"),
        |capture| capture.space = Arc::new(Space::reading(|| FREE.load(Ordering::Relaxed), 100)),
    )
    .await;
    share.write("late.csv", b"late");
    eventually("the share was looked at", || async {
        (share.health.looks.load(Ordering::Relaxed) > 2).then_some(())
    })
    .await;
    let while_full = entries(&share.spool).await;

    FREE.store(1_000, Ordering::Relaxed);

    share.captured(b"early.csv", b"early").await;
    share.captured(b"late.csv", b"late").await;
    assert_eq!(while_full, []);
}

#[tokio::test]
async fn of_more_files_than_can_wait_none_is_lost() {
    let share = Share::changed(
        NEVER,
        |folder| (0..40).for_each(|number| put(&folder.join(format!("{number}")), &[number])),
        |capture| capture.most_waiting = 3,
    )
    .await;

    eventually("all are captured", || async { (entries(&share.spool).await.len() == 40).then_some(()) })
        .await;
}

#[tokio::test]
async fn what_is_left_out_by_its_name_is_configured_and_counted() {
    let share = Share::changed(
        NEVER,
        |folder| ["a.bak", "b.bak", "c.tmp"].iter().for_each(|name| put(&folder.join(name), b"x")),
        |capture| {
            let exclude = Patterns::read("*.bak");
            capture.scope = Arc::new(Scope { exclude, ..Scope::default() });
        },
    )
    .await;

    share.captured(b"c.tmp", b"x").await;
    assert_eq!(share.health.excluded.load(Ordering::Relaxed), 2);
    assert_eq!(entries(&share.spool).await.len(), 1);
}

/// A spool and one file of a share, without the watching.
struct Desk {
    folder: TempDir,
    spool: Spool,
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool_in(folder.path()).await;
        Self { folder, spool }
    }

    async fn add(&self, name: &str, content: &[u8]) -> Added {
        put(&self.folder.path().join(name), content);
        let whole = read_whole(self.folder.path(), name.as_bytes(), &self.spool).await;
        self.spool.add(name.into(), whole, Clock::system().moment(), true).await.unwrap()
    }

    /// Whether the next look at everything would read the file.
    async fn is_unseen(&self, name: &str) -> bool {
        let metadata = fs::metadata(self.folder.path().join(name)).unwrap();
        let seen = vec![(name.into(), complete::Stamp::of(&metadata))];
        !self.spool.unseen(seen).await.unwrap().is_empty()
    }

    async fn counts(&self) -> (u64, u64) {
        let (backlog, _) = self.spool.backlog().await.unwrap();
        (backlog.count, backlog.quarantined)
    }
}

#[tokio::test]
async fn a_torn_copy_is_replaced_by_what_the_share_still_holds() {
    let desk = Desk::new().await;
    desk.add("f", b"A").await;
    assert!(!desk.is_unseen("f").await);

    desk.spool.quarantine(1, Aside::Torn, "gone".to_owned()).await.unwrap();

    assert!(desk.is_unseen("f").await);
    assert_eq!(desk.add("f", b"A").await, Added::New { sequence: 2 });
    assert_eq!(desk.counts().await, (1, 0));
}

#[tokio::test]
async fn what_was_refused_is_not_tried_again_before_someone_says_so() {
    let desk = Desk::new().await;
    desk.add("f", b"A").await;
    desk.spool.quarantine(1, Aside::Refused, "422".to_owned()).await.unwrap();

    assert_eq!(desk.add("f", b"A").await, Added::Refused);
    assert!(!desk.is_unseen("f").await);
    assert_eq!(desk.add("f", b"B").await, Added::New { sequence: 2 });
    assert_eq!(desk.add("f", b"A").await, Added::Refused);
    assert_eq!(desk.counts().await, (1, 1));

    assert_eq!(desk.spool.retry().await.unwrap(), 1);
    assert_eq!(desk.counts().await, (2, 0));
}

#[tokio::test]
async fn a_person_at_the_box_lets_what_was_set_aside_be_tried_again() {
    let desk = Desk::new().await;
    desk.add("f", b"A").await;
    desk.spool.quarantine(1, Aside::Refused, "422".to_owned()).await.unwrap();

    let told = std::process::Command::new(env!("CARGO_BIN_EXE_device-agent"))
        .arg("retry")
        .env("RECEHUB_THING", "tenpo-0001")
        .env("RECEHUB_STATE_DIR", desk.folder.path())
        .output()
        .unwrap();

    assert_eq!(String::from_utf8(told.stdout).unwrap(), "to be tried again: 1\n");
    assert_eq!(desk.counts().await, (1, 0));
}

#[tokio::test]
async fn what_is_gone_from_the_share_for_a_month_is_forgotten_and_nothing_else() {
    let desk = Desk::new().await;
    let now = Clock::system().now();
    for (name, content) in [("stays", b"A"), ("goes", b"B")] {
        let Added::New { sequence } = desk.add(name, content).await else {
            panic!("{name} is new");
        };
        let receipt = Receipt {
            upload_id: "0".repeat(64).parse().unwrap(),
            thing: "tenpo-0001".parse().unwrap(),
            sha256: ContentHash::of(content),
            size: 1,
            version_id: "v".to_owned(),
            received_at: now,
        };
        desk.spool.settle(vec![(sequence, receipt)]).await.unwrap();
    }
    desk.add("newest", b"C").await;
    let there = || [&b"stays"[..], b"newest"].iter().map(|name| name.to_vec()).collect();
    let after = |days| now + TimeDelta::days(days);

    desk.spool.prune(there(), after(1)).await.unwrap();
    desk.spool.prune(there(), after(20)).await.unwrap();
    assert!(!desk.is_unseen("goes").await);
    desk.spool.prune(there(), after(32)).await.unwrap();

    assert!(desk.is_unseen("goes").await);
    assert!(!desk.is_unseen("stays").await);
    assert_eq!(desk.add("goes", b"B").await, Added::New { sequence: 4 });
}
