//! From row to row: pure, so that what counts as a fault is in one place.

use super::{Fault, Lost};
use crate::{
    fleet::audit::{
        hash::{self, Hash},
        keys::Keys,
        restored::{self, Restored},
    },
    store::audit_chain::{Link, Told},
};

pub struct Walk {
    base: (i64, Hash),
    seq: i64,
    hash: Hash,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Next,
    /// Over rows that a signed record says were lost.
    Over(Lost),
}

impl Walk {
    /// Begins after the row `seq`, which has this hash.
    pub fn from(seq: i64, hash: Hash) -> Self {
        Self { base: (seq, hash), seq, hash }
    }

    pub fn base(&self) -> i64 {
        self.base.0
    }

    pub fn base_hash(&self) -> Hash {
        self.base.1
    }

    pub fn last_seen(&self) -> i64 {
        self.seq
    }

    pub fn step(&mut self, link: &Link, entry: Option<&Told>, keys: &Keys) -> Result<Step, Fault> {
        let (seq, expected) = (link.seq, self.seq + 1);
        let record = entry.filter(|entry| entry.action == restored::ACTION);
        let record = record.and_then(|entry| entry.after.as_deref());
        let explained = record
            .filter(|_| seq != expected)
            .and_then(|after| Restored::explains(after, expected, seq, &self.hash, keys));
        if seq != expected && explained.is_none() {
            return Err(Fault::Missing { seq: expected });
        }
        let Some(entry) = entry else {
            return Err(Fault::EntryMissing { seq, entry_id: link.entry_id });
        };
        let hash = hash::link(&self.hash, seq, link.chained_at, entry);
        if link.hash != hash {
            return Err(Fault::Altered { seq, entry_id: link.entry_id });
        }
        (self.seq, self.hash) = (seq, hash);
        Ok(explained
            .map_or(Step::Next, |record| Step::Over(Lost { from: record.lost_from, to: record.lost_to })))
    }
}
