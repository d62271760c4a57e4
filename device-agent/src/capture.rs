//! Takes every content that appears on the share into the spool: whole, once, and at once.
//!
//! An event of the kernel is a hint; the lease and the read decide. What a hint misses is found by
//! looking at everything from time to time.

pub mod complete;
pub mod exclude;
pub mod lease;
pub mod spool;
pub mod watch;

use std::{
    collections::{HashMap, VecDeque},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{Arc, Once, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    capture::{
        complete::Incomplete,
        exclude::Excludes,
        spool::{Added, Spool},
        watch::{Folders, Noticed, SharePath, Watch},
    },
    clock::Clock,
    health::Health,
    space::Space,
};

/// Captures at once: enough for one fsync to serve several, few enough to stay small.
const AT_ONCE: usize = 4;
/// A file touched this shortly ago could change again within the resolution of its time stamps.
const SETTLED_AFTER_S: i64 = 2;
const LOOK_UP: usize = 256;
/// What waits to be read; beyond this the share itself remembers it.
pub const MOST_WAITING: usize = 10_000;
/// How often what is gone from the share is looked for.
const PRUNE_EVERY: Duration = Duration::from_hours(24);

pub struct Capture {
    pub share: PathBuf,
    pub spool: Spool,
    pub clock: Arc<Clock>,
    pub space: Arc<Space>,
    pub excludes: Excludes,
    pub health: Arc<Health>,
    pub rescan_every: Duration,
    pub most_waiting: usize,
}

/// What waits to be read, each path once, and what is being read.
struct Queue {
    waiting: VecDeque<SharePath>,
    most: usize,
    /// Something found no place, and is found again by looking at everything.
    overflowed: bool,
    /// True: it must be read again once the present read is over.
    known: HashMap<SharePath, Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Reading { again: bool },
}

enum Ended {
    Walk(anyhow::Result<Vec<SharePath>>),
    Read(SharePath, anyhow::Result<()>),
}

impl Capture {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        lease::ignore_lease_signals();
        let mut watch = Watch::new(self.share.clone(), self.excludes.clone())?;
        let mut queue = Queue::new(self.most_waiting);
        let mut tasks = JoinSet::new();
        let mut reading = 0;
        let mut walking = 0;
        let mut rescan = interval_at(Instant::now(), self.rescan_every);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rescan_due = false;
        let mut pruned: Option<Instant> = None;
        loop {
            // One look at everything at a time; a second one that is called for comes after it.
            if rescan_due && walking == 0 {
                rescan_due = false;
                walking += 1;
                let prune = pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) && self.clock.is_synced();
                if prune {
                    pruned = Some(Instant::now());
                }
                tasks.spawn(self.walk(watch.folders(), SharePath::new(), prune));
            }
            while reading < AT_ONCE
                && let Some(path) = queue.next()
            {
                reading += 1;
                tasks.spawn(self.read(path));
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = rescan.tick() => rescan_due = true,
                noticed = watch.next() => match noticed? {
                    Noticed::File(path) => queue.add(path),
                    Noticed::Folder(path) => {
                        walking += 1;
                        tasks.spawn(self.walk(watch.folders(), path, false));
                    }
                    Noticed::Overflow => {
                        tracing::warn!("the kernel dropped events of the share; looking at everything");
                        rescan_due = true;
                    }
                    Noticed::Nothing => {}
                },
                Some(ended) = tasks.join_next() => match ended? {
                    Ended::Walk(found) => {
                        walking -= 1;
                        match found {
                            Ok(paths) => paths.into_iter().for_each(|path| queue.add(path)),
                            Err(error) => tracing::error!(error = format!("{error:#}"), "the share cannot be read"),
                        }
                    }
                    Ended::Read(path, result) => {
                        reading -= 1;
                        queue.done(path);
                        rescan_due |= queue.has_room_again();
                        if let Err(error) = result {
                            tracing::error!(error = format!("{error:#}"), "a file could not be captured");
                        }
                    }
                },
            }
        }
    }

    fn walk(
        &self,
        folders: Folders,
        from: SharePath,
        prune: bool,
    ) -> impl Future<Output = Ended> + Send + use<> {
        let (spool, health, clock) = (self.spool.clone(), Arc::clone(&self.health), Arc::clone(&self.clock));
        async move {
            let prune_at = prune.then(|| clock.now());
            Ended::Walk(walk(&spool, &health, folders, from, prune_at).await)
        }
    }

    fn read(&self, path: SharePath) -> impl Future<Output = Ended> + Send + use<> {
        let (share, spool, clock) = (self.share.clone(), self.spool.clone(), Arc::clone(&self.clock));
        let space = Arc::clone(&self.space);
        async move {
            // It stays on the share and unseen, so the next look at everything comes back to it.
            let size = share.join(OsStr::from_bytes(&path)).symlink_metadata().map_or(0, |file| file.len());
            if !space.has_room_for(size) {
                return Ended::Read(path, Ok(()));
            }
            let result = capture(share, &spool, &clock, path.clone()).await;
            Ended::Read(path, result)
        }
    }
}

async fn walk(
    spool: &Spool,
    health: &Health,
    folders: Folders,
    from: SharePath,
    prune_at: Option<DateTime<Utc>>,
) -> anyhow::Result<Vec<SharePath>> {
    let everything = from.is_empty();
    let walked = tokio::task::spawn_blocking(move || folders.walk(&from)).await??;
    if everything {
        health.excluded.store(walked.excluded, Ordering::Relaxed);
        health.looks.fetch_add(1, Ordering::Relaxed);
    }
    let mut found = walked.files;
    // What cannot be looked into may still hold what seems to be gone.
    if let Some(now) = prune_at
        && walked.unreadable == 0
    {
        let there = found.iter().map(|(path, _)| path.clone()).collect();
        if let Err(error) = spool.prune(there, now).await {
            tracing::warn!(%error, "what is gone from the share cannot be forgotten now");
        }
    }
    let mut unseen = Vec::new();
    while !found.is_empty() {
        let rest = found.split_off(found.len().min(LOOK_UP));
        unseen.extend(spool.unseen(std::mem::replace(&mut found, rest)).await?);
    }
    Ok(unseen)
}

/// Reads one file and spools it. What is no file, or not yet whole, is no fault.
async fn capture(share: PathBuf, spool: &Spool, clock: &Clock, path: SharePath) -> anyhow::Result<()> {
    let started = Instant::now();
    let observed_at = clock.now();
    let local = clock.local();
    let (folder, name) = (spool.folder().to_owned(), path.clone());
    let whole = tokio::task::spawn_blocking(move || {
        complete::read(&share, &name, &folder).map(|whole| {
            let settled = is_settled(&whole.stamp, local);
            (whole, settled)
        })
    });
    let (whole, settled) = match whole.await? {
        Ok(read) => read,
        Err(Incomplete::Gone | Incomplete::NotAFile | Incomplete::Busy | Incomplete::Changing) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let (size, leased) = (whole.size, whole.leased);
    if !leased {
        static TOLD: Once = Once::new();
        // A fault of the set-up, and a small one: a half file would be followed by the whole one.
        TOLD.call_once(|| {
            tracing::error!("no leases on the share: the agent must run as the owner of its files");
        });
    }
    if let Added::New { sequence } = spool.add(path, whole, observed_at, settled).await? {
        tracing::info!(
            sequence,
            size_bytes = size,
            lease = leased,
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "captured a file"
        );
    }
    Ok(())
}

fn is_settled(stamp: &complete::Stamp, now: DateTime<Utc>) -> bool {
    stamp.changed_at + SETTLED_AFTER_S < now.timestamp()
}

impl Queue {
    fn new(most: usize) -> Self {
        Self { waiting: VecDeque::new(), most, overflowed: false, known: HashMap::new() }
    }

    /// True, once, after something found no place and the queue has run empty.
    fn has_room_again(&mut self) -> bool {
        self.waiting.is_empty() && std::mem::take(&mut self.overflowed)
    }

    fn add(&mut self, path: SharePath) {
        match self.known.get_mut(&path) {
            Some(Progress::Waiting) => {}
            Some(Progress::Reading { again }) => *again = true,
            None if self.waiting.len() >= self.most => self.overflowed = true,
            None => {
                self.known.insert(path.clone(), Progress::Waiting);
                self.waiting.push_back(path);
            }
        }
    }

    fn next(&mut self) -> Option<SharePath> {
        let path = self.waiting.pop_front()?;
        self.known.insert(path.clone(), Progress::Reading { again: false });
        Some(path)
    }

    fn done(&mut self, path: SharePath) {
        if self.known.remove(&path) == Some(Progress::Reading { again: true }) {
            self.add(path);
        }
    }
}
