//! A box whose LAN interface stops at every call, so that a test decides what happens there, and when. The
//! journal is the real one; the clock stands still unless the test moves it; nothing waits for long.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use device_agent::{
    clock::Clock,
    health::Health,
    identity::sealing::SealingKey,
    lan::{
        Fault, LanInterface,
        applier::{Applier, Inbox, Parts},
        desire::{Desire, Reader},
        journal::{Found, Journal},
        pause::{Pauses, Waits},
        state::{Machine, Profile, Wish},
    },
    newest,
    store::Store,
};
use device_model::{
    lan::ReservedRanges,
    outcome::{Verdict, code},
    shadow::{Effective, TrialPhase},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::support::light_folder;

/// What a trial of this interface may take.
pub const LONGEST_TRIAL: Duration = Duration::from_mins(5);

/// Where the interface is, when a test is asked what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    Reached(TrialPhase),
    /// Somebody wants to know what is saved.
    Look,
    Judgeable,
    Baseline,
    TryOn,
    TriedOn,
    Probe,
    Commit,
    /// On disk, and not on the interface yet.
    HalfCommitted,
    Committed,
    RollBack,
    RolledBack,
}

/// The interface stands there until it is told how to go on.
pub struct Call {
    pub point: Point,
    answer: oneshot::Sender<Result<(), Fault>>,
}

impl Call {
    pub fn go_on(self) {
        drop(self.answer.send(Ok(())));
    }

    pub fn fail(self, code: &str) {
        drop(self.answer.send(Err(Fault::new(code, "the test says so"))));
    }
}

/// What is so, whoever dies.
pub struct World {
    pub saved: Profile,
    pub running: Profile,
    /// NetworkManager's: what it would put back.
    pub checkpoint: Option<Profile>,
    boot: u32,
    /// How often it was asked what works.
    baselines: u32,
    /// Which answer to that each probe went by.
    pub held_to: Vec<u32>,
    /// The settings of everything that was ever made to last, the newest last.
    pub lasted: Vec<Value>,
}

impl World {
    fn new(saved: Profile) -> Self {
        let lasted = vec![json!(saved.lan)];
        Self {
            running: saved.clone(),
            saved,
            checkpoint: None,
            boot: 0,
            baselines: 0,
            held_to: vec![],
            lasted,
        }
    }

    pub fn lose_power(&mut self) {
        self.running = self.saved.clone();
        self.checkpoint = None;
        self.boot += 1;
    }

    /// What it keeps on disk and on the interface stays.
    pub fn kill_network_manager(&mut self) {
        self.checkpoint = None;
    }

    /// NetworkManager has waited for the agent for long enough.
    pub fn let_checkpoint_expire(&mut self) {
        if let Some(before) = self.checkpoint.take() {
            self.running = before;
        }
    }

    /// As somebody on site does it.
    pub fn change_on_site(&mut self, profile: Profile) {
        self.lasted.push(json!(profile.lan));
        self.running = profile.clone();
        self.saved = profile;
    }
}

/// The interface as the machine sees it.
struct Lan {
    world: Arc<Mutex<World>>,
    calls: mpsc::UnboundedSender<Call>,
}

impl Lan {
    async fn at(&self, point: Point) -> Result<(), Fault> {
        let (answer, answered) = oneshot::channel();
        drop(self.calls.send(Call { point, answer }));
        match answered.await {
            Ok(answer) => answer,
            // The test is over.
            Err(_) => std::future::pending().await,
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl LanInterface for Lan {
    type Baseline = u32;

    async fn reached(&self, step: TrialPhase) {
        drop(self.at(Point::Reached(step)).await);
    }

    fn boot_id(&self) -> String {
        self.world().boot.to_string()
    }

    async fn saved(&self) -> Result<Profile, Fault> {
        self.at(Point::Look).await?;
        Ok(self.world().saved.clone())
    }

    async fn effective(&self) -> Option<Effective> {
        let address = self.world().running.lan.address().map(|address| address.to_string());
        Some(Effective { address, source: "static".to_owned() })
    }

    async fn judgeable(&self) {
        while self.at(Point::Judgeable).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn baseline(&self, _: &Wish) -> Result<u32, Fault> {
        self.at(Point::Baseline).await?;
        let mut world = self.world();
        world.baselines += 1;
        Ok(world.baselines)
    }

    async fn try_on(&self, profile: &Profile) -> Result<(), Fault> {
        self.at(Point::TryOn).await?;
        {
            let mut world = self.world();
            let before = world.running.clone();
            world.checkpoint.get_or_insert(before);
            world.running = profile.clone();
        }
        self.at(Point::TriedOn).await
    }

    async fn probe(&self, _: &Profile, baseline: &u32) -> Result<(), Fault> {
        self.world().held_to.push(*baseline);
        self.at(Point::Probe).await
    }

    async fn commit(&self, profile: &Profile) -> Result<(), Fault> {
        self.at(Point::Commit).await?;
        {
            let mut world = self.world();
            world.saved = profile.clone();
            world.lasted.push(json!(profile.lan));
        }
        self.at(Point::HalfCommitted).await?;
        {
            let mut world = self.world();
            world.running = profile.clone();
            world.checkpoint = None;
        }
        self.at(Point::Committed).await
    }

    /// Not what it is told is put back, but what NetworkManager has: both must be the same.
    async fn roll_back(&self, _: &Profile) -> Result<(), Fault> {
        self.at(Point::RollBack).await?;
        {
            let mut world = self.world();
            let saved = world.saved.clone();
            world.running = world.checkpoint.take().unwrap_or(saved);
        }
        self.at(Point::RolledBack).await
    }

    fn longest_trial(&self) -> Duration {
        LONGEST_TRIAL
    }
}

/// A database that one box after the other begins on.
pub struct Ground {
    store: Store,
    sealing: SealingKey,
    _folder: TempDir,
}

impl Ground {
    pub fn new() -> Self {
        Self::in_folder(light_folder())
    }

    /// On a disk of one's own.
    pub fn below(disk: &Path) -> Self {
        Self::in_folder(tempfile::tempdir_in(disk).unwrap())
    }

    fn in_folder(folder: TempDir) -> Self {
        let store = Store::open(folder.path()).unwrap();
        let sealing = SealingKey::load_or_make(&folder.path().join("sealing.key")).unwrap();
        Self { store, sealing, _folder: folder }
    }

    pub async fn bed(&self) -> Bed {
        let clear = "delete from lan_journal; delete from lan_verdicts; delete from lan_history;
            delete from lan_request";
        self.store.run(move |db| db.execute_batch(clear)).await.unwrap();
        Bed::on(self.store.clone(), self.sealing.clone())
    }
}

/// A box that is started and killed; what must always hold is looked at with every call.
pub struct Bed {
    pub store: Store,
    pub clock: Arc<Clock>,
    pub health: Arc<Health>,
    pub world: Arc<Mutex<World>>,
    pub watch: Watch,
    sealing: SealingKey,
    /// What is told to whoever asks for the time of day, and the time since the boot, in seconds.
    wall: Arc<AtomicI64>,
    passed: Arc<AtomicI64>,
    pub waits: Waits,
    calls: mpsc::UnboundedReceiver<Call>,
    to_calls: mpsc::UnboundedSender<Call>,
    running: Option<Running>,
}

struct Running {
    tasks: JoinSet<anyhow::Result<()>>,
    desired: newest::Sender<Value>,
    local: newest::Sender<Desire>,
    reports: newest::Receiver<Value>,
}

/// What was reported, and what that must agree with.
#[derive(Default)]
pub struct Watch {
    pub verdicts: HashMap<String, Value>,
    /// How often each change was put on for a trial.
    pub tries: HashMap<String, u32>,
    /// In the order in which they came.
    pub reports: Vec<Value>,
    /// What somebody on site has changed may not be known yet.
    pub unnoticed: bool,
    /// Attempts are counted in a journal, which may have been spoilt.
    pub is_spoilt: bool,
}

/// The test decides how long everything takes.
const NO_WAITS: Waits = Waits {
    pauses: Pauses([Duration::ZERO; 3]),
    drift: Duration::ZERO,
    window: Duration::from_millis(1),
    retry: (Duration::ZERO, Duration::ZERO),
};
/// A real one, within which anything comes that will.
const PATIENCE: Duration = Duration::from_mins(1);

/// When every test's time begins.
fn real_begin() -> DateTime<Utc> {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

fn clock(wall: &Arc<AtomicI64>, passed: &Arc<AtomicI64>) -> Arc<Clock> {
    let (wall, passed) = (Arc::clone(wall), Arc::clone(passed));
    Clock::of(
        move || real_begin() + TimeDelta::seconds(wall.load(Ordering::Relaxed)),
        move || Duration::from_secs(passed.load(Ordering::Relaxed).unsigned_abs()),
    )
}

impl Bed {
    fn on(store: Store, sealing: SealingKey) -> Self {
        let (wall, passed) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
        let clock = clock(&wall, &passed);
        let (to_calls, calls) = mpsc::unbounded_channel();
        Self {
            store,
            health: Health::new(Arc::clone(&clock)),
            clock,
            world: Arc::new(Mutex::new(World::new(profile(1)))),
            watch: Watch::default(),
            sealing,
            wall,
            passed,
            waits: NO_WAITS,
            calls,
            to_calls,
            running: None,
        }
    }

    pub fn start(&mut self) {
        let (reports, reported) = newest::queue(64);
        let (desired, wanted) = newest::queue(16);
        let (local, asked) = newest::queue(1);
        let reader = Reader {
            thing: "tenpo-0001".parse().unwrap(),
            sealing: self.sealing.clone(),
            reserved: ReservedRanges::default(),
        };
        let parts = Parts {
            journal: Journal(self.store.clone()),
            clock: Arc::clone(&self.clock),
            reader,
            reports,
            health: Arc::clone(&self.health),
            waits: self.waits,
        };
        let interface = Lan { world: Arc::clone(&self.world), calls: self.to_calls.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let applier = Applier::resume(interface, parts).await?;
            applier.run(Inbox { desired: wanted, local: asked }, CancellationToken::new()).await
        });
        self.running = Some(Running { tasks, desired, local, reports: reported });
    }

    /// The agent is gone between two instructions.
    pub async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.tasks.shutdown().await;
            self.drain(&mut running);
        }
    }

    pub fn want(&self, desired: &Value) {
        self.running.as_ref().unwrap().desired.send(desired.clone()).unwrap();
    }

    pub fn ask_on_the_spot(&self, desire: Desire) {
        drop(self.running.as_ref().unwrap().local.send(desire));
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The true time, whatever the box believes.
    pub fn now(&self) -> DateTime<Utc> {
        real_begin() + TimeDelta::seconds(self.passed.load(Ordering::Relaxed))
    }

    pub fn pass(&self, seconds: i64) {
        self.wall.fetch_add(seconds, Ordering::Relaxed);
        self.passed.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The clock on the wall jumps; the time does not.
    pub fn jump(&self, seconds: i64) {
        self.wall.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Where the interface stands next; a machine that died is told at once.
    pub async fn next(&mut self) -> Call {
        loop {
            let running = self.running.as_mut().expect("the agent runs");
            let call = tokio::select! {
                call = self.calls.recv() => call.unwrap(),
                () = tokio::time::sleep(PATIENCE) => panic!("nothing comes; the last report is {}", self.watch.last()),
                Some(over) = running.tasks.join_next() => panic!("the machine has ended: {over:?}"),
            };
            let mut running = self.running.take().unwrap();
            self.drain(&mut running);
            self.running = Some(running);
            if call.point == Point::TryOn {
                let change = self.watch.last()["trial"]["changeId"].as_str().unwrap().to_owned();
                let tries = self.watch.tries.entry(change.clone()).or_default();
                *tries += 1;
                assert!(*tries <= 3 || self.watch.is_spoilt, "{change} is tried {tries} times");
            }
            // A newer wish may have cut in while it stood there.
            if !call.answer.is_closed() {
                return call;
            }
        }
    }

    /// True if the interface is not asked for anything.
    pub fn nothing_came(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }

    /// Goes on without faults up to that point, the first time or the next.
    pub async fn until(&mut self, point: Point) -> Call {
        loop {
            let call = self.next().await;
            if call.point == point {
                return call;
            }
            call.go_on();
        }
    }

    /// True if it stands there because nothing is to be done.
    pub fn is_idle_at(&self, call: &Call) -> bool {
        call.point == Point::Look && self.watch.last()["trial"].is_null() && !self.watch.last().is_null()
    }

    /// Answers as the test says, until nothing is to be done any more.
    pub async fn settle(&mut self, answer: impl Fn(Point) -> Option<&'static str>) {
        // At the first look what is wanted may not have been heard yet.
        let mut looks = 0;
        while looks < 2 {
            let call = self.next().await;
            looks = if self.is_idle_at(&call) { looks + 1 } else { 0 };
            match answer(call.point) {
                Some(code) => call.fail(code),
                None => call.go_on(),
            }
        }
    }

    pub async fn machine(&self) -> Machine {
        match (Journal(self.store.clone())).read().await.unwrap() {
            Found::Machine(machine) => *machine,
            _ => panic!("the journal holds no machine"),
        }
    }

    pub async fn verdicts(&self) -> Vec<Verdict> {
        Journal(self.store.clone()).verdicts(1000).await.unwrap()
    }

    pub async fn verdict(&self, change: &str) -> Option<Verdict> {
        self.verdicts().await.into_iter().find(|verdict| verdict.change_id.as_str() == change)
    }

    /// What must hold whenever nothing is to be done: it runs what is saved, and that is what is believed.
    pub async fn check_at_rest(&self) {
        let machine = self.machine().await;
        let world = self.world();
        assert_eq!(world.running, world.saved, "what runs would not outlive a power cut");
        assert_eq!(machine.current, world.saved, "the journal believes something else");
        assert!(world.checkpoint.is_none(), "NetworkManager would still undo it");
        assert_eq!(self.watch.last()["lan"], json!(world.saved.lan), "something else is reported");
        assert_eq!(self.watch.last()["trial"], Value::Null);
    }

    fn drain(&mut self, running: &mut Running) {
        while let Some(Some(report)) = futures::FutureExt::now_or_never(running.reports.recv()) {
            let world = self.world.lock().unwrap();
            self.watch.check(&report, &world);
            drop(world);
            self.watch.reports.push(report);
        }
    }
}

impl Watch {
    pub fn last(&self) -> &Value {
        self.reports.last().unwrap_or(&Value::Null)
    }

    fn check(&mut self, report: &Value, world: &World) {
        assert!(world.lasted.contains(&report["lan"]), "what never lasted is reported: {report}");
        let lasts = Some(&report["lan"]) == world.lasted.last();
        assert!(
            lasts || self.unnoticed || report["trial"]["phase"] == "committing",
            "something else than what lasts is reported: {report}"
        );
        if lasts {
            self.unnoticed = false;
        }
        for verdict in report["verdicts"].as_array().unwrap() {
            let change = verdict["changeId"].as_str().unwrap();
            // The words of older ones may go when there is no room.
            let said = json!([verdict["verdict"], verdict["code"], verdict["at"], verdict["clock"]]);
            let first = self.verdicts.entry(change.to_owned()).or_insert_with(|| said.clone());
            assert_eq!(*first, said, "the verdict on {change} changes");
            if verdict["verdict"] != "applied" {
                assert!(verdict["code"].is_string(), "no reason: {verdict}");
            }
        }
    }

    pub fn ended(&self) -> HashSet<&str> {
        self.verdicts.keys().map(String::as_str).collect()
    }
}

/// Settings that differ by their host.
pub fn profile(host: u8) -> Profile {
    serde_json::from_value(json!({"lan": desired("x", host)["lan"]})).unwrap()
}

pub fn desired(change: &str, host: u8) -> Value {
    json!({"schema": 1, "changeId": change, "lan": {"mode": "static",
        "address": format!("192.168.10.{host}/24"), "gateway": "192.168.10.254"}})
}

/// What a call says if its daemon is gone.
pub const GONE: &str = code::APPLY_FAILED;
