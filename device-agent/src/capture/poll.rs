//! Any folder that the kernel tells nothing about, such as a mounted share of another machine: it is
//! looked at from time to time, and a file counts once size, times and content rest.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use device_model::upload::ContentHash;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::capture::{
    complete::{self, Incomplete, Stamp},
    scope::Scope,
    source::{self, Noticed, SharePath, Source, View, Walked},
};

/// A file that never rests is read all the same after so many times of settling: each content that
/// stands is worth sending, and the next one supersedes it.
const PATIENCE: u32 = 12;

pub struct Poll {
    every: Interval,
    looked: Arc<Looked>,
}

struct Looked {
    share: PathBuf,
    scope: Arc<Scope>,
    resting: Mutex<Resting>,
}

/// What was seen of the files that were not read yet, and since when.
struct Resting {
    settle: Duration,
    seen: HashMap<SharePath, Seen>,
}

struct Seen {
    stamp: Stamp,
    hash: ContentHash,
    /// Since when it is so.
    since: Instant,
    /// Since when it is waited for.
    first: Instant,
}

impl Poll {
    /// Looks at everything each `every`; a file must rest for `settle`.
    pub fn new(share: PathBuf, scope: Arc<Scope>, every: Duration, settle: Duration) -> Self {
        let mut every = interval(every);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let resting = Mutex::new(Resting { settle, seen: HashMap::new() });
        Self { every, looked: Arc::new(Looked { share, scope, resting }) }
    }
}

impl Source for Poll {
    async fn next(&mut self) -> io::Result<Noticed> {
        self.every.tick().await;
        Ok(Noticed::Everything)
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::<Looked>::clone(&self.looked)
    }
}

impl View for Looked {
    fn walk(&self, from: &[u8]) -> io::Result<Walked> {
        let walked = source::walk(&self.share, from, &self.scope, |_| Ok(()))?;
        if from.is_empty() {
            let there: HashSet<&[u8]> = walked.files.iter().map(|(path, _)| path.as_slice()).collect();
            self.resting(|resting| resting.seen.retain(|path, _| there.contains(path.as_slice())));
        }
        Ok(walked)
    }

    fn rests(&self, path: &[u8]) -> Result<bool, Incomplete> {
        let mut file = complete::open(&self.share, path)?;
        let stamp = Stamp::of(&file.metadata().map_err(Incomplete::Unreadable)?);
        if self.resting(|resting| resting.is_early(path, &stamp, Instant::now())) {
            return Ok(false);
        }
        // A server may tell the new size and times of a file only when it is closed: the content counts too.
        let mut hasher = Sha256::new();
        io::copy(&mut file, &mut hasher).map_err(Incomplete::Unreadable)?;
        let hash = ContentHash(hasher.finalize().into());
        Ok(self.resting(|resting| resting.rests(path, stamp, hash, Instant::now())))
    }
}

impl Looked {
    fn resting<T>(&self, act: impl FnOnce(&mut Resting) -> T) -> T {
        act(&mut self.resting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Resting {
    /// True if its content need not be asked for yet.
    fn is_early(&self, path: &[u8], stamp: &Stamp, now: Instant) -> bool {
        self.seen.get(path).is_some_and(|seen| seen.stamp == *stamp && now - seen.since < self.settle)
    }

    /// Takes note of a file as it is now. True if it is so for long enough.
    fn rests(&mut self, path: &[u8], stamp: Stamp, hash: ContentHash, now: Instant) -> bool {
        let before = self.seen.remove(path);
        let first = before.as_ref().map_or(now, |seen| seen.first);
        let same = before.filter(|seen| seen.stamp == stamp && seen.hash == hash);
        let since = same.map_or(now, |seen| seen.since);
        let rests = now - since >= self.settle || now - first >= self.settle * PATIENCE;
        if !rests {
            self.seen.insert(path.to_vec(), Seen { stamp, hash, since, first });
        }
        rests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    fn stamp(text: &str) -> Stamp {
        Stamp { text: text.to_owned(), changed_at: 0 }
    }

    fn none() -> Resting {
        Resting { settle: SETTLE, seen: HashMap::new() }
    }

    #[test]
    fn a_file_rests_when_neither_its_stamp_nor_its_content_changed_for_long_enough() {
        let (mut resting, start) = (none(), Instant::now());
        let (a, b) = (ContentHash::of(b"a"), ContentHash::of(b"b"));
        let mut rests = |seconds, text, hash| {
            resting.rests(b"f", stamp(text), hash, start + Duration::from_secs(seconds))
        };

        assert!(!rests(0, "1", a));
        assert!(!rests(9, "1", a));
        assert!(!rests(10, "1", b), "the content changed under the same stamp");
        assert!(!rests(15, "2", b), "the stamp changed over the same content");
        assert!(!rests(24, "2", b));
        assert!(rests(25, "2", b));
        assert!(!rests(26, "2", b), "what was read once is seen for the first time again");
    }

    #[test]
    fn a_file_that_never_rests_is_read_after_a_bound() {
        let (mut resting, start) = (none(), Instant::now());
        let read = (0..=240).filter(|second| {
            let hash = ContentHash::of(&[*second]);
            resting.rests(b"f", stamp("s"), hash, start + Duration::from_secs((*second).into()))
        });

        assert_eq!(read.collect::<Vec<u8>>(), [120]);
    }

    #[test]
    fn a_content_is_asked_for_when_it_could_tell_something() {
        let (mut resting, start) = (none(), Instant::now());
        resting.rests(b"f", stamp("1"), ContentHash::of(b""), start);
        let is_early = |text, after| resting.is_early(b"f", &stamp(text), start + after);

        assert!(is_early("1", SETTLE / 2));
        assert!(!is_early("1", SETTLE) && !is_early("2", SETTLE / 2));
        assert!(!resting.is_early(b"g", &stamp("1"), start));
    }

    #[test]
    fn what_is_gone_is_not_waited_for() {
        let share = tempfile::tempdir().unwrap();
        let resting = Mutex::new(none());
        let looked = Looked { share: share.path().to_owned(), scope: Arc::default(), resting };
        let path = share.path().join("f");
        std::fs::File::create(&path).unwrap();
        let waited_for = || looked.resting(|resting| resting.seen.len());

        assert!(!looked.rests(b"f").unwrap());
        looked.walk(b"").unwrap();
        assert_eq!(waited_for(), 1);
        std::fs::remove_file(&path).unwrap();
        looked.walk(b"").unwrap();

        assert_eq!(waited_for(), 0);
    }
}
