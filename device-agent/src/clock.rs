//! The box's clock. There is no clock chip, so its time may be hours off: the cloud's answers say how
//! far, and every time that leaves the box is corrected by that.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use device_model::outcome;

/// A time in whole seconds and its way here leave this much open.
const AGREES: TimeDelta = TimeDelta::seconds(2);

type Source = Box<dyn Fn() -> DateTime<Utc> + Send + Sync>;

pub struct Clock {
    source: Source,
    offset_ms: AtomicI64,
    synced: AtomicBool,
}

impl Clock {
    pub fn system() -> Arc<Self> {
        Self::reading(system_now)
    }

    /// A clock that reads its time elsewhere: a test's, or one that is hours off.
    pub fn reading(source: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            source: Box::new(source),
            offset_ms: AtomicI64::new(0),
            synced: AtomicBool::new(false),
        })
    }

    /// The cloud's time, as well as the box knows it. Microseconds, as Postgres keeps them.
    pub fn now(&self) -> DateTime<Utc> {
        let offset = TimeDelta::milliseconds(self.offset_ms.load(Ordering::Relaxed));
        (self.source)().checked_add_signed(offset).unwrap_or_else(|| (self.source)()).trunc_subsecs(6)
    }

    /// The box's own time, not corrected: what the kernel stamps files with.
    pub fn local(&self) -> DateTime<Utc> {
        (self.source)()
    }

    /// Takes over the cloud's time, just heard.
    pub fn learn(&self, cloud_now: DateTime<Utc>) {
        let offset = cloud_now.signed_duration_since((self.source)());
        self.offset_ms.store(offset.num_milliseconds(), Ordering::Relaxed);
        if !self.synced.swap(true, Ordering::Relaxed) {
            tracing::info!(offset_ms = offset.num_milliseconds(), "the cloud's time is known");
        }
    }

    /// Takes note of the cloud's time, told in whole seconds: a clock that agrees is left as it is.
    pub fn learn_roughly(&self, cloud_now: DateTime<Utc>) {
        let now = self.now();
        let agrees = cloud_now.signed_duration_since(now).abs() <= AGREES;
        self.learn(if agrees { now } else { cloud_now });
    }

    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed)
    }

    /// How far a time of this clock can be trusted, as it stands in verdicts.
    pub fn standing(&self) -> outcome::Clock {
        if self.is_synced() { outcome::Clock::Synced } else { outcome::Clock::Estimated }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that is handed in everywhere else")]
fn system_now() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_three_hours_slow_is_put_right_by_the_cloud() {
        let real: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let clock = Clock::reading(move || real - TimeDelta::hours(3));

        assert_eq!(clock.standing(), outcome::Clock::Estimated);
        clock.learn(real);

        assert_eq!(clock.now(), real);
        assert_eq!(clock.standing(), outcome::Clock::Synced);
    }

    #[test]
    fn a_rough_time_does_not_disturb_a_clock_that_agrees_with_it() {
        let real: DateTime<Utc> = "2026-11-22T12:00:00.900Z".parse().unwrap();
        let told = "2026-11-22T12:00:00Z".parse().unwrap();
        let right = Clock::reading(move || real);
        let slow = Clock::reading(move || real - TimeDelta::hours(3));

        right.learn_roughly(told);
        slow.learn_roughly(told);

        assert_eq!((right.now(), slow.now()), (real, told));
        assert!(right.is_synced() && slow.is_synced());
    }
}
