//! The LAN machine on the fake interface, cut off at every point.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use device_agent::{
    clock::Clock,
    health::Health,
    identity::sealing::SealingKey,
    lan::{
        applier::{Applier, Inbox, Parts},
        desire::Reader,
        fake::FakeLan,
        journal::Journal,
        pause::{Pauses, Waits},
    },
    newest,
    store::Store,
};
use device_model::{
    lan::ReservedRanges,
    outcome::{Verdict, VerdictKind, code},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::eventually;

/// A test waits for no second attempt.
const SHORT: Pauses = Pauses([Duration::from_millis(1); 3]);
const STEPS: [&str; 4] = ["staged", "trying", "committing", "rollingBack"];

/// A box with a fake interface, which can be started and killed.
struct Device {
    state: TempDir,
    clock: Arc<Clock>,
    store: Store,
    health: Arc<Health>,
    running: Option<Running>,
}

struct Running {
    tasks: JoinSet<anyhow::Result<()>>,
    desired: newest::Sender<Value>,
    reports: newest::Receiver<Value>,
}

impl Device {
    fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    fn with_clock(clock: Arc<Clock>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let health = Health::new(Arc::clone(&clock));
        Self { state, clock, store, health, running: None }
    }

    async fn start(&mut self) {
        let (reports, reported) = newest::queue(16);
        let (desired, wanted) = newest::queue(16);
        let reader = Reader {
            thing: "tenpo-0001".parse().unwrap(),
            sealing: SealingKey::load_or_make(&self.state.path().join("sealing.key")).unwrap(),
            reserved: ReservedRanges::default(),
        };
        let interface = FakeLan::open(&self.folder()).unwrap();
        let parts = Parts {
            journal: Journal(self.store.clone()),
            clock: Arc::clone(&self.clock),
            reader,
            reports,
            health: Arc::clone(&self.health),
            waits: Waits::with(SHORT),
        };
        let applier = Applier::resume(interface, parts).await.unwrap();
        let (_, local) = newest::queue(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(applier.run(Inbox { desired: wanted, local }, CancellationToken::new()));
        self.running = Some(Running { tasks, desired, reports: reported });
    }

    /// The agent is gone between two instructions.
    async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.tasks.shutdown().await;
        }
    }

    /// And the power with it: what was not saved is gone.
    fn lose_power(&self) {
        drop(fs::remove_file(self.folder().join("running.json")));
        drop(fs::remove_file(self.folder().join("gate/at")));
    }

    fn folder(&self) -> PathBuf {
        self.state.path().join("lan")
    }

    fn want(&self, desired: &Value) {
        self.running.as_ref().unwrap().desired.send(desired.clone()).unwrap();
    }

    fn tell(&self, file: &str, text: &str) {
        fs::create_dir_all(self.folder().join("gate")).unwrap();
        fs::File::create(self.folder().join(file)).unwrap();
        put(&self.folder().join(file), text);
    }

    fn untell(&self, file: &str) {
        fs::remove_file(self.folder().join(file)).unwrap();
    }

    async fn held_at(&self, step: &str) {
        eventually(&format!("held at {step}"), || async {
            let at = fs::read_to_string(self.folder().join("gate/at")).ok();
            at.filter(|at| at == step)
        })
        .await;
    }

    async fn verdict(&self, change: &str) -> Verdict {
        let journal = Journal(self.store.clone());
        eventually(&format!("a verdict on {change}"), || async {
            let verdicts = journal.verdicts(100).await.unwrap();
            verdicts.into_iter().find(|verdict| verdict.change_id.as_str() == change)
        })
        .await
    }

    fn address(&self, file: &str) -> Value {
        let text = fs::read(self.folder().join(file)).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["lan"]["address"].clone()
    }

    /// The reports up to the one that was waited for.
    async fn reports(&mut self, until: impl Fn(&Value) -> bool) -> Vec<Value> {
        let reports = &mut self.running.as_mut().unwrap().reports;
        let mut seen = Vec::new();
        while !seen.last().is_some_and(&until) {
            seen.push(reports.recv().await.unwrap());
        }
        seen
    }
}

fn put(path: &Path, text: &str) {
    use std::io::Write;
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn desired(change: &str, host: u8) -> Value {
    json!({"schema": 1, "changeId": change, "lan": {"mode": "static",
        "address": format!("192.168.10.{host}/24"), "gateway": "192.168.10.1"}})
}

fn address(host: u8) -> Value {
    json!(format!("192.168.10.{host}/24"))
}

#[tokio::test]
async fn good_settings_are_applied_and_each_step_is_reported() {
    let mut device = Device::new();
    device.start().await;

    device.want(&desired("a", 9));
    let verdict = device.verdict("a").await;

    assert_eq!(verdict.verdict, VerdictKind::Applied);
    assert_eq!((device.address("running.json"), device.address("saved.json")), (address(9), address(9)));
    let reports = device.reports(|report| report["verdicts"][0]["changeId"] == "a").await;
    let last = reports.last().unwrap();
    assert_eq!(last["lan"]["address"], address(9));
    assert_eq!(last["effective"], json!({"address": "192.168.10.9/24", "source": "static"}));
    assert_eq!(last["trial"], Value::Null);
    // Known already: told again it is left alone.
    device.want(&desired("a", 9));
    device.want(&desired("b", 10));
    let reports = device.reports(|report| report["verdicts"][0]["changeId"] == "b").await;
    let phases: Vec<_> = reports.iter().map(|report| report["trial"]["phase"].clone()).collect();
    assert_eq!(phases, [json!("staged"), json!("trying"), json!("committing"), Value::Null]);
}

#[tokio::test]
async fn a_wish_that_is_told_again_does_not_disturb_its_own_trial() {
    let mut device = Device::new();
    device.start().await;
    device.tell("gate/hold-trying", "");
    device.want(&desired("a", 9));
    device.held_at("trying").await;
    fs::remove_file(device.folder().join("gate/at")).unwrap();

    // A trial that began anew would say again where it is held.
    device.want(&desired("a", 9));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }

    assert!(!device.folder().join("gate/at").exists());
    device.untell("gate/hold-trying");
    assert_eq!(device.verdict("a").await.verdict, VerdictKind::Applied);
}

#[tokio::test]
async fn settings_that_do_not_work_are_rolled_back_and_never_tried_again() {
    let mut device = Device::new();
    device.start().await;
    device.want(&desired("a", 9));
    device.verdict("a").await;

    device.tell("probe-fault", code::GATEWAY_SILENT);
    device.want(&desired("b", 10));
    let verdict = device.verdict("b").await;
    device.untell("probe-fault");
    device.want(&desired("b", 10));
    device.kill().await;
    device.start().await;
    device.want(&desired("b", 10));
    device.want(&desired("c", 9));
    device.verdict("c").await;

    assert_eq!(verdict.verdict, VerdictKind::RolledBack);
    assert_eq!(verdict.code.as_deref(), Some(code::GATEWAY_SILENT));
    assert_eq!((device.address("running.json"), device.address("saved.json")), (address(9), address(9)));
}

#[tokio::test]
async fn killed_at_any_step_a_change_still_ends_truthfully() {
    for step in STEPS {
        for power in [false, true] {
            let rolls_back = step == "rollingBack";
            let mut device = Device::new();
            device.start().await;
            device.want(&desired("old", 9));
            device.verdict("old").await;
            if rolls_back {
                device.tell("probe-fault", code::GATEWAY_SILENT);
            }
            device.tell(&format!("gate/hold-{step}"), "");
            device.want(&desired("new", 10));
            device.held_at(step).await;

            device.kill().await;
            if power {
                device.lose_power();
            }
            device.untell(&format!("gate/hold-{step}"));
            device.start().await;
            let verdict = device.verdict("new").await;

            let (kind, host) =
                if rolls_back { (VerdictKind::RolledBack, 9) } else { (VerdictKind::Applied, 10) };
            assert_eq!(verdict.verdict, kind, "{step}, power lost: {power}");
            let settled = (device.address("running.json"), device.address("saved.json"));
            assert_eq!(settled, (address(host), address(host)), "{step}, power lost: {power}");
        }
    }
}

#[tokio::test]
async fn a_change_that_is_cut_short_three_times_is_given_up() {
    let mut device = Device::new();
    device.start().await;
    device.want(&desired("old", 9));
    device.verdict("old").await;
    device.tell("gate/hold-trying", "");
    device.want(&desired("new", 10));

    for _ in 0..3 {
        device.held_at("trying").await;
        device.kill().await;
        device.lose_power();
        device.start().await;
    }

    let verdict = device.verdict("new").await;
    assert_eq!(
        (verdict.verdict, verdict.code.as_deref()),
        (VerdictKind::RolledBack, Some(code::INTERRUPTED))
    );
    assert_eq!(device.address("running.json"), address(9));
}

#[tokio::test]
async fn before_the_commit_point_the_newest_wish_wins_and_after_it_waits() {
    for (step, first) in [
        ("staged", VerdictKind::Superseded),
        ("trying", VerdictKind::Superseded),
        ("committing", VerdictKind::Applied),
    ] {
        let mut device = Device::new();
        device.start().await;
        device.tell(&format!("gate/hold-{step}"), "");
        device.want(&desired("a", 9));
        device.held_at(step).await;

        device.want(&desired("b", 10));
        device.untell(&format!("gate/hold-{step}"));

        assert_eq!(device.verdict("b").await.verdict, VerdictKind::Applied, "{step}");
        assert_eq!(device.verdict("a").await.verdict, first, "{step}");
        assert_eq!(device.address("saved.json"), address(10), "{step}");
    }
}

#[tokio::test]
async fn what_cannot_be_settings_is_refused_with_a_code_and_touches_nothing() {
    let mut device = Device::new();
    device.start().await;
    let before = fs::read(device.folder().join("running.json")).unwrap();
    let cases = [
        ("schema", json!({"schema": 2, "changeId": "schema", "anything": {}}), code::AGENT_TOO_OLD),
        ("shape", json!({"schema": 1, "changeId": "shape", "lan": "fast please"}), code::BAD_SETTINGS),
        ("empty", json!({"changeId": "empty"}), code::BAD_SETTINGS),
        (
            "gateway",
            json!({"schema": 1, "changeId": "gateway", "lan": {"mode": "static", "address": "192.168.1.9/24",
                "gateway": "192.168.2.1"}}),
            code::BAD_SETTINGS,
        ),
        (
            "wan",
            json!({"schema": 1, "changeId": "wan", "lan": {"mode": "static", "address": "10.128.0.9/24"}}),
            code::OVERLAPS_WAN,
        ),
        (
            "password",
            json!({"schema": 1, "changeId": "password", "lan": {"mode": "dhcp"}, "share": {"name": "rx",
                "user": "rece", "workgroup": "WORKGROUP", "passwordSealed": "bm90IHNlYWxlZA=="}}),
            code::PASSWORD_UNREADABLE,
        ),
        (
            "big",
            json!({"schema": 1, "changeId": "big", "lan": {"mode": "dhcp"}, "note": "n".repeat(2048)}),
            code::BAD_SETTINGS,
        ),
    ];
    device.want(&json!("not even an object"));
    device.want(&json!({"lan": {"mode": "dhcp"}}));

    for (change, value, expected) in cases {
        device.want(&value);
        let verdict = device.verdict(change).await;
        assert_eq!((verdict.verdict, verdict.code.as_deref()), (VerdictKind::Refused, Some(expected)));
    }

    assert_eq!(fs::read(device.folder().join("running.json")).unwrap(), before);
}

/// A device that runs `old` for good, has `new` on trial, and whose journal then reads like this.
async fn with_journal(broken: impl Fn(&str) -> String) -> Device {
    let mut device = Device::new();
    device.start().await;
    device.want(&desired("old", 9));
    device.verdict("old").await;
    device.tell("gate/hold-trying", "");
    device.want(&desired("new", 10));
    device.held_at("trying").await;
    device.kill().await;
    device.untell("gate/hold-trying");
    let running = fs::read_to_string(device.folder().join("running.json")).unwrap();
    device.tell("running.json", &running.replace("192.168.10.9/24", "192.168.10.10/24"));
    let read = |db: &rusqlite::Connection| {
        db.query_row("select machine from lan_journal", [], |row| row.get::<_, String>(0))
    };
    let journal = broken(&device.store.run(read).await.unwrap());
    device.store.run(move |db| db.execute("update lan_journal set machine = ?1", [journal])).await.unwrap();
    device.start().await;
    device
}

#[tokio::test]
async fn without_a_readable_journal_what_is_saved_goes_on_before_anything_is_reported() {
    let mut device =
        with_journal(|journal| journal.replace(r#""phase":"trying""#, r#""phase":"dreaming""#)).await;

    assert_eq!(device.address("running.json"), address(9));
    let first = device.reports(|_| true).await.remove(0);
    assert_eq!((&first["lan"]["address"], &first["effective"]["address"]), (&address(9), &address(9)));
    assert_eq!(first["verdicts"][0]["changeId"], "new");
    let verdict = device.verdict("new").await;
    assert_eq!(verdict.code.as_deref(), Some(code::JOURNAL_CORRUPT));
    assert_eq!(verdict.verdict, VerdictKind::RolledBack);
    assert!(device.health.journal_corrupt.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_journal_that_names_no_change_lets_the_shadow_tell_it_again() {
    let device = with_journal(|_| "\u{0}\u{0}".to_owned()).await;
    assert_eq!(device.address("running.json"), address(9));
    assert!(device.health.journal_corrupt.load(Ordering::Relaxed));

    device.want(&desired("new", 10));

    assert_eq!(device.verdict("new").await.verdict, VerdictKind::Applied);
    eventually("the journal counts as sound", || async {
        (!device.health.journal_corrupt.load(Ordering::Relaxed)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_saved_by_others_is_noticed_with_the_next_word_from_the_cloud() {
    let mut device = Device::new();
    device.start().await;
    device.want(&desired("a", 9));
    device.verdict("a").await;
    device.reports(|report| report["verdicts"][0]["changeId"] == "a").await;

    let saved = fs::read_to_string(device.folder().join("saved.json")).unwrap();
    device.tell("saved.json", &saved.replace("192.168.10.9/24", "192.168.10.77/24"));
    device.want(&desired("a", 9));

    let reports = device.reports(|report| report["lan"]["address"] == address(77)).await;
    assert_eq!(reports.len(), 1);
    assert!(device.health.lan_drift.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_window_is_waited_for_and_a_missed_one_ends_the_change() {
    let now: DateTime<Utc> = Clock::system().now();
    let mut device = Device::new();
    device.start().await;
    let within = |change: &str, from: TimeDelta, to: TimeDelta| {
        let mut desired = desired(change, 9);
        desired["window"] = json!({"notBefore": now + from, "notAfter": now + to});
        desired
    };

    device.want(&within("missed", TimeDelta::hours(-2), TimeDelta::hours(-1)));
    device.reports(|report| report["trial"]["phase"] == "staged").await;
    // Nothing is missed by a clock that nobody vouches for.
    assert_eq!(Journal(device.store.clone()).verdicts(1).await.unwrap(), []);
    device.clock.learn(now);
    let missed = device.verdict("missed").await;
    device.want(&within("soon", TimeDelta::seconds(2), TimeDelta::hours(1)));
    let soon = device.verdict("soon").await;

    assert_eq!((missed.verdict, missed.code.as_deref()), (VerdictKind::Refused, Some(code::WINDOW_MISSED)));
    assert_eq!(soon.verdict, VerdictKind::Applied);
    assert!(soon.at >= now + TimeDelta::seconds(2));
}

/// Schedules drawn from a seed: wishes, faults, kills and power cuts at any moment. Whatever happens,
/// each change ends once, and the interface is exactly what the last applied one asked for.
#[tokio::test]
async fn whatever_happens_the_interface_is_what_the_verdicts_say() {
    let first: u64 = std::env::var("LAN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + 40 {
        schedule(seed).await;
    }
}

async fn schedule(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut device = Device::new();
    device.start().await;
    let mut wishes = Vec::new();
    for number in 0..6u8 {
        let change = format!("c{number}");
        wishes.push(desired(&change, 10 + number));
        if random.random_bool(0.3) {
            device.tell("probe-fault", code::GATEWAY_SILENT);
        }
        let step = STEPS[random.random_range(0..STEPS.len())];
        let hold = format!("gate/hold-{step}");
        device.tell(&hold, "");
        device.want(wishes.last().unwrap());
        for _ in 0..random.random_range(0..200) {
            tokio::task::yield_now().await;
        }
        if random.random_bool(0.5) {
            device.kill().await;
            if random.random_bool(0.5) {
                device.lose_power();
            }
            device.untell(&hold);
            device.start().await;
            // As after each connect: the shadow's desired state is told again.
            device.want(wishes.last().unwrap());
        } else {
            device.untell(&hold);
        }
        drop(fs::remove_file(device.folder().join("probe-fault")));
    }
    let last = device.verdict("c5").await;
    eventually("the machine is at rest", || async {
        let journal = Journal(device.store.clone());
        let device_agent::lan::journal::Found::Machine(machine) = journal.read().await.unwrap() else {
            return None;
        };
        machine.state.trial().is_none().then_some(())
    })
    .await;

    let verdicts = Journal(device.store.clone()).verdicts(100).await.unwrap();
    let applied = verdicts.iter().find(|verdict| verdict.verdict == VerdictKind::Applied);
    let expected = applied.map_or(Value::Null, |verdict| {
        let wish = wishes.iter().find(|wish| wish["changeId"] == verdict.change_id.as_str());
        wish.unwrap()["lan"]["address"].clone()
    });
    let settled = (device.address("running.json"), device.address("saved.json"));
    assert_eq!(settled, (expected.clone(), expected), "seed {seed}");
    assert_ne!(last.verdict, VerdictKind::Superseded, "seed {seed}");
}
