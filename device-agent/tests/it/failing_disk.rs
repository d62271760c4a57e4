//! Capture goes on by itself after its disk was full or has failed, and loses nothing by it.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use device_agent::{
    capture::{complete::INLINE, scope::Scope, spool::Spool, watch::Watch},
    health::Health,
};
use device_model::upload::ContentHash;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    capture::put,
    support::{FailingDisk, SmallDisk, capture_of, entries, eventually, spool_in},
};

/// A share that is captured into a state directory on a disk that may fail.
struct Desk {
    share: TempDir,
    spool: Spool,
    health: Arc<Health>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Desk {
    async fn with_state_in(state: &Path) -> Self {
        let share = tempfile::tempdir().unwrap();
        let spool = spool_in(state).await;
        let mut capture = capture_of(share.path(), &spool);
        capture.rescan_every = Duration::from_millis(50);
        let health = Arc::clone(&capture.health);
        let scope = Arc::<Scope>::default();
        let watch = Watch::new(share.path().to_owned(), scope).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(capture.run(watch, CancellationToken::new()));
        Self { share, spool, health, tasks }
    }

    fn save(&self, name: &str, content: &[u8]) {
        put(&self.share.path().join(name), content);
    }

    async fn holds(&self, contents: &[&[u8]]) {
        let wanted: Vec<ContentHash> = contents.iter().map(|content| ContentHash::of(content)).collect();
        eventually("all of it is captured", || async {
            let waiting = self.spool.waiting(100).await.ok()?;
            let held = |hash: &ContentHash| waiting.iter().any(|entry| entry.hash == *hash);
            wanted.iter().all(held).then_some(())
        })
        .await;
        assert_eq!(entries(&self.spool).await.len(), contents.len(), "each of it once");
    }

    /// Everything on the share was tried, and tried again.
    async fn has_looked(&self) {
        let before = self.health.looks.load(Ordering::Relaxed);
        eventually("the share is looked at", || async {
            (self.health.looks.load(Ordering::Relaxed) > before + 3).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn after_its_disk_became_read_only_and_was_mended_the_box_goes_on_without_a_restart() {
    let Some(disk) = FailingDisk::mount() else {
        return;
    };
    let mut one = Desk::with_state_in(&disk.path().join("state")).await;
    let big = vec![7; INLINE * 2];
    one.save("before", b"A");
    one.holds(&[b"A"]).await;

    disk.fail();
    one.save("while-it-fails", b"B");
    one.save("big", &big);
    one.has_looked().await;
    // What cannot be written is not read from either.
    eventually("it is noticed", || async { one.spool.backlog().await.is_err().then_some(()) }).await;
    assert!(one.tasks.try_join_next().is_none());
    disk.mend().await;

    one.holds(&[b"A", b"B", &big]).await;
    assert!(one.tasks.try_join_next().is_none());
}

#[tokio::test]
async fn while_its_disk_is_full_files_stay_on_the_share_and_are_taken_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("8m") else {
        return;
    };
    let state = disk.0.path().join("state");
    let mut one = Desk::with_state_in(&state).await;
    let (small, big) = (vec![6; INLINE / 2], vec![7; INLINE * 2]);
    one.save("before", b"A");
    one.holds(&[b"A"]).await;

    std::fs::remove_file(state.join("reserve")).unwrap();
    disk.fill();
    one.save("small", &small);
    one.save("big", &big);
    one.has_looked().await;
    // Who asks together with one that finds no room gets no answer either.
    let while_full = eventually("it answers", || async { one.spool.waiting(100).await.ok() }).await.len();
    disk.empty();

    one.holds(&[b"A", &small, &big]).await;
    assert_eq!(while_full, 1);
    assert!(one.tasks.try_join_next().is_none());
}
