//! How much the spool may hold. Beyond it files stay on the share until something was sent: nothing that
//! was taken is ever dropped for something newer.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A file that finds no place is asked for again at each look at everything; two of those are this long.
const STANDS_FOR: Duration = Duration::from_mins(2);

pub struct Quota {
    /// In bytes.
    limit: u64,
    /// Bytes that wait, as of the last change.
    held: AtomicU64,
    denied: Mutex<Option<Instant>>,
}

impl Quota {
    pub fn new(limit: u64) -> Self {
        Self { limit, held: AtomicU64::new(0), denied: Mutex::new(None) }
    }

    pub fn is_beyond(&self, held: u64, size: u64) -> bool {
        held.saturating_add(size) > self.limit
    }

    pub fn now_held(&self, bytes: u64) {
        self.held.store(bytes, Ordering::Relaxed);
    }

    /// Whether as much may be added. A no raises the alarm.
    pub fn has_room_for(&self, size: u64) -> bool {
        let room = !self.is_beyond(self.held.load(Ordering::Relaxed), size);
        if !room {
            self.deny();
        }
        room
    }

    pub fn deny(&self) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.replace(Instant::now()).is_none_or(|at| at.elapsed() > STANDS_FOR) {
            tracing::error!("the spool holds as much as it may: files stay on the share until it is sent");
        }
    }

    /// True while files find no place.
    pub fn is_full(&self) -> bool {
        let denied = *self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.is_some_and(|at| at.elapsed() <= STANDS_FOR)
    }
}
