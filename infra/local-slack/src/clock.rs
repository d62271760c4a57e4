//! The one clock of the emulator. Tests wind it forward instead of waiting for a trigger to go stale.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's time, plus what somebody wound it forward by.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: AtomicU64,
}

impl Clock {
    /// Time since 1970.
    pub fn now(&self) -> Duration {
        let ahead = Duration::from_millis(self.ahead_ms.load(Ordering::Relaxed));
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + ahead
    }

    pub fn wind_forward(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by, Ordering::Relaxed);
    }
}
