//! How fast uploads go: which are on their way, which must wait, and until when all must.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use device_model::upload::Receipt;
use tokio::time::Instant;

use crate::{backoff::Backoff, clients::IN_FLIGHT, failure::Failure, store::StoreError};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(2);

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
    /// Receipts that the store has not taken yet. Their entries stay in flight: sent they are.
    pub unsettled: Vec<(u64, Receipt)>,
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
            unsettled: Vec::new(),
        }
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

#[cfg(test)]
mod tests {
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
}
