//! Whether the receipt computer has found the box, from the commit to the shadow's report.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use device_agent::{
    clock::Clock,
    health::Health,
    newest,
    share::{receipt_computer::ReceiptWatch, sessions::Sessions},
    store::Store,
};
use device_model::shadow::MAX_SIDE_BYTES;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::eventually;

const PATIENCE: Duration = Duration::from_secs(20);

/// Sessions as the test says; none: smbd cannot be asked. Counts how often it was asked.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Option<BTreeSet<String>>, usize)>>);

impl Sessions for Told {
    async fn others(&self) -> Option<BTreeSet<String>> {
        let mut told = self.0.lock().unwrap();
        told.1 += 1;
        told.0.clone()
    }
}

impl Told {
    fn are(&self, sessions: &[&str]) {
        self.0.lock().unwrap().0 = Some(sessions.iter().map(|id| (*id).to_owned()).collect());
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

struct Running {
    sessions: Told,
    health: Arc<Health>,
    reports: newest::Sender<Value>,
    told: newest::Receiver<Value>,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Running {
    fn start(state: &Path) -> Self {
        let clock = Clock::system();
        let health = Health::new(Arc::clone(&clock));
        let sessions = Told::default();
        let (reports, reported) = newest::queue(16);
        let (told, shown) = newest::queue(16);
        let watch = ReceiptWatch {
            sessions: sessions.clone(),
            store: Store::open(state).unwrap(),
            clock,
            health: Arc::clone(&health),
            reports: reported,
            told,
            looks: [Duration::from_millis(2); 2],
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(watch.run(CancellationToken::new()));
        Self { sessions, health, reports, told: shown, _tasks: tasks }
    }

    /// The LAN side reports; what becomes of the report is answered.
    async fn report(&mut self, verdicts: &Value) -> Value {
        self.reports.send(report(verdicts)).unwrap();
        self.next().await
    }

    async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(PATIENCE, self.told.recv()).await;
        next.expect("waited in vain for a report").unwrap()
    }

    /// It is looked some times more, and nothing comes of it.
    async fn says_nothing(&mut self) {
        let sessions = self.sessions.clone();
        let until = sessions.asked() + 3;
        let looked = eventually("it is looked again", || async { (sessions.asked() >= until).then_some(()) });
        tokio::select! {
            report = self.told.recv() => panic!("{report:?}"),
            () = looked => {}
        }
    }
}

fn report(verdicts: &Value) -> Value {
    json!({"schema": 1, "agentVersion": "0.1.0", "schemas": [1], "lan": {"mode": "dhcp"},
        "probe": {"share": "required"}, "verdicts": verdicts})
}

fn verdict(id: &str, verdict: &str) -> Value {
    json!({"changeId": id, "verdict": verdict, "at": "2026-11-22T00:00:00Z", "clock": "synced"})
}

fn unconfirmed(id: &str) -> Value {
    json!({"changeId": id, "state": "unconfirmed"})
}

#[tokio::test]
async fn a_box_that_never_applied_a_change_has_nobody_to_wait_for() {
    let state = tempfile::tempdir().unwrap();
    let mut running = Running::start(state.path());
    running.sessions.are(&["1"]);

    let first = running.report(&json!([])).await;
    let second = running.report(&json!([verdict("a", "rolled_back")])).await;

    assert_eq!(first, report(&json!([])));
    assert_eq!(second["receiptComputer"], Value::Null);
}

#[tokio::test]
async fn the_first_session_after_the_commit_confirms_and_older_ones_do_not() {
    let state = tempfile::tempdir().unwrap();
    let mut running = Running::start(state.path());
    running.sessions.are(&["old"]);

    let report = running.report(&json!([verdict("a", "applied")])).await;
    assert_eq!(report["receiptComputer"], unconfirmed("a"));
    running.says_nothing().await;
    running.sessions.are(&["new", "old"]);
    let confirmed = running.next().await;

    assert_eq!(confirmed["receiptComputer"]["state"], "confirmed");
    assert_eq!(confirmed["receiptComputer"]["changeId"], "a");
    assert_eq!(confirmed["receiptComputer"]["clock"], "estimated");
    assert!(confirmed["receiptComputer"]["at"].is_string());
    // A change that was not applied takes nothing of it away, the next that is begins anew.
    let later = running.report(&json!([verdict("b", "rolled_back"), verdict("a", "applied")])).await;
    assert_eq!(later["receiptComputer"], confirmed["receiptComputer"]);
    let next = running.report(&json!([verdict("c", "applied"), verdict("a", "applied")])).await;
    assert_eq!(next["receiptComputer"], unconfirmed("c"));
    running.says_nothing().await;
}

#[tokio::test]
async fn the_first_file_after_the_commit_confirms_though_smbd_cannot_be_asked() {
    let state = tempfile::tempdir().unwrap();
    let mut running = Running::start(state.path());
    running.health.captured.store(3, Ordering::Relaxed);

    assert_eq!(running.report(&json!([verdict("a", "applied")])).await["receiptComputer"], unconfirmed("a"));
    running.says_nothing().await;
    running.health.captured.store(4, Ordering::Relaxed);

    assert_eq!(running.next().await["receiptComputer"]["state"], "confirmed");
}

#[tokio::test]
async fn what_is_known_outlives_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let applied = json!([verdict("a", "applied")]);
    let mut running = Running::start(state.path());
    running.sessions.are(&["old"]);
    running.report(&applied).await;
    running.says_nothing().await;
    drop(running);

    // The session from before the commit is still known for what it is.
    let mut running = Running::start(state.path());
    running.sessions.are(&["old"]);
    assert_eq!(running.report(&applied).await["receiptComputer"], unconfirmed("a"));
    running.says_nothing().await;
    running.sessions.are(&["old", "new"]);
    let confirmed = running.next().await["receiptComputer"].clone();
    assert_eq!(confirmed["state"], "confirmed");
    drop(running);

    let mut running = Running::start(state.path());
    assert_eq!(running.report(&applied).await["receiptComputer"], confirmed);
}

#[tokio::test]
async fn the_report_stays_under_its_size() {
    let state = tempfile::tempdir().unwrap();
    let mut running = Running::start(state.path());
    let mut full = report(&json!([verdict("a", "applied"), verdict("b", "rolled_back")]));
    let room = MAX_SIDE_BYTES - full.to_string().len() - ",\"detail\":\"\"".len();
    full["verdicts"][1]["detail"] = json!("d".repeat(room));
    assert_eq!(full.to_string().len(), MAX_SIDE_BYTES);

    running.reports.send(full).unwrap();
    let report = running.next().await;

    assert_eq!(report["receiptComputer"], unconfirmed("a"));
    assert!(report.to_string().len() <= MAX_SIDE_BYTES, "{}", report.to_string().len());
}
