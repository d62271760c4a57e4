//! Ten thousand lives of a box, each drawn from a seed: changes, faults, deaths, shadows that repeat and
//! reorder, clocks that jump, people on site. What must hold is looked at with every step, and at the end.
//!
//! `LAN_SEED=N` lives one of them again and tells its story; `LAN_LIVES=N` lives so many.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use device_agent::lan::{
    desire::Desire,
    history,
    state::{Profile, Wish},
    window,
};
use device_model::{
    outcome::{VerdictKind, code},
    shadow::TrialPhase,
    window::{Position, Window},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::{
    lan_bed::{Bed, Call, GONE, Ground, LONGEST_TRIAL, Point, desired, profile},
    lan_shadow::Shadow,
};

const LIVES: u64 = 10_000;
const STEPS: usize = 22;

#[test]
fn whatever_happens_in_ten_thousand_lives_no_box_is_lost_and_each_tells_the_truth() {
    if let Some(seed) = number("LAN_SEED") {
        live(&runtime(), &Ground::new(), seed, true);
        return;
    }
    let (next, lives) = (AtomicU64::new(0), number("LAN_LIVES").unwrap_or(LIVES));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let (runtime, ground) = (runtime(), Ground::new());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= lives {
                        return;
                    }
                    let outcome = catch_unwind(AssertUnwindSafe(|| live(&runtime, &ground, seed, false)));
                    if let Err(panic) = outcome {
                        next.store(lives, Ordering::Relaxed);
                        eprintln!("it is life {seed} that fails: live it again with LAN_SEED={seed}");
                        resume_unwind(panic);
                    }
                }
            });
        }
    });
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn live(runtime: &tokio::runtime::Runtime, ground: &Ground, seed: u64, told: bool) {
    runtime.block_on(async {
        let random = StdRng::seed_from_u64(seed);
        let mut life = Life {
            bed: ground.bed().await,
            random,
            shadow: Shadow::default(),
            wishes: Vec::new(),
            asked: 0,
            sent: 0,
            heard: 0,
            on_site: 200,
            told,
        };
        life.start();
        for _ in 0..STEPS {
            life.step().await;
        }
        life.come_to_rest().await;
        life.check().await;
    });
}

struct Life {
    bed: Bed,
    random: StdRng,
    shadow: Shadow,
    /// What the cloud has wanted, in its order.
    wishes: Vec<(String, Profile, Option<Window>)>,
    /// How often somebody on the spot has asked to go back.
    asked: u32,
    /// How many of the box's reports are with the shadow.
    sent: usize,
    /// How often the running agent was told what is desired.
    heard: usize,
    /// The host of the last settings made on site.
    on_site: u8,
    told: bool,
}

impl Life {
    fn start(&mut self) {
        self.bed.start();
        self.heard = 0;
        let heard = self.shadow.connect(true);
        self.sent = self.bed.watch.reports.len();
        self.hear(heard);
    }

    fn tell(&self, what: impl std::fmt::Debug) {
        if self.told {
            eprintln!("{what:?}");
        }
    }

    fn hear(&mut self, heard: Vec<Value>) {
        self.heard += heard.len();
        for desired in heard {
            self.tell(("hears of", &desired["changeId"]));
            self.bed.want(&desired);
        }
    }

    fn exchange(&mut self) {
        while self.sent < self.bed.watch.reports.len() {
            let report = self.bed.watch.reports[self.sent].clone();
            self.sent += 1;
            let heard = self.shadow.report(report);
            self.hear(heard);
        }
        while !self.shadow.is_quiet() && self.random.random_bool(0.7) {
            let heard = self.shadow.deliver(&mut self.random);
            self.hear(heard);
        }
    }

    async fn step(&mut self) {
        let call = self.bed.next().await;
        self.look_at(&call);
        self.exchange();
        // A box that nothing is wanted of has little to tell.
        let chance = if self.bed.is_idle_at(&call) && self.random.random_bool(0.4) {
            24
        } else {
            self.random.random_range(0..100)
        };
        match chance {
            0..12 => self.fail(call).await,
            12..20 => self.kill(call).await,
            20..24 => {
                self.tell(("NetworkManager dies", call.point));
                self.bed.world().kill_network_manager();
                self.answer(call, Some(GONE)).await;
            }
            24..36 => {
                self.wish();
                self.answer(call, None).await;
            }
            36..40 => {
                self.tell("the line is lost");
                self.shadow.disconnect();
                if self.random.random_bool(0.7) {
                    let heard = self.shadow.connect(false);
                    self.hear(heard);
                }
                self.answer(call, None).await;
            }
            40..45 => {
                self.move_clock(call.point);
                self.answer(call, None).await;
            }
            45..48 => {
                self.change_on_site();
                self.answer(call, None).await;
            }
            48..50 => {
                self.ask_on_the_spot();
                self.answer(call, None).await;
            }
            50..53 => self.fail_the_journal(call).await,
            _ => self.answer(call, None).await,
        }
    }

    /// A trial begins only inside its window, by a clock that is right, with time left to undo it.
    fn look_at(&self, call: &Call) {
        self.tell((call.point, &self.bed.watch.last()["trial"]));
        if call.point != Point::Reached(TrialPhase::Trying) {
            return;
        }
        if let Some(window) = self.window_in_hand() {
            assert!(self.bed.clock.is_synced(), "it begins by a clock that nobody vouches for");
            let end = self.bed.now() + LONGEST_TRIAL;
            let inside = [self.bed.now(), end].map(|at| window.position(at));
            assert_eq!(inside, [Position::Inside; 2], "it begins outside its window");
        }
    }

    fn window_in_hand(&self) -> Option<&Window> {
        let change = self.bed.watch.last()["trial"]["changeId"].as_str()?;
        let (.., window) = self.wishes.iter().find(|(name, ..)| name == change)?;
        window.as_ref()
    }

    /// Lets it go on, and time pass if that is what it waits for.
    async fn answer(&mut self, call: Call, code: Option<&str>) {
        let point = call.point;
        match code {
            Some(code) => call.fail(code),
            None => call.go_on(),
        }
        let may_wait = match point {
            Point::Reached(TrialPhase::Staged) => true,
            Point::Baseline => code.is_none(),
            _ => false,
        };
        if may_wait {
            self.wait_for_window().await;
        }
    }

    async fn wait_for_window(&mut self) {
        while let Some(window) = self.window_in_hand()
            && is_closed(window, &self.bed)
        {
            if self.random.random_bool(0.1) {
                self.tell("dies while it waits for its window");
                self.bed.kill().await;
                self.start();
                return;
            }
            self.bed.pass(self.random.random_range(1..1800));
            if self.random.random_bool(0.3) {
                self.bed.clock.learn(self.bed.now());
            }
        }
    }

    async fn fail(&mut self, call: Call) {
        let codes: &[&str] = match call.point {
            Point::Baseline => &[code::NO_CARRIER, code::OVERLAPS_WAN],
            Point::TryOn | Point::TriedOn => &[code::APPLY_FAILED, code::ADDRESS_IN_USE],
            Point::Probe => &[code::GATEWAY_SILENT, code::SHARE_LOGIN, code::ADDRESS_IN_USE],
            _ => &[code::APPLY_FAILED],
        };
        let code = codes.choose(&mut self.random).unwrap();
        self.tell((call.point, "fails", code));
        self.answer(call, Some(code)).await;
    }

    async fn kill(&mut self, call: Call) {
        self.bed.kill().await;
        drop(call);
        let how = self.random.random_range(0..3);
        self.tell((["the agent dies", "and NetworkManager undoes", "the power goes"])[how]);
        match how {
            0 => {}
            1 => self.bed.world().let_checkpoint_expire(),
            _ => self.bed.world().lose_power(),
        }
        self.exchange_what_is_left();
        self.start();
    }

    /// What the box had sent may still arrive; what it had not is lost with it.
    fn exchange_what_is_left(&mut self) {
        self.sent = self.bed.watch.reports.len();
        self.shadow.disconnect();
    }

    fn wish(&mut self) {
        let number = self.wishes.len();
        if number >= 5 {
            return;
        }
        let (name, host) = (format!("c{number}"), 10 + u8::try_from(number).unwrap());
        let mut wanted = desired(&name, host);
        if self.random.random_bool(0.2) {
            let mut at = |range: std::ops::Range<i64>| {
                json!(self.bed.now() + TimeDelta::minutes(self.random.random_range(range)))
            };
            wanted["window"] = json!({"notBefore": at(-60..60), "notAfter": at(61..180)});
        } else if self.random.random_bool(0.1) {
            wanted["lan"]["gateway"] = json!("not an address");
        }
        let window = serde_json::from_value(wanted["window"].clone()).ok();
        self.wishes.push((name, profile(host), window));
        self.tell(("is wanted", &wanted));
        self.shadow.want(wanted);
    }

    fn move_clock(&mut self, point: Point) {
        // Between the decision to begin and the beginning no time goes by.
        if !matches!(point, Point::Reached(TrialPhase::Trying)) {
            self.bed.pass(self.random.random_range(0..600));
        }
        self.bed.jump(self.random.random_range(-100_000_000..100_000_000));
        if self.random.random_bool(0.5) {
            self.bed.clock.learn(self.bed.now());
        }
    }

    /// Not while a trial is on: then NetworkManager's checkpoint decides what becomes of it.
    fn change_on_site(&mut self) {
        let phase = &self.bed.watch.last()["trial"]["phase"];
        let is_free = (phase.is_null() || phase == "staged") && self.bed.world().checkpoint.is_none();
        if is_free && !self.bed.watch.last().is_null() && self.on_site < 205 {
            self.on_site += 1;
            self.tell(("somebody on site sets", self.on_site));
            self.bed.watch.unnoticed = true;
            self.bed.world().change_on_site(profile(self.on_site));
        }
    }

    fn ask_on_the_spot(&mut self) {
        self.asked += 1;
        let lasted = self.bed.world().lasted.clone();
        let lan = lasted.choose(&mut self.random).unwrap();
        let profile = serde_json::from_value(json!({"lan": lan})).unwrap();
        let change_id = format!("local-{}", self.asked).parse().unwrap();
        self.tell(("somebody asks for", lan));
        self.bed.ask_on_the_spot(Desire::Wish(Box::new(Wish {
            change_id,
            profile,
            window: None,
            local: true,
        })));
    }

    /// Nothing may come of it until the journal can be written again, or the box is started anew.
    async fn fail_the_journal(&mut self, call: Call) {
        self.tell("the journal cannot be written");
        let point = call.point;
        let spoil = "create temp trigger spoilt before insert on main.lan_journal
            begin select raise(abort, 'disk I/O error'); end";
        self.bed.store.run(move |db| db.execute_batch(spoil)).await.unwrap();
        call.go_on();
        for _ in 0..5 {
            self.bed.store.run(|_| Ok(())).await.unwrap();
        }
        let dies = self.random.random_bool(0.5);
        if dies {
            self.bed.kill().await;
        }
        self.bed.store.run(move |db| db.execute_batch("drop trigger spoilt")).await.unwrap();
        if dies {
            self.tell("and the agent dies");
            self.exchange_what_is_left();
            self.start();
        } else if matches!(point, Point::Reached(TrialPhase::Staged) | Point::Baseline) {
            self.wait_for_window().await;
        }
    }

    /// No more faults. The cloud wants something, whatever came before.
    async fn come_to_rest(&mut self) {
        self.tell("no more faults");
        if self.wishes.is_empty() {
            self.wish();
        }
        let heard = self.shadow.connect(false);
        self.hear(heard);
        let mut looks = 0;
        // It looks once more for each time that it is told what it knows.
        while looks < 2 + self.heard || !self.shadow.is_quiet() {
            let call = self.bed.next().await;
            self.look_at(&call);
            let heard = self.heard;
            self.exchange();
            looks = if self.bed.is_idle_at(&call) && heard == self.heard { looks + 1 } else { 0 };
            self.answer(call, None).await;
        }
    }

    async fn check(&self) {
        self.bed.check_at_rest().await;
        let Self { bed, shadow, wishes, .. } = self;
        assert_eq!(without_nulls(bed.watch.last()), shadow.reported, "the shadow shows something else");
        let machine = bed.machine().await;
        let drift = bed.health.lan_drift.load(Ordering::Relaxed);
        assert_eq!(drift, machine.drifted_from.is_some(), "the alarm says something else");
        // The newest change came to its end, whatever happened; and so did all that were in hand.
        let verdicts = bed.verdicts().await;
        let verdict = |change: &str| verdicts.iter().find(|said| said.change_id.as_str() == change);
        let (newest, ..) = wishes.last().unwrap();
        let last = verdict(newest).unwrap_or_else(|| panic!("no verdict on {newest}"));
        assert!(last.verdict != VerdictKind::Superseded || self.asked > 0, "{newest} is superseded");
        for report in &bed.watch.reports {
            if let Some(change) = report["trial"]["changeId"].as_str() {
                assert!(verdict(change).is_some(), "no verdict on {change}");
            }
        }
        // Exactly what was applied ever lasted.
        for (change, profile, _) in wishes {
            let lasted = bed.world().lasted.contains(&json!(profile.lan));
            let applied = verdict(change).is_some_and(|said| said.verdict == VerdictKind::Applied);
            assert_eq!(lasted, applied, "{change}");
        }
        let events = bed.store.read(history::events).await.unwrap();
        assert_eq!(events[0].profile, machine.current, "the history tells something else");
    }
}

/// By the box's own clock: then it waits.
fn is_closed(window: &Window, bed: &Bed) -> bool {
    if !bed.clock.is_synced() {
        return true;
    }
    let now: DateTime<Utc> = bed.clock.now();
    let is_missed = [now, now + LONGEST_TRIAL].map(|at| window.position(at)).contains(&Position::Missed);
    !is_missed && !window::is_open(window, &bed.clock, LONGEST_TRIAL)
}

/// As the shadow keeps it.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        other => other.clone(),
    }
}
