//! The box's clock. There is no clock chip, so its time may be hours off: the cloud's answers say how
//! far, and every time that leaves the box is corrected by that.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use device_model::outcome;

/// A time in whole seconds and its way here leave this much open.
const AGREES: TimeDelta = TimeDelta::seconds(2);

/// The cloud's time is counted on from when it was last heard by the time since the boot, which NTP
/// and people do not step: whatever happens to the wall clock, what was learnt stays true.
pub struct Clock {
    wall: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    since_boot: Box<dyn Fn() -> Duration + Send + Sync>,
    anchor: Mutex<Option<Anchor>>,
}

/// What the cloud's time was at a moment of this boot.
#[derive(Clone, Copy)]
struct Anchor {
    cloud: DateTime<Utc>,
    since_boot: Duration,
}

impl Clock {
    pub fn system() -> Arc<Self> {
        Self::of(system_now, since_boot)
    }

    /// A clock that reads its time elsewhere: a test's, or one that is hours off.
    pub fn reading(wall: impl Fn() -> DateTime<Utc> + Clone + Send + Sync + 'static) -> Arc<Self> {
        let since_boot = wall.clone();
        Self::of(wall, move || {
            since_boot().signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
        })
    }

    /// A clock of these two: the time of day as the box has it, and the time since it was switched on.
    pub fn of(
        wall: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
        since_boot: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { wall: Box::new(wall), since_boot: Box::new(since_boot), anchor: Mutex::new(None) })
    }

    /// The cloud's time, as well as the box knows it. Microseconds, as Postgres keeps them.
    pub fn now(&self) -> DateTime<Utc> {
        let counted = self.anchor().and_then(|anchor| {
            let passed = (self.since_boot)().saturating_sub(anchor.since_boot);
            anchor.cloud.checked_add_signed(TimeDelta::from_std(passed).ok()?)
        });
        counted.unwrap_or_else(|| (self.wall)()).trunc_subsecs(6)
    }

    /// The box's own time, not corrected: what the kernel stamps files with.
    pub fn local(&self) -> DateTime<Utc> {
        (self.wall)()
    }

    /// Takes over the cloud's time, just heard.
    pub fn learn(&self, cloud_now: DateTime<Utc>) {
        let offset = cloud_now.signed_duration_since(self.now());
        let anchor = Anchor { cloud: cloud_now, since_boot: (self.since_boot)() };
        let before = self.anchor.lock().unwrap_or_else(PoisonError::into_inner).replace(anchor);
        if before.is_none() || offset.abs() > AGREES {
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
        self.anchor().is_some()
    }

    fn anchor(&self) -> Option<Anchor> {
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
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

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[test]
    fn a_wall_clock_that_ntp_steps_does_not_move_what_the_cloud_told() {
        let real: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let (stepped, passed) = (Arc::new(AtomicI64::new(-3)), Arc::new(AtomicI64::new(100)));
        let (hours, seconds) = (Arc::clone(&stepped), Arc::clone(&passed));
        let clock = Clock::of(
            move || real + TimeDelta::hours(hours.load(Ordering::Relaxed)),
            move || Duration::from_secs(seconds.load(Ordering::Relaxed).unsigned_abs()),
        );
        clock.learn(real);

        stepped.store(0, Ordering::Relaxed);
        passed.fetch_add(10, Ordering::Relaxed);

        assert_eq!(clock.now(), real + TimeDelta::seconds(10));
    }

    #[test]
    fn a_clock_that_has_gone_astray_is_put_right_by_the_next_answer() {
        let real: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let clock = Clock::reading(move || real);
        clock.learn(real - TimeDelta::hours(3));

        clock.learn_roughly(real);

        assert_eq!(clock.now(), real);
    }

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
