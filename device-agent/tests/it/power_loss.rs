//! Power loss is not kill -9: what the real agent writes, renames, removes and syncs is recorded, and
//! every disk that a power cut could have left on the way is opened by the real code.

mod disk;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path as UrlPath, State},
    http::HeaderMap,
    routing::{get, post, put},
};
use chrono::TimeDelta;
use device_agent::{
    capture::{
        complete::{Body, INLINE},
        spool::Spool,
    },
    clock::Clock,
    store::{self, Store},
};
use device_model::{
    login::{LoginAnswer, NonceAnswer},
    upload::{ContentHash, Receipt, SEQUENCE_HEADER},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    capture,
    enrolment::{self, enrolled_box},
    power_loss::disk::{Call, Disk, Left},
    support::{entries, eventually, spool_keys},
};

const THING: &str = "tenpo-0001";
const SEED: u64 = 6;
const CHECKS_AT_ONCE: usize = 3;

/// A cloud that takes everything, while its gate is open.
#[derive(Clone)]
struct Cloud {
    gate: watch::Receiver<bool>,
    /// The content of each sequence that it has given a receipt for.
    taken: Arc<Mutex<HashMap<u64, ContentHash>>>,
}

async fn nonce() -> Json<NonceAnswer> {
    let now = Clock::system().now();
    Json(NonceAnswer { nonce: "nonce".to_owned(), expires_at: now + TimeDelta::minutes(1), now })
}

async fn login() -> Json<LoginAnswer> {
    let expires_at = Clock::system().now() + TimeDelta::minutes(15);
    Json(LoginAnswer { token: "token".to_owned(), expires_at, sequence_floor: 0 })
}

async fn credentials() -> Json<Value> {
    Json(json!({"credentials": {"accessKeyId": "ASIAEXAMPLEEXAMPLE01", "secretAccessKey": "s",
        "sessionToken": "t", "expiration": Clock::system().now() + TimeDelta::hours(1)}}))
}

async fn upload(
    State(mut cloud): State<Cloud>,
    UrlPath(id): UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Receipt> {
    drop(cloud.gate.wait_for(|open| *open).await);
    let sha256 = ContentHash::of(&body);
    let sequence = headers[SEQUENCE_HEADER].to_str().unwrap().parse().unwrap();
    cloud.taken.lock().unwrap().insert(sequence, sha256);
    Json(Receipt {
        upload_id: id.parse().unwrap(),
        thing: THING.parse().unwrap(),
        sha256,
        size: body.len() as u64,
        version_id: "v".to_owned(),
        received_at: Clock::system().now(),
    })
}

/// The real agent under the recorder.
struct Recorded {
    agent: Child,
    state: PathBuf,
    share: TempDir,
    log: PathBuf,
    said: PathBuf,
    cloud: Cloud,
    gate: watch::Sender<bool>,
    before: Disk,
    contents: HashSet<ContentHash>,
    /// The box's folders and the cloud end with the recording.
    _held: (enrolment::Bed, JoinSet<()>),
}

impl Recorded {
    async fn start() -> Self {
        let own = enrolled_box().await;
        let state = own.config.home.state_dir.clone();
        let around = state.parent().unwrap().to_owned();
        let recorder = build_recorder(&around);
        let (gate, gated) = watch::channel(true);
        let cloud = Cloud { gate: gated, taken: Arc::default() };
        let router = Router::new()
            .route("/v1/device/nonce", post(nonce))
            .route("/v1/device/login", post(login))
            .route("/role-aliases/{alias}/credentials", get(credentials))
            .route("/v1/uploads/{id}", put(upload))
            .with_state(cloud.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let share = tempfile::tempdir().unwrap();
        let (log, said) = (around.join("recording"), around.join("said"));
        let before = Disk::of(&state);
        let agent = Command::new(env!("CARGO_BIN_EXE_device-agent"))
            .arg("run")
            .env_clear()
            .env("LD_PRELOAD", recorder)
            .env("RECORDER_ROOT", &state)
            .env("RECORDER_LOG", &log)
            .env("RECEHUB_THING", THING)
            .env("RECEHUB_STATE_DIR", &state)
            .env("RECEHUB_SHARE_DIR", share.path())
            .env("RECEHUB_FLEET_API", &url)
            .env("RECEHUB_CREDENTIALS_URL", &url)
            .env("RECEHUB_SERVER_ID", "server")
            .env("RECEHUB_STS_HOST", "127.0.0.1:4566")
            .env("RECEHUB_STS_REGION", "ap-northeast-1")
            // Nobody listens there: the share's way does not need the shadow's.
            .env("RECEHUB_MQTT_HOST", "127.0.0.1")
            .env("RECEHUB_MQTT_PORT", "1")
            .env("RECEHUB_ROLE_ALIAS", "alias")
            .env("RECEHUB_CA_FILE", own.config.ca_file.as_ref().unwrap())
            .env("RECEHUB_LAN_BACKEND", "fake")
            .env("RECEHUB_LAN_FAKE_DIR", around.join("lan"))
            .stderr(Stdio::from(fs::File::create(&said).unwrap()))
            .spawn()
            .unwrap();
        let contents = HashSet::new();
        Self { agent, state, share, log, said, cloud, gate, before, contents, _held: (own, server) }
    }

    fn write(&mut self, name: &str, content: &[u8]) {
        self.contents.insert(ContentHash::of(content));
        capture::put(&self.share.path().join(name), content);
    }

    /// Waits until this many files were captured, and as many as that were dropped against their receipts.
    async fn reached(&mut self, captured: usize, settled: usize) {
        eventually("the agent has come so far", || async {
            let said = fs::read_to_string(&self.said).unwrap();
            let receipts: usize = store::open_to_read(&self.state)
                .ok()?
                .query_row("select count(*) from receipts", [], |row| row.get(0))
                .ok()?;
            (said.matches("captured a file").count() >= captured && receipts >= settled).then_some(())
        })
        .await;
        assert_eq!(self.agent.try_wait().unwrap(), None, "the agent runs");
    }

    fn end(&mut self) -> Vec<Call> {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
        disk::read_log(&fs::read(&self.log).unwrap())
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        drop(self.agent.kill());
        drop(self.agent.wait());
    }
}

fn build_recorder(folder: &Path) -> PathBuf {
    let library = folder.join("recorder.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/recorder.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(built.expect("a C compiler, `cc`, is needed").success(), "the recorder does not compile");
    library
}

/// The sequences that the agent has called captured with these calls.
fn promised(call: &Call) -> Vec<u64> {
    let said = if call.kind == b'O' { String::from_utf8_lossy(&call.data) } else { "".into() };
    let lines = said.lines().filter(|line| line.contains("captured a file"));
    lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap()).collect()
}

/// What must hold on every disk. Answers with what does not.
async fn faults(
    state: &Path,
    promised: &HashSet<u64>,
    contents: &HashSet<ContentHash>,
    taken: &HashMap<u64, ContentHash>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let opened = match Store::open(state) {
        Ok(store) => {
            Spool::open(store.clone(), state, spool_keys(state), u64::MAX).await.map(|it| (store, it))
        }
        Err(error) => Err(error.into()),
    };
    let (store, spool) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![format!("it does not open: {error:#}")],
    };
    let mut found = HashSet::new();
    for entry in entries(&spool).await {
        let whole = match spool.body(entry.sequence).await {
            Ok(Some(Body::Inline(content))) => Some(content),
            Ok(Some(Body::File(copy))) => fs::read(&copy.path).ok().and_then(|it| copy.key.open(&it).ok()),
            _ => None,
        };
        if whole.is_some_and(|whole| ContentHash::of(&whole) == entry.hash) && contents.contains(&entry.hash)
        {
            found.insert(entry.sequence);
        } else {
            faults.push(format!("{} is offered and not whole", entry.sequence));
        }
    }
    let (receipts, dangling): (Vec<u64>, u64) = store
        .run(|db| {
            let receipts = db.prepare("select sequence from receipts")?;
            let mut receipts = receipts;
            let receipts = receipts.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let dangling = "select count(*) from observed where
                (path_key, content_key) not in (select path_key, content_key from spool) and
                (path_key, content_key) not in (select path_key, content_key from receipts)";
            Ok((receipts, db.query_row(dangling, [], |row| row.get(0))?))
        })
        .await
        .unwrap();
    if dangling > 0 {
        faults.push(format!("{dangling} would never be captured again and are nowhere"));
    }
    for receipt in &receipts {
        if !taken.contains_key(receipt) {
            faults.push(format!("{receipt} has a receipt that nobody gave"));
        }
    }
    found.extend(receipts);
    let lost = promised.difference(&found).count();
    if lost > 0 {
        faults.push(format!("{lost} of {} that were captured are lost", promised.len()));
    }
    faults
}

/// The disks that are possible now and were not before this call.
fn new_disks(kind: u8) -> &'static [Left] {
    match kind {
        b'O' => &[Left::Certain],
        b'S' => &[Left::Certain, Left::Some],
        _ => &[Left::All, Left::Some],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_power_cut_leaves_of_the_disk_nothing_that_was_captured_is_lost_or_cut_short() {
    let mut recorded = Recorded::start().await;
    for number in 0..6u8 {
        recorded.write(&format!("small-{number}.csv"), &[number; 3000]);
    }
    recorded.reached(6, 6).await;
    recorded.gate.send(false).unwrap();
    recorded.write("big.csv", &vec![7; INLINE + 1000]);
    recorded.write("small-0.csv", b"another content");
    for number in 0..4u8 {
        recorded.write(&format!("medium-{number}.csv"), &vec![number; 150_000]);
    }
    recorded.reached(12, 6).await;
    recorded.gate.send(true).unwrap();
    recorded.reached(12, 12).await;
    // As much as it takes until SQLite carries its log over into the database, a little each time.
    for number in 0..60u8 {
        recorded.write(&format!("more-{number}.csv"), &[100 + number; 5000]);
        recorded.reached(13 + usize::from(number), 12).await;
    }
    for number in 10..26u8 {
        recorded.write(&format!("medium-{number}.csv"), &vec![number; 150_000]);
    }
    recorded.write("bigger.csv", &vec![8; 2 * INLINE]);
    recorded.reached(89, 89).await;
    let calls = recorded.end();

    let taken = recorded.cloud.taken.lock().unwrap().clone();
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut promises, mut checked, mut bad) = (HashSet::new(), 0usize, Vec::new());
    let place =
        tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).unwrap();
    let taken = Arc::new(taken);
    let contents = Arc::new(recorded.contents.clone());
    let mut checks = JoinSet::new();
    for (number, call) in calls.iter().enumerate() {
        recorded.before.apply(call);
        promises.extend(promised(call));
        for left in new_disks(call.kind) {
            let state = place.path().join(checked.to_string());
            fs::create_dir(&state).unwrap();
            recorded.before.build(*left, &mut dice, &state);
            checked += 1;
            let (left, so_far) = (*left, promises.clone());
            let (contents, taken) = (Arc::clone(&contents), Arc::clone(&taken));
            checks.spawn(async move {
                let faults = faults(&state, &so_far, &contents, &taken).await;
                drop(fs::remove_dir_all(&state));
                let told = faults.into_iter();
                told.map(|fault| format!("after call {number}, {left:?} left: {fault}")).collect::<Vec<_>>()
            });
            while checks.len() > CHECKS_AT_ONCE {
                bad.extend(checks.join_next().await.unwrap().unwrap());
            }
        }
    }
    bad.extend(checks.join_all().await.into_iter().flatten());

    let syncs = calls.iter().filter(|call| call.kind == b'S').count();
    println!("{} calls recorded, {syncs} of them syncs; {checked} disks checked", calls.len());
    assert_eq!(bad, Vec::<String>::new());
    assert_eq!(promises.len(), 89);
    assert!(checked >= calls.len() && syncs > 50, "{checked} disks, {syncs} syncs");
    let carried_over = calls.iter().filter(|call| call.writes_to("agent.db")).count();
    assert!(carried_over > 50, "{carried_over} pages went from SQLite's log into the database");
}
