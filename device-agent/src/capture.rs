//! Takes every content that appears on the share into the spool: whole, once, and at once.
//!
//! An event of the kernel is a hint; the lease and the read decide. What a hint misses is found by
//! looking at everything from time to time.

mod beneath;
mod closing;
pub mod complete;
pub mod lease;
pub mod patterns;
pub mod poll;
mod queue;
pub mod retention;
pub mod scope;
pub mod sealed;
pub mod source;
pub mod spool;
pub mod trigger;
pub mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, Once, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    capture::{
        closing::Closing,
        complete::{Incomplete, Stamp, Whole},
        queue::Queue,
        retention::Retention,
        scope::Scope,
        source::{Noticed, SharePath, Source, View, Walked},
        spool::{Added, Spool},
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
/// Looks at new folders, at once.
const MOST_WALKS: usize = 4;
/// What waits to be read; beyond this the share itself remembers it.
pub const MOST_WAITING: usize = 10_000;
/// How often what is gone from the share, or old, is looked for.
const UPKEEP_EVERY: Duration = Duration::from_hours(24);

/// Everything that a look or a read needs; each takes a copy along.
#[derive(Clone)]
pub struct Capture {
    pub share: PathBuf,
    pub spool: Spool,
    pub clock: Arc<Clock>,
    pub space: Arc<Space>,
    pub scope: Arc<Scope>,
    pub health: Arc<Health>,
    /// Nothing is ever removed from the share without one.
    pub retention: Option<Retention>,
    pub rescan_every: Duration,
    pub most_waiting: usize,
}

enum Ended {
    Walk(anyhow::Result<Vec<SharePath>>),
    Read(SharePath, anyhow::Result<Looked>),
    /// Its wait is over.
    Wait(SharePath),
}

enum Looked {
    Done,
    /// Someone had it open for writing.
    Busy,
}

impl Capture {
    pub async fn run(self, mut source: impl Source, stop: CancellationToken) -> anyhow::Result<()> {
        lease::ignore_lease_signals();
        let mut queue = Queue::new(self.most_waiting);
        let mut closing = Closing::default();
        let mut tasks = JoinSet::new();
        let mut reading = 0;
        let mut walking = 0;
        let mut rescan = interval_at(Instant::now(), self.rescan_every);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rescan_due = false;
        let mut kept_up: Option<Instant> = None;
        loop {
            // One look at everything at a time; a second one that is called for comes after it.
            if rescan_due && walking == 0 {
                rescan_due = false;
                walking += 1;
                // Without the cloud's time nothing is old.
                let upkeep = kept_up.is_none_or(|at| at.elapsed() >= UPKEEP_EVERY) && self.clock.is_synced();
                if upkeep {
                    kept_up = Some(Instant::now());
                }
                tasks.spawn(self.clone().walk_everything(source.view(), upkeep));
            }
            while reading < AT_ONCE
                && let Some(path) = queue.next()
            {
                reading += 1;
                tasks.spawn(self.clone().read(source.view(), path));
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = rescan.tick() => rescan_due = true,
                noticed = source.next() => match noticed? {
                    Noticed::File(path) => {
                        self.scope.released_by(&path).into_iter().for_each(|path| queue.add(path));
                        queue.add(path);
                    }
                    // Too many at once, or a look at everything is due anyway: that finds them all.
                    Noticed::Folder(_) if rescan_due || walking >= MOST_WALKS => rescan_due = true,
                    Noticed::Folder(path) => {
                        walking += 1;
                        tasks.spawn(self.clone().walk_folder(source.view(), path));
                    }
                    Noticed::Everything => rescan_due = true,
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
                        queue.done(path.clone());
                        rescan_due |= queue.has_room_again();
                        if let Err(error) = &result {
                            tracing::error!(error = format!("{error:#}"), "a file could not be captured");
                        }
                        if !matches!(result, Ok(Looked::Busy)) {
                            closing.done(&path);
                        } else if let Some(wait) = closing.wait(&path) {
                            tasks.spawn(async move {
                                sleep(wait).await;
                                Ended::Wait(path)
                            });
                        }
                    }
                    Ended::Wait(path) => queue.add(path),
                },
            }
        }
    }

    async fn walk_folder(self, view: Arc<dyn View>, folder: SharePath) -> Ended {
        let unseen = async || {
            let walked = tokio::task::spawn_blocking(move || view.walk(&folder)).await??;
            self.unseen(walked.files).await
        };
        Ended::Walk(unseen().await)
    }

    async fn walk_everything(self, view: Arc<dyn View>, upkeep: bool) -> Ended {
        let unseen = async || {
            let now = self.clock.now();
            match tokio::task::spawn_blocking(move || view.walk(b"")).await? {
                Ok(walked) => {
                    self.report(&walked);
                    if upkeep {
                        self.keep_up(&walked, now).await;
                    }
                    self.unseen(walked.files).await
                }
                Err(error) => {
                    if !self.health.share_unreadable.swap(true, Ordering::Relaxed) {
                        tracing::error!(%error, "the share cannot be read; it is looked for again");
                    }
                    Ok(Vec::new())
                }
            }
        };
        Ended::Walk(unseen().await)
    }

    fn report(&self, walked: &Walked) {
        if self.health.share_unreadable.swap(false, Ordering::Relaxed) {
            tracing::info!("the share can be read again");
        }
        self.health.excluded.store(walked.excluded, Ordering::Relaxed);
        self.health.too_big.store(walked.too_big, Ordering::Relaxed);
        self.health.too_long.store(walked.too_long, Ordering::Relaxed);
        self.health.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets what is gone from the share for long, and removes from it what is old.
    async fn keep_up(&self, walked: &Walked, now: DateTime<Utc>) {
        // What cannot be looked into may still hold what seems to be gone.
        if walked.unreadable == 0 {
            let there = walked.files.iter().map(|(path, _)| path.clone()).collect();
            if let Err(error) = self.spool.prune(there, now).await {
                tracing::warn!(%error, "what is gone from the share cannot be forgotten now");
            }
        }
        if let Some(retention) = &self.retention {
            let removed = retention.apply(self.share.clone(), &self.spool, walked.files.clone(), now);
            if let Err(error) = removed.await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "what is old on the share cannot be removed now"
                );
            }
        }
    }

    async fn unseen(&self, mut found: Vec<(SharePath, Stamp)>) -> anyhow::Result<Vec<SharePath>> {
        let mut unseen = Vec::new();
        while !found.is_empty() {
            let rest = found.split_off(found.len().min(LOOK_UP));
            unseen.extend(self.spool.unseen(std::mem::replace(&mut found, rest)).await?);
        }
        Ok(unseen)
    }

    async fn read(self, view: Arc<dyn View>, path: SharePath) -> Ended {
        let result = self.capture(view, path.clone()).await;
        Ended::Read(path, result)
    }

    /// Reads one file and spools it. What is no file, or not yet whole, is no fault.
    async fn capture(&self, view: Arc<dyn View>, path: SharePath) -> anyhow::Result<Looked> {
        let started = Instant::now();
        let observed = self.clock.moment();
        let local = self.clock.local();
        let (capture, name) = (self.clone(), path.clone());
        let read = tokio::task::spawn_blocking(move || {
            let whole = capture.read_whole(&*view, &name)?;
            let settled = is_settled(&whole.stamp, local);
            Ok((whole, settled))
        });
        let (whole, settled) = match read.await? {
            Ok(read) => read,
            // A hint or a look comes back to it, if it is worth it.
            Err(
                Incomplete::Gone
                | Incomplete::NotAFile
                | Incomplete::Early
                | Incomplete::TooBig
                | Incomplete::NoRoom,
            ) => return Ok(Looked::Done),
            Err(Incomplete::Busy | Incomplete::Changing) => return Ok(Looked::Busy),
            Err(error) => return Err(error.into()),
        };
        let (size, leased) = (whole.size, whole.leased);
        if !leased {
            static TOLD: Once = Once::new();
            // A small fault: a half file would be followed by the whole one.
            TOLD.call_once(|| {
                tracing::error!(
                    "no leases on the share; of a folder on this machine the agent must own the files"
                );
            });
        }
        if let Added::New { sequence } = self.spool.add(path, whole, observed, settled).await? {
            self.health.captured.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                sequence,
                size_bytes = size,
                lease = leased,
                duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "captured a file"
            );
        }
        Ok(Looked::Done)
    }

    fn read_whole(&self, view: &dyn View, path: &[u8]) -> Result<Whole, Incomplete> {
        let size = complete::metadata(&self.share, path)?.len();
        if size > self.scope.max_file_bytes {
            return Err(Incomplete::TooBig);
        }
        if !self.space.has_room_for(size) || !self.spool.quota().has_room_for(size) {
            return Err(Incomplete::NoRoom);
        }
        if !self.scope.is_released(&self.share, path) || !view.rests(path)? {
            return Err(Incomplete::Early);
        }
        complete::read(&self.share, path, self.spool.folder())
    }
}

fn is_settled(stamp: &Stamp, now: DateTime<Utc>) -> bool {
    stamp.changed_at + SETTLED_AFTER_S < now.timestamp()
}
