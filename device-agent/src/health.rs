//! What the parts of the agent know about how the box is, gathered for the shadow `status`.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use device_model::status::Line;

use crate::clock::Clock;

pub struct Health {
    clock: Arc<Clock>,
    line: Mutex<Option<Line>>,
    /// The fleet API answers uploads with 403.
    pub refused: AtomicBool,
    /// The LAN journal could not be read at the last start.
    pub journal_corrupt: AtomicBool,
    /// Somebody on site has changed the LAN's settings.
    pub lan_drift: AtomicBool,
    /// The database could not be read at the last start, and a fresh one began.
    pub store_replaced: AtomicBool,
    /// The database could not be asked at the last try.
    pub store_failing: AtomicBool,
    /// Files and folders that the last look at everything left out by their names.
    pub excluded: AtomicU64,
    /// Files that the last look at everything found too big to be captured.
    pub too_big: AtomicU64,
    /// Files and folders that the last look at everything found at paths too long to be captured.
    pub too_long: AtomicU64,
    /// The share is gone, or cannot be looked into.
    pub share_unreadable: AtomicBool,
    /// How often everything was looked at.
    pub looks: AtomicU64,
    /// How many files were captured since the start.
    pub captured: AtomicU64,
}

impl Health {
    pub fn new(clock: Arc<Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            line: Mutex::new(None),
            refused: AtomicBool::new(false),
            journal_corrupt: AtomicBool::new(false),
            lan_drift: AtomicBool::new(false),
            store_replaced: AtomicBool::new(false),
            store_failing: AtomicBool::new(false),
            excluded: AtomicU64::new(0),
            too_big: AtomicU64::new(0),
            too_long: AtomicU64::new(0),
            share_unreadable: AtomicBool::new(false),
            looks: AtomicU64::new(0),
            captured: AtomicU64::new(0),
        })
    }

    /// An answer came over the line, or none did.
    pub fn line_is(&self, up: bool) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.as_ref().is_none_or(|line| line.up != up) {
            *line = Some(Line { up, since: self.clock.now() });
        }
    }

    pub fn line(&self) -> Option<Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(flag: &AtomicBool, value: bool) {
        flag.store(value, Ordering::Relaxed);
    }
}
