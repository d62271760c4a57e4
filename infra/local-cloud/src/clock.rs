//! The one place that reads the wall clock; everything else is handed a `Clock`.

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time. Clones tell the same time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    ahead: TimeDelta,
}

impl Clock {
    /// The machine's own time.
    pub fn system() -> Self {
        Self::default()
    }

    /// The machine's time moved by `ahead`, for tests of what expires.
    pub fn shifted(ahead: TimeDelta) -> Self {
        Self { ahead }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that is handed in")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }
}
