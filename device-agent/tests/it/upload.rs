//! Uploads and logins against a server that keeps the contract, and now and then does not.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    io::Write,
    num::NonZeroU64,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use device_agent::{
    api_session::{ApiSession, signature::Audience},
    capture::{complete, spool::Spool},
    clients::{Patience, client},
    clock::{Clock, moment::Moment},
    credentials::CredentialSource,
    health::Health,
    identity::sealing::SealingKey,
    lan::{
        applier::{Applier, Parts},
        desire::Reader,
        fake::FakeLan,
        journal::{Journal, Stamp},
        pause::{Pauses, Waits},
        state::Machine,
    },
    newest,
    store::Store,
    upload::{Uploader, throttle::Throttle},
};
use device_model::{
    lan::ReservedRanges,
    login::{LoginAnswer, LoginRequest, NonceAnswer},
    outcome,
    upload::{
        CLOCK_HEADER, ContentHash, DIGEST_HEADER, OBSERVED_AT_HEADER, PATH_HEADER, Receipt, SEQUENCE_HEADER,
        UploadId,
    },
};
use futures::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::support::{SmallDisk, entries, eventually, read_whole, spool_in, spool_keys};

const THING: &str = "tenpo-0001";

struct Cloud {
    /// What the next uploads are answered with instead of a receipt.
    faults: VecDeque<Fault>,
    tokens: Vec<String>,
    logins: Vec<LoginRequest>,
    credentials_fetched: usize,
    nonces: usize,
    /// How long a session lasts.
    session: TimeDelta,
    stored: Vec<Stored>,
    objects: HashMap<String, Vec<u8>>,
    floor: u64,
    /// How long the server takes to read one body.
    reads_for: Duration,
    tries: usize,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            faults: VecDeque::new(),
            tokens: Vec::new(),
            logins: Vec::new(),
            credentials_fetched: 0,
            nonces: 0,
            session: TimeDelta::minutes(15),
            stored: Vec::new(),
            objects: HashMap::new(),
            floor: 0,
            reads_for: Duration::ZERO,
            tries: 0,
        }
    }
}

#[derive(Clone)]
enum Fault {
    Status(u16),
    /// With a wish for that many seconds.
    Later(u16, u64),
    /// A receipt for something else.
    OtherReceipt,
    /// The session is over, from here on.
    EndSession,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    path: Vec<u8>,
    sequence: u64,
    observed_at: DateTime<Utc>,
    clock: String,
    id: String,
}

type Shared = Arc<Mutex<Cloud>>;

async fn nonce(State(cloud): State<Shared>) -> Json<NonceAnswer> {
    cloud.lock().unwrap().nonces += 1;
    let now = Clock::system().now();
    Json(NonceAnswer { nonce: "nonce".to_owned(), expires_at: now + TimeDelta::seconds(60), now })
}

async fn credentials(
    State(cloud): State<Shared>,
    Path(alias): Path<String>,
    headers: HeaderMap,
) -> Json<Value> {
    assert_eq!((alias.as_str(), headers["x-amzn-iot-thingname"].to_str().unwrap()), ("alias", THING));
    cloud.lock().unwrap().credentials_fetched += 1;
    Json(json!({"credentials": {"accessKeyId": "ASIAEXAMPLEEXAMPLE01", "secretAccessKey": "s",
        "sessionToken": "t", "expiration": Clock::system().now() + TimeDelta::hours(1)}}))
}

async fn login(State(cloud): State<Shared>, Json(request): Json<LoginRequest>) -> Json<LoginAnswer> {
    let mut cloud = cloud.lock().unwrap();
    cloud.logins.push(request);
    let token = format!("token-{}", cloud.logins.len());
    cloud.tokens = vec![token.clone()];
    Json(LoginAnswer {
        token,
        expires_at: Clock::system().now() + cloud.session,
        sequence_floor: cloud.floor,
    })
}

/// Reads a body piece by piece, and no faster than told.
async fn slowly(body: Body, reads_for: Duration) -> Bytes {
    let begun = tokio::time::Instant::now();
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&piece.unwrap());
        tokio::time::sleep(reads_for / 8).await;
    }
    tokio::time::sleep_until(begun + reads_for).await;
    whole.into()
}

async fn upload(State(cloud): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let pause = {
        let mut cloud = cloud.lock().unwrap();
        cloud.tries += 1;
        cloud.reads_for
    };
    let body: Bytes = slowly(body, pause).await;
    let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
    let mut cloud = cloud.lock().unwrap();
    let bearer = header("authorization");
    if !cloud.tokens.iter().any(|token| bearer == format!("Bearer {token}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let fault = cloud.faults.pop_front();
    match fault {
        Some(Fault::Status(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::Later(status, seconds)) => {
            let status = StatusCode::from_u16(status).unwrap();
            return (status, [("retry-after", seconds.to_string())]).into_response();
        }
        Some(Fault::EndSession) => {
            cloud.tokens.clear();
            return StatusCode::UNAUTHORIZED.into_response();
        }
        Some(Fault::OtherReceipt) | None => {}
    }
    let path = URL_SAFE_NO_PAD.decode(header(PATH_HEADER)).unwrap();
    let hash = ContentHash::of(&body);
    let upload_id = UploadId::of(&THING.parse().unwrap(), &path, hash);
    assert_eq!(ContentHash::from_digest_header(&header(DIGEST_HEADER)), Some(hash));
    assert_eq!(header("content-length"), body.len().to_string());
    assert_eq!(id, upload_id.to_string());
    cloud.stored.push(Stored {
        path,
        sequence: header(SEQUENCE_HEADER).parse().unwrap(),
        observed_at: header(OBSERVED_AT_HEADER).parse().unwrap(),
        clock: header(CLOCK_HEADER),
        id: id.clone(),
    });
    cloud.objects.insert(id, body.to_vec());
    let wrong = u64::from(matches!(fault, Some(Fault::OtherReceipt)));
    Json(Receipt {
        upload_id,
        thing: THING.parse().unwrap(),
        sha256: hash,
        size: body.len() as u64 + wrong,
        version_id: "v1".to_owned(),
        received_at: Clock::system().now(),
    })
    .into_response()
}

struct Bed {
    cloud: Shared,
    spool: Spool,
    state: TempDir,
    patience: Patience,
    cap: Option<NonZeroU64>,
    health: Arc<Health>,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Bed {
    async fn start(faults: impl IntoIterator<Item = Fault>, files: &[(&str, &[u8])]) -> Self {
        Self::start_with(Clock::system(), faults, files).await
    }

    async fn start_with(
        clock: Arc<Clock>,
        faults: impl IntoIterator<Item = Fault>,
        files: &[(&str, &[u8])],
    ) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let cloud = Shared::default();
        cloud.lock().unwrap().faults = faults.into_iter().collect();
        let state = tempfile::tempdir().unwrap();
        let spool = spool_in(state.path()).await;
        let patience = Patience::default();
        let health = Health::new(Clock::system());
        let (stop, tasks) = (CancellationToken::new(), JoinSet::new());
        let mut bed = Self { cloud, spool, state, patience, cap: None, health, stop, tasks };
        for (name, content) in files {
            bed.capture(name, content, &clock).await;
        }
        bed.serve(clock).await;
        bed
    }

    /// A box whose uploads have not begun.
    async fn at_rest() -> Self {
        let mut bed = Self::start([], &[]).await;
        bed.tasks.shutdown().await;
        bed
    }

    /// The one copy that lies in the spool's folder.
    fn copy(&self) -> PathBuf {
        let mut copies = std::fs::read_dir(self.spool.folder()).unwrap();
        copies.next().unwrap().unwrap().path()
    }

    async fn quarantined(&self, count: u64) {
        eventually("it is set aside", || async {
            let (backlog, _) = self.spool.backlog().await.unwrap();
            (backlog.quarantined == count).then_some(())
        })
        .await;
    }

    async fn nonces(&self, count: usize) {
        eventually("a nonce was asked for", || async {
            (self.cloud.lock().unwrap().nonces >= count).then_some(())
        })
        .await;
    }

    async fn serve(&mut self, clock: Arc<Clock>) {
        let router = Router::new()
            .route("/v1/device/nonce", post(nonce))
            .route("/v1/device/login", post(login))
            .route("/role-aliases/{alias}/credentials", get(credentials))
            .route("/v1/uploads/{id}", put(upload))
            .with_state(Arc::clone(&self.cloud));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: url::Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        self.tasks.spawn(async move { Ok(axum::serve(listener, router).await?) });
        let tls = device_agent::identity::anonymous_tls(None, &Clock::system()).unwrap();
        let http = client(&tls, &self.patience, None).unwrap();
        let thing: device_model::thing_name::ThingName = THING.parse().unwrap();
        let audience = Audience {
            sts_host: "127.0.0.1:4566".to_owned(),
            region: "ap-northeast-1".to_owned(),
            server_id: "server".to_owned(),
        };
        let credentials = CredentialSource::new(http.clone(), &url, "alias", thing.clone()).unwrap();
        let session = ApiSession::new(
            http.clone(),
            url.clone(),
            thing.clone(),
            audience,
            Arc::clone(&clock),
            self.spool.clone(),
            credentials,
        );
        let uploader = Uploader {
            http,
            patience: self.patience,
            throttle: self.cap.map(Throttle::new),
            fleet_api: url,
            thing,
            session: Arc::new(session),
            spool: self.spool.clone(),
            clock,
            health: Arc::clone(&self.health),
        };
        self.tasks.spawn(uploader.run(self.stop.clone()));
    }

    async fn capture(&self, name: &str, content: &[u8], clock: &Clock) {
        self.add(name, content, clock.moment()).await;
    }

    async fn add(&self, name: &str, content: &[u8], seen: Moment) {
        let file = self.state.path().join("read-me");
        fs::File::create(&file).and_then(|mut file| file.write_all(content)).unwrap();
        let whole = read_whole(self.state.path(), b"read-me", &self.spool).await;
        self.spool.add(name.into(), whole, seen, true).await.unwrap();
    }

    async fn drained(&self) {
        eventually("the spool is empty", || async { entries(&self.spool).await.is_empty().then_some(()) })
            .await;
    }

    fn stored(&self) -> Vec<Stored> {
        let mut stored = self.cloud.lock().unwrap().stored.clone();
        stored.sort_by_key(|one| one.sequence);
        stored
    }
}

#[tokio::test]
async fn everything_arrives_as_it_was_and_is_dropped_against_its_receipt() {
    let big = vec![9; complete::INLINE * 3];
    let bed =
        Bed::start([], &[("処方/a.csv", b"A"), ("big", &big), ("empty", b""), ("処方/a.csv", b"B")]).await;

    bed.drained().await;

    let paths: Vec<_> = bed.stored().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["処方/a.csv", "big", "empty", "処方/a.csv"].map(|path| path.as_bytes().to_vec()));
    eventually("the copy of the big one is gone", || async {
        (std::fs::read_dir(bed.spool.folder()).unwrap().count() == 0).then_some(())
    })
    .await;
    let cloud = bed.cloud.lock().unwrap();
    assert!(cloud.objects.values().any(|object| *object == big));
    assert_eq!((cloud.logins.len(), cloud.credentials_fetched), (1, 1));
}

#[tokio::test]
async fn what_was_received_is_dropped_before_the_box_ends() {
    let mut bed = Bed::start([], &[("a", b"A")]).await;
    eventually("its receipt is there", || async { bed.health.line() }).await;

    bed.stop.cancel();
    bed.tasks.join_next().await.unwrap().unwrap().unwrap();

    assert_eq!(entries(&bed.spool).await, []);
}

#[tokio::test]
async fn a_slow_line_has_time_for_an_upload_by_its_size() {
    let mut bed = Bed::at_rest().await;
    let size = complete::INLINE * 2;
    let least_upload = Duration::from_millis(100);
    bed.patience =
        Patience { least_upload, slowest_bytes_per_second: size as u64 / 10, ..Patience::default() };
    bed.cloud.lock().unwrap().reads_for = least_upload * 4;
    bed.capture("slow", &vec![7; size], &Clock::system()).await;

    bed.serve(Clock::system()).await;
    bed.drained().await;

    let cloud = bed.cloud.lock().unwrap();
    assert_eq!((cloud.stored.len(), cloud.tries), (1, 1));
}

#[tokio::test]
async fn a_line_slower_than_any_line_is_given_up_and_tried_again() {
    let mut bed = Bed::at_rest().await;
    let least_upload = Duration::from_secs(1);
    bed.patience = Patience { least_upload, slowest_bytes_per_second: u64::MAX, ..Patience::default() };
    bed.cloud.lock().unwrap().reads_for = least_upload * 4;
    bed.capture("slow", b"A", &Clock::system()).await;

    bed.serve(Clock::system()).await;
    eventually("a try began", || async { bed.cloud.lock().unwrap().tries.checked_sub(1) }).await;
    bed.cloud.lock().unwrap().reads_for = Duration::ZERO;
    bed.drained().await;

    assert!(bed.cloud.lock().unwrap().tries >= 2);
}

#[tokio::test]
async fn an_earlier_content_is_sent_again_under_the_same_id() {
    let bed = Bed::start([], &[("f", b"A"), ("f", b"B"), ("f", b"A"), ("f", b"A")]).await;

    bed.drained().await;

    let ids: Vec<_> = bed.stored().into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_session_that_is_over_is_opened_again_with_the_same_credentials() {
    let names: Vec<String> = (0..20).map(|number| format!("{number}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    let bed = Bed::start([Fault::EndSession], &files).await;

    bed.drained().await;

    let cloud = bed.cloud.lock().unwrap();
    assert_eq!((cloud.logins.len(), cloud.credentials_fetched), (2, 1));
}

#[tokio::test]
async fn a_session_is_renewed_before_it_ends_and_only_when_there_is_something_to_send() {
    let mut bed = Bed::at_rest().await;
    bed.cloud.lock().unwrap().session = TimeDelta::seconds(2);
    bed.serve(Clock::system()).await;
    // Longer than a session lasts: nothing is asked for, be there one or none.
    tokio::time::timeout(Duration::from_millis(300), bed.nonces(1)).await.unwrap_err();
    bed.capture("first", b"A", &Clock::system()).await;
    bed.drained().await;
    tokio::time::timeout(Duration::from_secs(2), bed.nonces(2)).await.unwrap_err();

    let mut count = 0;
    eventually("another session is opened", || {
        count += 1;
        let (bed, name) = (&bed, format!("{count}"));
        async move {
            bed.capture(&name, name.as_bytes(), &Clock::system()).await;
            bed.drained().await;
            (bed.cloud.lock().unwrap().nonces == 3).then_some(())
        }
    })
    .await;

    // None was used up to the answer that it is over.
    let cloud = bed.cloud.lock().unwrap();
    assert_eq!(cloud.tries, cloud.stored.len());
    assert_eq!((cloud.logins.len(), cloud.credentials_fetched), (3, 1));
}

#[tokio::test]
async fn a_new_file_does_not_wait_for_a_backlog_of_thousands() {
    let mut bed = Bed::at_rest().await;
    let one = &bed;
    let added = (0..2000).map(|number| async move {
        let name = format!("{number}");
        one.capture(&name, name.as_bytes(), &Clock::system()).await;
    });
    futures::future::join_all(added).await;
    bed.cloud.lock().unwrap().reads_for = Duration::from_millis(20);
    bed.serve(Clock::system()).await;
    eventually("the backlog is being sent", || async { bed.stored().get(20).map(drop) }).await;

    bed.capture("new", b"new", &Clock::system()).await;
    let before = bed.cloud.lock().unwrap().stored.len();
    let after = eventually("the new one is there", || async {
        let cloud = bed.cloud.lock().unwrap();
        cloud.stored.iter().position(|one| one.path == b"new")
    })
    .await;

    // One that is under way for each place, and perhaps one more.
    assert!(after - before <= 24, "{} others went before it", after - before);
    let sent = bed.stored();
    assert!((0..10).all(|first| sent.iter().any(|one| one.sequence == first + 1)), "the oldest wait");
}

#[tokio::test]
async fn uploads_stay_under_the_cap() {
    let mut bed = Bed::at_rest().await;
    bed.cap = NonZeroU64::new(200_000);
    let big = vec![7; complete::INLINE + 1];
    bed.capture("big", &big, &Clock::system()).await;
    bed.capture("small", &vec![8; 60_000], &Clock::system()).await;
    let begun = std::time::Instant::now();

    bed.serve(Clock::system()).await;
    bed.drained().await;

    let took = begun.elapsed().as_secs_f64();
    assert!(took > 1.4, "322 KB at 200 KB/s took {took} s");
    assert!(bed.cloud.lock().unwrap().objects.values().any(|object| *object == big));
}

#[tokio::test]
async fn whoever_is_told_to_come_later_keeps_everything_and_comes_later() {
    for status in [408, 409, 429, 503] {
        let bed = Bed::start([Fault::Status(status)], &[("a", b"A")]).await;

        bed.drained().await;

        let cloud = bed.cloud.lock().unwrap();
        assert_eq!((cloud.tries, cloud.stored.len(), cloud.logins.len()), (2, 1, 1), "{status}");
    }
}

#[tokio::test]
async fn what_will_never_be_taken_is_set_aside_and_the_rest_goes_on() {
    for status in [400, 413, 422] {
        let bed = Bed::start([Fault::Status(status)], &[("a", b"A"), ("b", b"B"), ("c", b"C")]).await;

        bed.drained().await;

        assert_eq!(bed.stored().len(), 2, "{status}");
        let (backlog, _) = bed.spool.backlog().await.unwrap();
        assert_eq!((backlog.count, backlog.quarantined), (0, 1), "{status}");
    }
}

#[tokio::test]
async fn what_was_refused_is_sent_again_once_someone_says_so() {
    let bed = Bed::start([Fault::Status(422)], &[("a", b"A")]).await;
    bed.quarantined(1).await;

    bed.spool.retry().await.unwrap();

    bed.drained().await;
    assert_eq!(bed.stored().len(), 1);
}

#[tokio::test]
async fn a_copy_that_is_gone_or_short_is_set_aside_and_read_again_from_the_share() {
    let big = vec![9; complete::INLINE * 2];
    for short in [false, true] {
        let mut bed = Bed::at_rest().await;
        bed.capture("big", &big, &Clock::system()).await;
        if short {
            fs::File::options().write(true).open(bed.copy()).unwrap().set_len(7).unwrap();
        } else {
            fs::remove_file(bed.copy()).unwrap();
        }

        bed.serve(Clock::system()).await;
        bed.quarantined(1).await;
        assert_eq!(bed.stored(), []);
        bed.capture("big", &big, &Clock::system()).await;

        bed.drained().await;
        assert_eq!(bed.stored().len(), 1);
        bed.quarantined(0).await;
    }
}

#[tokio::test]
async fn a_copy_that_cannot_be_opened_for_now_is_kept() {
    let mut bed = Bed::at_rest().await;
    bed.capture("big", &vec![9; complete::INLINE * 2], &Clock::system()).await;
    let (copy, away) = (bed.copy(), bed.state.path().join("away"));
    fs::rename(&copy, &away).unwrap();
    // Opening a loop of links fails, and not because nothing is there.
    std::os::unix::fs::symlink(&copy, &copy).unwrap();

    bed.serve(Clock::system()).await;
    tokio::time::timeout(Duration::from_millis(300), bed.quarantined(1)).await.unwrap_err();
    fs::rename(&away, &copy).unwrap();

    bed.drained().await;
    assert_eq!(bed.stored().len(), 1);
}

#[tokio::test]
async fn a_receipt_that_the_store_cannot_take_yet_is_kept_and_nothing_is_sent_twice() {
    let mut bed = Bed::at_rest().await;
    bed.capture("a", b"A", &Clock::system()).await;
    let store = Store::open(bed.state.path()).unwrap();
    let no = "create trigger no before insert on receipts begin select raise(abort, 'no'); end";
    store.run(|db| db.execute_batch(no)).await.unwrap();

    bed.serve(Clock::system()).await;
    eventually("it is sent", || async { (bed.stored().len() == 1).then_some(()) }).await;
    tokio::time::timeout(Duration::from_millis(1500), bed.drained()).await.unwrap_err();
    store.run(|db| db.execute_batch("drop trigger no")).await.unwrap();

    bed.drained().await;
    assert_eq!(bed.cloud.lock().unwrap().tries, 1);
    assert!(bed.tasks.try_join_next().is_none());
}

#[tokio::test]
async fn a_box_with_a_full_disk_still_starts_and_sends_what_it_has() {
    let Some(disk) = SmallDisk::mount("6m") else {
        return;
    };
    let mut bed = Bed::at_rest().await;
    let state = disk.0.path().join("state");
    bed.spool = spool_in(&state).await;
    let store = Store::open(&state).unwrap();
    let idle: Machine =
        serde_json::from_value(json!({"current": {"lan": {"mode": "dhcp"}}, "state": {"phase": "idle"}}))
            .unwrap();
    let stamp = Stamp { at: Clock::system().now(), clock: outcome::Clock::Synced };
    Journal(store.clone()).write(&idle, None, stamp).await.unwrap();
    for name in ["a", "b", "c"] {
        bed.capture(name, name.as_bytes(), &Clock::system()).await;
    }
    drop(store);
    bed.spool = spool_in(bed.state.path()).await;
    eventually("the database is closed", || async { (!state.join("agent.db-wal").exists()).then_some(()) })
        .await;
    disk.fill();

    let store = Store::open(&state).unwrap();
    bed.spool = Spool::open(store.clone(), &state, spool_keys(&state), u64::MAX).await.unwrap();
    disk.fill();
    let lan = FakeLan::open(&bed.state.path().join("lan")).unwrap();
    let (reports, mut reported) = newest::queue(16);
    let reader = Reader {
        thing: THING.parse().unwrap(),
        sealing: SealingKey::load_or_make(&bed.state.path().join("sealing.key")).unwrap(),
        reserved: ReservedRanges::default(),
    };
    let parts = Parts {
        journal: Journal(store),
        clock: Clock::system(),
        reader,
        reports,
        health: Arc::clone(&bed.health),
        waits: Waits::with(Pauses::default()),
    };
    let resume = Applier::resume(lan, parts);
    let applier = tokio::time::timeout(Duration::from_secs(5), resume).await.unwrap().unwrap();
    bed.serve(Clock::system()).await;

    assert!(reported.recv().await.is_some());
    eventually("everything is sent", || async { (bed.stored().len() == 3).then_some(()) }).await;
    disk.empty();
    bed.drained().await;
    assert_eq!(bed.cloud.lock().unwrap().tries, 3);
    drop(applier);
}

#[tokio::test]
async fn a_busy_cloud_is_given_the_time_it_asks_for() {
    let asked = std::time::Instant::now();
    let bed = Bed::start([Fault::Later(503, 1)], &[("a", b"A")]).await;

    bed.drained().await;

    assert!(asked.elapsed() >= Duration::from_secs(1));
    assert_eq!(bed.stored().len(), 1);
}

#[tokio::test]
async fn while_the_cloud_asks_for_time_nothing_else_is_sent_either() {
    for status in [409, 429, 503] {
        let bed = Bed::start([Fault::Later(status, 60)], &[("a", b"A")]).await;
        eventually("it was asked to wait", || async {
            bed.cloud.lock().unwrap().faults.is_empty().then_some(())
        })
        .await;

        bed.capture("b", b"B", &Clock::system()).await;
        tokio::time::timeout(Duration::from_secs(2), bed.drained()).await.unwrap_err();

        assert_eq!((bed.stored(), bed.cloud.lock().unwrap().tries), (vec![], 1), "{status}");
    }
}

#[tokio::test]
async fn one_broken_answer_or_false_receipt_drops_nothing_and_holds_nobody_up() {
    for (fault, sent) in [(Fault::Status(500), 2), (Fault::OtherReceipt, 3)] {
        let bed = Bed::start([fault], &[("a", b"A"), ("b", b"B")]).await;

        bed.drained().await;

        let stored = bed.stored();
        assert_eq!(stored.len(), sent);
        assert_eq!((stored[0].path.as_slice(), stored[sent - 1].path.as_slice()), (&b"a"[..], &b"b"[..]));
    }
}

#[tokio::test]
async fn a_box_that_is_refused_stops_asking_and_keeps_everything() {
    let bed = Bed::start([Fault::Status(403), Fault::Status(403)], &[("a", b"A"), ("b", b"B")]).await;
    eventually("both were refused", || async { bed.cloud.lock().unwrap().faults.is_empty().then_some(()) })
        .await;

    bed.capture("c", b"C", &Clock::system()).await;
    tokio::time::timeout(Duration::from_millis(300), bed.drained()).await.unwrap_err();

    assert_eq!(entries(&bed.spool).await.len(), 3);
    assert_eq!(bed.stored(), []);
    assert!(bed.health.refused.load(Ordering::Relaxed));
    assert!(bed.health.line().unwrap().up);
}

#[tokio::test]
async fn a_box_whose_time_is_off_signs_with_the_clouds_and_puts_right_what_it_saw_before() {
    let real = Clock::system();
    for hours in [-3, 3, -56 * 365 * 24, 10 * 365 * 24] {
        let clock = Clock::reading(move || Clock::system().now() + TimeDelta::hours(hours));
        let bed = Bed::start_with(Arc::clone(&clock), [], &[("before", b"A")]).await;
        bed.drained().await;
        bed.capture("after", b"B", &clock).await;
        bed.drained().await;

        let signed = bed.cloud.lock().unwrap().logins[0].amz_date.clone();
        let signed = chrono::NaiveDateTime::parse_from_str(&signed, "%Y%m%dT%H%M%SZ").unwrap().and_utc();
        assert!((real.now() - signed).num_seconds().abs() < 30);
        for one in bed.stored() {
            assert!((real.now() - one.observed_at).num_seconds().abs() < 30, "{hours} hours off");
            assert_eq!(one.clock, "synced");
        }
    }
}

#[tokio::test]
async fn what_was_seen_in_another_boot_without_the_time_stays_an_estimate() {
    let mut bed = Bed::at_rest().await;
    let seen = "2026-11-20T00:00:00+00:00 another-boot 5000000".parse().unwrap();
    bed.add("a", b"A", seen).await;

    bed.serve(Clock::system()).await;
    bed.drained().await;

    let one = bed.stored().remove(0);
    assert_eq!(one.observed_at, "2026-11-20T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(one.clock, "estimated");
}

#[tokio::test]
async fn the_clouds_floor_raises_the_count_before_anything_is_sent() {
    let bed = Bed::start([], &[]).await;
    bed.cloud.lock().unwrap().floor = 100;

    bed.capture("a", b"A", &Clock::system()).await;
    bed.drained().await;
    bed.capture("b", b"B", &Clock::system()).await;
    bed.drained().await;

    // The first was counted before the login told of the floor.
    let sequences: Vec<_> = bed.stored().into_iter().map(|one| one.sequence).collect();
    assert_eq!(sequences, [101, 102]);
}
