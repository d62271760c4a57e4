//! The box's clock. There is no clock chip, so its time may be years off: the cloud's answers say how
//! far, and every time that leaves the box is corrected by that. Until one has come, no time is believed
//! that lies before a floor: the build, or the last time that the cloud was heard.

pub mod moment;

use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use device_model::outcome;
use tokio::sync::Notify;

use crate::clock::moment::{InBoot, Moment, Trusted};

/// A time in whole seconds and its way here leave this much open.
const AGREES: TimeDelta = TimeDelta::seconds(2);

/// The cloud's time is counted on from when it was last heard by the time since the boot, which NTP
/// and people do not step: whatever happens to the wall clock, what was learnt stays true.
pub struct Clock {
    wall: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    since_boot: Box<dyn Fn() -> Duration + Send + Sync>,
    /// Names this boot among all others.
    boot: String,
    known: Mutex<Known>,
    learnt: Notify,
}

struct Known {
    /// What the cloud's time was at a moment of this boot.
    cloud: Option<Anchor>,
    /// It is no earlier than this.
    floor: Anchor,
    /// The certificate of whoever tells the time ends here, and so does what they are believed.
    ceiling: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy)]
struct Anchor {
    at: DateTime<Utc>,
    since_boot: Duration,
}

impl Clock {
    pub fn system() -> Arc<Self> {
        let clock = Self::of(system_now, since_boot);
        clock.raise_floor(built_at());
        clock
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
        let floor = Anchor { at: DateTime::UNIX_EPOCH, since_boot: since_boot() };
        Arc::new(Self {
            wall: Box::new(wall),
            since_boot: Box::new(since_boot),
            boot: this_boot(),
            known: Mutex::new(Known { cloud: None, floor, ceiling: None }),
            learnt: Notify::new(),
        })
    }

    /// The cloud's time, as well as the box knows it. Microseconds, as Postgres keeps them.
    pub fn now(&self) -> DateTime<Utc> {
        let cloud = self.known().cloud;
        let counted = cloud.and_then(|cloud| self.counted_on(cloud));
        counted.unwrap_or_else(|| (self.wall)().max(self.floor())).trunc_subsecs(6)
    }

    /// The box's own time, not corrected: what the kernel stamps files with.
    pub fn local(&self) -> DateTime<Utc> {
        (self.wall)()
    }

    /// Takes over the cloud's time, just heard.
    pub fn learn(&self, cloud_now: DateTime<Utc>) {
        let offset = cloud_now.signed_duration_since(self.now());
        let anchor = Anchor { at: cloud_now, since_boot: (self.since_boot)() };
        let first = {
            let mut known = self.known();
            if known.ceiling.is_some_and(|ceiling| cloud_now > ceiling) {
                tracing::error!(
                    "the cloud tells a time at which its own certificate has ended; not believed"
                );
                return;
            }
            known.cloud.replace(anchor).is_none()
        };
        if first || offset.abs() > AGREES {
            tracing::info!(offset_ms = offset.num_milliseconds(), "the cloud's time is known");
        }
        self.learnt.notify_one();
    }

    /// Takes note of the cloud's time, told in whole seconds: a clock that agrees is left as it is.
    pub fn learn_roughly(&self, cloud_now: DateTime<Utc>) {
        let now = self.now();
        let agrees = cloud_now.signed_duration_since(now).abs() <= AGREES;
        self.learn(if agrees { now } else { cloud_now });
    }

    /// Wakes after the cloud's time was heard. For one listener.
    pub async fn learnt(&self) {
        self.learnt.notified().await;
    }

    /// It cannot be earlier than this.
    pub fn raise_floor(&self, at: DateTime<Utc>) {
        if self.floor() < at {
            self.known().floor = Anchor { at, since_boot: (self.since_boot)() };
        }
    }

    /// Goes on from what an earlier run knew: the time itself, if that was in the same boot.
    pub fn recall(&self, trusted: &Trusted) {
        self.raise_floor(trusted.at);
        if trusted.heard.boot == self.boot {
            let anchor = Anchor { at: trusted.at, since_boot: trusted.heard.since_boot };
            self.known().cloud.get_or_insert(anchor);
        }
    }

    /// What the next run should know.
    pub fn trusted(&self) -> Option<Trusted> {
        let Anchor { at, since_boot } = self.known().cloud?;
        Some(Trusted { at, heard: InBoot { boot: self.boot.clone(), since_boot } })
    }

    /// When a chain that begins to be valid at `begins` is to be judged. As long as the time is not
    /// known, that is the first moment at which it could be: so whoever shows one that had ended at the
    /// floor is refused, whatever the box's own time.
    pub fn judge_at(&self, begins: DateTime<Utc>) -> DateTime<Utc> {
        if self.is_synced() { self.now() } else { begins.max(self.floor()) }
    }

    /// Whoever tells the time from now on has a certificate that ends here.
    pub fn believe_until(&self, ends: DateTime<Utc>) {
        self.known().ceiling = Some(ends);
    }

    /// This moment.
    pub fn moment(&self) -> Moment {
        let unsure =
            (!self.is_synced()).then(|| InBoot { boot: self.boot.clone(), since_boot: (self.since_boot)() });
        Moment { at: self.now(), unsure }
    }

    /// When that was, as well as is known by now.
    pub fn place(&self, moment: &Moment) -> (DateTime<Utc>, outcome::Clock) {
        let Some(then) = &moment.unsure else {
            return (moment.at, outcome::Clock::Synced);
        };
        let placed = self.known().cloud.filter(|_| then.boot == self.boot).and_then(|cloud| {
            let at = |since_boot| TimeDelta::from_std(since_boot).ok();
            cloud.at.checked_add_signed(at(then.since_boot)? - at(cloud.since_boot)?)
        });
        match placed {
            Some(at) => (at.trunc_subsecs(6), outcome::Clock::Synced),
            None => (moment.at, outcome::Clock::Estimated),
        }
    }

    pub fn is_synced(&self) -> bool {
        self.known().cloud.is_some()
    }

    /// How far a time of this clock can be trusted, as it stands in verdicts.
    pub fn standing(&self) -> outcome::Clock {
        if self.is_synced() { outcome::Clock::Synced } else { outcome::Clock::Estimated }
    }

    fn floor(&self) -> DateTime<Utc> {
        let floor = self.known().floor;
        self.counted_on(floor).unwrap_or(floor.at)
    }

    fn counted_on(&self, from: Anchor) -> Option<DateTime<Utc>> {
        let passed = (self.since_boot)().saturating_sub(from.since_boot);
        from.at.checked_add_signed(TimeDelta::from_std(passed).ok()?)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When this program was built.
fn built_at() -> DateTime<Utc> {
    let seconds = env!("RECEHUB_BUILT_AT").parse().unwrap_or_default();
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

/// One that names no boot at all is compared with nothing.
fn this_boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    boot.map_or_else(|_| format!("{:032x}", rand::random::<u128>()), |id| id.trim().to_owned())
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

    /// A box that was switched on `passed` seconds ago and believes `wall`.
    fn switched_on(wall: &str, passed: &Arc<AtomicI64>) -> Arc<Clock> {
        let (wall, passed): (DateTime<Utc>, _) = (wall.parse().unwrap(), Arc::clone(passed));
        Clock::of(move || wall, move || Duration::from_secs(passed.load(Ordering::Relaxed).unsigned_abs()))
    }

    #[test]
    fn no_time_is_believed_that_lies_before_the_floor_and_the_floor_goes_on() {
        let passed = Arc::new(AtomicI64::new(100));
        let clock = switched_on("1970-01-01T00:01:40Z", &passed);
        let floor: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();

        clock.raise_floor(floor);
        clock.raise_floor(floor - TimeDelta::days(1));
        assert_eq!(clock.now(), floor);
        passed.fetch_add(10, Ordering::Relaxed);

        assert_eq!(clock.now(), floor + TimeDelta::seconds(10));
        assert_eq!(clock.standing(), outcome::Clock::Estimated);
        assert!(Clock::system().now().timestamp() >= built_at().timestamp());
        assert!(built_at().timestamp() > 1_700_000_000);
    }

    #[test]
    fn a_moment_before_the_cloud_was_heard_is_placed_once_it_is_and_only_in_its_own_boot() {
        let passed = Arc::new(AtomicI64::new(100));
        let clock = switched_on("2036-01-01T00:00:00Z", &passed);
        let real: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();

        let early = clock.moment();
        let mut of_another = early.clone();
        of_another.unsure.as_mut().unwrap().boot = "another".to_owned();
        assert_eq!(clock.place(&early), (early.at, outcome::Clock::Estimated));
        passed.fetch_add(60, Ordering::Relaxed);
        clock.learn(real);

        assert_eq!(clock.place(&early), (real - TimeDelta::seconds(60), outcome::Clock::Synced));
        assert_eq!(clock.place(&of_another), (early.at, outcome::Clock::Estimated));
        let late = clock.moment();
        clock.learn(real + TimeDelta::hours(1));
        assert_eq!(clock.place(&late), (real, outcome::Clock::Synced));
    }

    #[test]
    fn a_restart_goes_on_with_the_time_and_a_reboot_with_the_floor() {
        let passed = Arc::new(AtomicI64::new(100));
        let real: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let before = switched_on("1970-01-01T00:00:00Z", &passed);
        assert_eq!(before.trusted(), None);
        before.learn(real);
        let mut trusted = before.trusted().unwrap();
        passed.fetch_add(10, Ordering::Relaxed);

        let restarted = switched_on("1970-01-01T00:00:00Z", &passed);
        restarted.recall(&trusted);
        trusted.heard.boot = "another".to_owned();
        let rebooted = switched_on("1970-01-01T00:00:00Z", &passed);
        rebooted.recall(&trusted);

        assert_eq!(restarted.now(), real + TimeDelta::seconds(10));
        assert_eq!((rebooted.now(), rebooted.is_synced()), (real, false));
    }

    #[test]
    fn a_time_at_which_its_tellers_certificate_has_ended_is_not_believed() {
        let real: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let clock = Clock::reading(move || real);
        clock.believe_until(real + TimeDelta::days(90));

        clock.learn(real + TimeDelta::days(91));
        assert!(!clock.is_synced());
        clock.learn(real + TimeDelta::days(1));

        assert_eq!(clock.now(), real + TimeDelta::days(1));
    }
}
