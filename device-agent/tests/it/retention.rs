//! What leaves the share, and what never does.

use std::{
    collections::HashSet,
    fs::{self, File},
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use device_agent::{
    capture::{
        complete::Stamp,
        lease,
        retention::{Retention, remove},
        spool::{Added, Spool},
    },
    clock::{Clock, moment::Moment},
};
use device_model::{
    thing_name::ThingName,
    upload::{Receipt, UploadId},
};
use tempfile::TempDir;

use crate::{
    capture::{Share, put},
    support::{entries, eventually, read_whole, spool_in},
};

fn thing() -> ThingName {
    "tenpo-0001".parse().unwrap()
}

fn retention() -> Retention {
    Retention { keep: TimeDelta::days(30) }
}

fn stamp(path: &Path) -> Stamp {
    Stamp::of(&fs::symlink_metadata(path).unwrap())
}

/// A share and its spool, without the watching.
struct Desk {
    share: TempDir,
    _state: TempDir,
    spool: Spool,
    now: DateTime<Utc>,
}

impl Desk {
    async fn new() -> Self {
        let (share, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let spool = spool_in(state.path()).await;
        Self { share, _state: state, spool, now: Clock::system().now() }
    }

    async fn capture(&self, name: &str, settled: bool) {
        let whole = read_whole(self.share.path(), name.as_bytes(), &self.spool).await;
        let added =
            self.spool.add(name.into(), whole, Moment { at: self.now, unsure: None }, settled).await.unwrap();
        assert!(matches!(added, Added::New { .. }));
    }

    /// Captures the file and has a receipt for it since so many days.
    async fn confirmed(&self, name: &str, content: &[u8], days: i64) {
        put(&self.share.path().join(name), content);
        self.capture(name, true).await;
        settle(&self.spool, self.now - TimeDelta::days(days)).await;
    }

    async fn apply(&self) {
        let names = fs::read_dir(self.share.path()).unwrap().map(|entry| entry.unwrap());
        let files = names.filter(|entry| !entry.file_type().unwrap().is_dir());
        let files = files.map(|entry| (entry.file_name().into_encoded_bytes(), stamp(&entry.path())));
        let share = self.share.path().to_owned();
        retention().apply(share, &self.spool, files.collect(), self.now).await.unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.share.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Receipts for all that waits.
async fn settle(spool: &Spool, received_at: DateTime<Utc>) {
    for entry in entries(spool).await {
        let receipt = Receipt {
            upload_id: UploadId::of(&thing(), &entry.path, entry.hash),
            thing: thing(),
            sha256: entry.hash,
            size: entry.size,
            version_id: "v".to_owned(),
            received_at,
        };
        spool.settle(vec![(entry.sequence, receipt)]).await.unwrap();
    }
}

#[tokio::test]
async fn only_what_the_cloud_has_for_long_leaves_the_share() {
    let desk = Desk::new().await;
    let at = |name: &str| desk.share.path().join(name);
    desk.confirmed("old", b"old", 31).await;
    desk.confirmed("young", b"young", 29).await;
    desk.confirmed("changed", b"1", 31).await;
    put(&at("changed"), b"2");
    desk.confirmed("touched", b"touched", 31).await;
    File::open(at("touched")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    desk.confirmed("back-again", b"A", 31).await;
    desk.confirmed("back-again", b"B", 31).await;
    desk.confirmed("back-again", b"A", 1).await;
    desk.confirmed("waits-again", b"A", 31).await;
    desk.confirmed("waits-again", b"B", 31).await;
    desk.confirmed("old too", b"2", 31).await;
    desk.confirmed("linked", b"linked", 31).await;
    fs::rename(at("linked"), at("target")).unwrap();
    symlink("target", at("linked")).unwrap();
    put(&at("unseen"), b"old");
    put(&at("waits"), b"waits");
    put(&at("waits-again"), b"A");
    for name in ["waits", "waits-again"] {
        desk.capture(name, true).await;
    }

    desk.apply().await;

    let stay =
        ["back-again", "changed", "linked", "target", "touched", "unseen", "waits", "waits-again", "young"];
    assert_eq!(desk.names(), stay);
}

#[tokio::test]
async fn a_file_that_someone_writes_to_or_that_might_have_changed_unseen_stays() {
    lease::ignore_lease_signals();
    let desk = Desk::new().await;
    desk.confirmed("open", b"open", 31).await;
    put(&desk.share.path().join("unsettled"), b"unsettled");
    desk.capture("unsettled", false).await;
    settle(&desk.spool, desk.now - TimeDelta::days(31)).await;
    let writer = File::options().append(true).open(desk.share.path().join("open")).unwrap();

    desk.apply().await;
    let while_open = desk.names();
    drop(writer);

    assert_eq!(while_open, ["open", "unsettled"]);
    // A process that another test starts has it open too, until it is that program.
    let removed = async || {
        let now = stamp(&desk.share.path().join("open"));
        remove(desk.share.path(), b"open", &now).unwrap().then_some(())
    };
    eventually("nobody has the file open for writing", removed).await;
    assert_eq!(desk.names(), ["unsettled"]);
}

#[test]
fn nothing_is_removed_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (share, outside) = (folder.path().join("share"), folder.path().join("outside"));
    fs::create_dir(&share).unwrap();
    put(&outside, b"outside");
    symlink(folder.path(), share.join("up")).unwrap();

    for path in [&b"../outside"[..], b"up/outside"] {
        assert!(!remove(&share, path, &stamp(&outside)).unwrap_or_default());
    }
    assert!(outside.exists());
}

#[test]
fn a_file_that_takes_the_name_of_an_old_one_is_not_removed_for_it() {
    let share = tempfile::tempdir().unwrap();
    let (path, draft) = (share.path().join("f"), share.path().join("draft"));
    let (removed, ended) = (Mutex::new(HashSet::new()), AtomicBool::new(false));

    let lost = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                if let Ok(old) = fs::symlink_metadata(&path)
                    && remove(share.path(), b"f", &Stamp::of(&old)).unwrap_or_default()
                {
                    removed.lock().unwrap().insert(old.ino());
                }
            }
        });
        let lost = (0..3_000).find(|_| {
            put(&draft, b"new");
            // Held open, so that no other file gets its number.
            let new = File::open(&draft).unwrap();
            let ino = new.metadata().unwrap().ino();
            fs::rename(&draft, &path).unwrap();
            let is_well = || {
                fs::metadata(&path).is_ok_and(|file| file.ino() == ino)
                    || removed.lock().unwrap().remove(&ino)
            };
            let deadline = Instant::now() + Duration::from_mins(1);
            let mut well = is_well();
            while !well && Instant::now() < deadline {
                std::thread::yield_now();
                well = is_well();
            }
            !well
        });
        ended.store(true, Ordering::Relaxed);
        lost
    });

    assert_eq!(lost, None, "that one was gone, and nothing had been told to remove it");
}

#[tokio::test]
async fn without_the_clouds_time_nothing_is_old() {
    static CLOCK: LazyLock<Arc<Clock>> =
        LazyLock::new(|| Clock::reading(|| Clock::system().local() + TimeDelta::days(1)));
    let share = Share::changed(
        Duration::from_millis(20),
        |root| put(&root.join("old.csv"), b"old"),
        |capture| {
            capture.clock = Arc::clone(&CLOCK);
            capture.retention = Some(retention());
        },
    )
    .await;
    share.captured(b"old.csv", b"old").await;
    settle(&share.spool, CLOCK.now() - TimeDelta::days(31)).await;
    let looked = share.health.looks.load(Ordering::Relaxed);
    eventually("the share was looked at", || async {
        (share.health.looks.load(Ordering::Relaxed) > looked + 2).then_some(())
    })
    .await;
    let unsynced = share.path("old.csv").exists();

    CLOCK.learn(CLOCK.now());

    eventually("it is removed", || async { (!share.path("old.csv").exists()).then_some(()) }).await;
    assert!(unsynced);
}
