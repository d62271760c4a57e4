//! The time, handed in: so that a test can stand still and a row never holds what Postgres cannot keep.

use chrono::{DateTime, SubsecRound, Utc};

pub trait Clock: Send + Sync + 'static {
    /// Whole microseconds, which is what Postgres keeps.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's own clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock that is handed in")]
        let now = Utc::now();
        now.trunc_subsecs(6)
    }
}
