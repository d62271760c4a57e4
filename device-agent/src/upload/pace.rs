//! How fast uploads go: which are on their way, which must wait, and until when all must.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use device_model::upload::Receipt;
use tokio::time::Instant;

use crate::{backoff::Backoff, clients::IN_FLIGHT, failure::Failure, store::StoreError};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(2);
const SETTLED_WITHIN: Duration = Duration::from_secs(1);
const SETTLED_AT_ONCE: usize = 32;
/// One answer of no use holds the others up no longer than this.
const SHORT_WAIT: Duration = Duration::from_secs(5);
/// If more than these are answered so, it is not the entries that are at fault.
const MOST_DEFERRED: usize = 32;

/// Whose turn it is. The newest has one place of its own, the oldest have the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Oldest,
    Newest,
}

/// Who is being sent, who must wait, and until when all must.
pub struct Pace {
    pub in_flight: HashSet<u64>,
    /// Which of those has the place of the newest.
    newest: Option<u64>,
    pub deferred: HashMap<u64, (Instant, Backoff)>,
    pub paused_until: Option<Instant>,
    pub backoff: Backoff,
    /// A refusal is told once, not at each try.
    told: bool,
    pub unsettled: Unsettled,
}

/// Receipts that the store has not taken yet. They wait for each other: each commit costs the disk about
/// as much as all of them.
#[derive(Default)]
pub struct Unsettled {
    pub receipts: BTreeMap<u64, Receipt>,
    /// When they are to be taken.
    pub due: Option<Instant>,
}

impl Pace {
    pub fn new() -> Self {
        Self {
            in_flight: HashSet::new(),
            newest: None,
            deferred: HashMap::new(),
            paused_until: None,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            told: false,
            unsettled: Unsettled::default(),
        }
    }

    /// It is on its way, or has arrived.
    pub fn is_sent(&self, sequence: u64) -> bool {
        self.in_flight.contains(&sequence) || self.unsettled.receipts.contains_key(&sequence)
    }

    pub fn has_room(&self, lane: Lane) -> bool {
        let newest = usize::from(self.newest.is_some());
        match lane {
            Lane::Newest => newest == 0,
            Lane::Oldest => self.in_flight.len() - newest < IN_FLIGHT - 1,
        }
    }

    pub fn begins(&mut self, lane: Lane, sequence: u64) {
        self.in_flight.insert(sequence);
        if lane == Lane::Newest {
            self.newest = Some(sequence);
        }
    }

    pub fn ended(&mut self, sequence: u64) {
        self.in_flight.remove(&sequence);
        self.newest.take_if(|newest| *newest == sequence);
    }

    pub fn succeeded(&mut self, sequence: u64) {
        self.deferred.remove(&sequence);
        self.backoff.reset();
        self.paused_until = None;
        self.told = false;
    }

    /// Maybe only this entry is at fault: it steps back, so that it cannot hold the others up. Answers
    /// how long they wait all the same.
    pub fn step_back(&mut self, sequence: u64) -> Duration {
        let wait = self.wait();
        if self.deferred.len() >= MOST_DEFERRED && !self.deferred.contains_key(&sequence) {
            return wait;
        }
        self.defer(sequence);
        wait.min(SHORT_WAIT)
    }

    pub fn defer(&mut self, sequence: u64) {
        let fresh = || (Instant::now(), Backoff::new(FIRST_WAIT * 5, LONGEST_WAIT * 5));
        let (until, backoff) = self.deferred.entry(sequence).or_insert_with(fresh);
        *until = Instant::now() + backoff.next_wait();
    }

    /// A full disk is no reason to end: it may be the sending that makes room.
    pub fn wait_for_store(&mut self, error: StoreError) -> anyhow::Result<()> {
        let StoreError::Sqlite(error) = error else {
            return Err(error.into());
        };
        let wait = self.wait();
        self.pause(wait);
        self.tell(&Failure::Local(error));
        Ok(())
    }

    /// How long to wait after a failure. What fails while all are waiting was on its way together with
    /// what failed first: that is one failure, and it says nothing new about the next try.
    pub fn wait(&mut self) -> Duration {
        let waiting = self.paused_until.is_some_and(|until| Instant::now() < until);
        if waiting { Duration::ZERO } else { self.backoff.next_wait() }
    }

    pub fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        self.paused_until = Some(self.paused_until.map_or(until, |earlier| earlier.max(until)));
    }

    pub fn tell(&mut self, failure: &Failure) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        match failure {
            Failure::Forbidden => tracing::error!("the fleet API refuses this box; its uploads wait"),
            other => tracing::warn!(error = %other, "uploads wait; they are tried again"),
        }
    }
}

impl Unsettled {
    pub fn add(&mut self, sequence: u64, receipt: Receipt) {
        self.receipts.insert(sequence, receipt);
        let due = *self.due.get_or_insert_with(|| Instant::now() + SETTLED_WITHIN);
        // A commit that failed keeps its own time.
        if self.receipts.len() == SETTLED_AT_ONCE {
            self.due = Some(due.min(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use device_model::upload::{ContentHash, UploadId};

    use super::*;

    #[test]
    fn what_fails_together_is_one_failure() {
        let mut pace = Pace::new();
        let first = Duration::from_mins(1);
        pace.pause(first);
        let until = pace.paused_until;

        for _ in 0..4 {
            let wait = pace.wait();
            pace.pause(wait);
        }

        assert_eq!(pace.paused_until, until);
        assert_eq!(pace.backoff.ceiling(), FIRST_WAIT);
    }

    #[test]
    fn when_every_entry_is_answered_badly_the_waits_grow_and_the_memory_does_not() {
        let mut pace = Pace::new();
        let waits: Vec<Duration> = (0..10_000).map(|sequence| pace.step_back(sequence)).collect();

        assert_eq!(pace.deferred.len(), MOST_DEFERRED);
        assert!(waits[..MOST_DEFERRED].iter().all(|wait| *wait <= SHORT_WAIT));
        let later = &waits[MOST_DEFERRED..];
        assert!(later.iter().any(|wait| *wait > SHORT_WAIT * 10), "it goes on as fast as for one");
        assert!(later.iter().all(|wait| *wait <= LONGEST_WAIT));
    }

    fn receipt() -> Receipt {
        let (thing, content) = ("tenpo-0001".parse().unwrap(), ContentHash::of(b"A"));
        Receipt {
            upload_id: UploadId::of(&thing, b"a", content),
            thing,
            sha256: content,
            size: 1,
            version_id: "v".to_owned(),
            received_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn receipts_wait_for_each_other_a_moment_or_until_they_are_many() {
        let mut unsettled = Unsettled::default();
        let before = Instant::now();
        unsettled.add(1, receipt());
        let first = unsettled.due.unwrap();
        assert!(first >= before + SETTLED_WITHIN && first <= Instant::now() + SETTLED_WITHIN);

        for sequence in 2..SETTLED_AT_ONCE as u64 {
            unsettled.add(sequence, receipt());
        }
        assert_eq!(unsettled.due, Some(first));
        unsettled.add(SETTLED_AT_ONCE as u64, receipt());
        assert!(unsettled.due.unwrap() <= Instant::now());

        // They could not be written down and are to be tried again later.
        let later = Instant::now() + LONGEST_WAIT;
        unsettled.due = Some(later);
        unsettled.add(1000, receipt());
        assert_eq!(unsettled.due, Some(later));
    }

    #[test]
    fn the_newest_has_one_place_and_the_oldest_have_the_others() {
        let mut pace = Pace::new();
        for sequence in 1..IN_FLIGHT as u64 {
            assert!(pace.has_room(Lane::Oldest));
            pace.begins(Lane::Oldest, sequence);
        }
        assert!(!pace.has_room(Lane::Oldest) && pace.has_room(Lane::Newest));

        pace.begins(Lane::Newest, 1000);
        assert!(!pace.has_room(Lane::Oldest) && !pace.has_room(Lane::Newest));
        pace.ended(1000);

        assert!(!pace.has_room(Lane::Oldest) && pace.has_room(Lane::Newest));
    }
}
