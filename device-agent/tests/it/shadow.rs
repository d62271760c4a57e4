//! The shadow over a real MQTT connection with client certificates, at a small server that keeps one
//! document the way AWS IoT does.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use device_agent::{
    capture::spool::Spool,
    clock::Clock,
    health::Health,
    identity::Identity,
    newest,
    shadow::{
        ShadowSync,
        mqtt::Endpoint,
        round_trip::{self, RoundTrip},
    },
    status::StatusSource,
    store::Store,
};
use futures::{SinkExt, StreamExt};
use rumqttc::{
    Codec, ConnAck, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, SubscribeReasonCode,
    tokio_rustls::TlsAcceptor,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Map, Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::{codec::Framed, sync::CancellationToken};

use crate::{
    enrolment::{Bed, enrolled_box},
    support::{eventually, roomy, spool_in, spool_keys},
};

const LAN: &str = "$aws/things/tenpo-0001/shadow/name/lan/";
const STATUS: &str = "$aws/things/tenpo-0001/shadow/name/status/";

#[derive(Default)]
struct Kept {
    version: u64,
    lan: Map<String, Value>,
    status: Map<String, Value>,
    /// How many reports came, the unanswered ones included.
    reports: Vec<Value>,
    /// The next report is kept, but the connection is cut instead of an answer.
    cut_at_report: bool,
    /// The connection is cut instead of an answer to the next question that has a token.
    cut_at_question: bool,
    status_refusals: usize,
    connections: usize,
}

type Shared = Arc<Mutex<Kept>>;

/// RFC 7386, as the shadow service merges.
fn merge(into: &mut Map<String, Value>, patch: &Value) {
    for (key, value) in patch.as_object().unwrap() {
        match (into.get_mut(key), value) {
            (_, Value::Null) => drop(into.remove(key)),
            (Some(Value::Object(old)), Value::Object(_)) => merge(old, value),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

/// Answers one message of the box; `None`: hang up.
fn answer(kept: &Shared, topic: &str, payload: &[u8]) -> Option<Vec<(String, Value)>> {
    let mut kept = kept.lock().unwrap();
    if let Some("update") = topic.strip_prefix(STATUS) {
        let update: Value = serde_json::from_slice(payload).unwrap();
        if kept.status_refusals > 0 {
            kept.status_refusals -= 1;
            return Some(vec![(format!("{STATUS}update/rejected"), json!({"code": 400}))]);
        }
        merge(&mut kept.status, &update["state"]["reported"]);
        return Some(vec![(format!("{STATUS}update/accepted"), json!({"version": 1}))]);
    }
    match topic.strip_prefix(LAN)? {
        "get" => {
            let question: Value = serde_json::from_slice(payload).unwrap_or_default();
            let token = question.get("clientToken");
            if token.is_some() && std::mem::take(&mut kept.cut_at_question) {
                return None;
            }
            let (ending, mut document) = if kept.lan.is_empty() {
                ("rejected", json!({"code": 404}))
            } else {
                let version = kept.version;
                ("accepted", json!({"state": kept.lan, "version": version, "timestamp": 1_800_000_000}))
            };
            if let Some(token) = token {
                document["clientToken"] = token.clone();
            }
            Some(vec![(format!("{LAN}get/{ending}"), document)])
        }
        "update" => {
            let update: Value = serde_json::from_slice(payload).unwrap();
            assert_eq!(update["state"].as_object().unwrap().len(), 1, "the box never writes desired");
            kept.reports.push(update["state"]["reported"].clone());
            kept.version += 1;
            merge(&mut kept.lan, &update["state"]);
            if std::mem::take(&mut kept.cut_at_report) {
                return None;
            }
            let accepted = json!({"version": kept.version, "clientToken": update["clientToken"]});
            Some(vec![(format!("{LAN}update/accepted"), accepted)])
        }
        other => panic!("nothing is published to {other}"),
    }
}

async fn serve(socket: TcpStream, tls: TlsAcceptor, kept: Shared) -> Option<()> {
    let stream = tls.accept(socket).await.ok()?;
    let codec = Codec { max_incoming_size: 65536, max_outgoing_size: 65536 };
    let mut line = Framed::new(stream, codec);
    let mut next = 0;
    loop {
        match line.next().await?.ok()? {
            Packet::Connect(connect) => {
                assert_eq!(connect.client_id, "tenpo-0001");
                kept.lock().unwrap().connections += 1;
                line.send(Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false))).await.ok()?;
            }
            Packet::Subscribe(subscribe) => {
                let granted = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); subscribe.filters.len()];
                line.send(Packet::SubAck(SubAck::new(subscribe.pkid, granted))).await.ok()?;
            }
            Packet::Publish(message) => {
                let answers = answer(&kept, &message.topic, &message.payload)?;
                line.send(Packet::PubAck(PubAck::new(message.pkid))).await.ok()?;
                for (topic, document) in answers {
                    next += 1;
                    let mut publish = Publish::new(topic, QoS::AtLeastOnce, document.to_string());
                    publish.pkid = next;
                    line.send(Packet::Publish(publish)).await.ok()?;
                }
            }
            Packet::Disconnect => return None,
            _ => {}
        }
    }
}

struct Line {
    kept: Shared,
    reports: newest::Sender<Value>,
    desired: newest::Receiver<Value>,
    round_trip: RoundTrip,
    clock: Arc<Clock>,
    _bed: Bed,
    _tasks: JoinSet<()>,
}

async fn line(kept: Kept) -> Line {
    let bed = enrolled_box().await;
    let kept = Arc::new(Mutex::new(kept));
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = TlsAcceptor::from(Arc::new(server_tls(&bed)));
    let shared = Arc::clone(&kept);
    tasks.spawn(async move {
        let mut lines = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            lines.spawn(serve(socket, tls.clone(), Arc::clone(&shared)));
        }
    });
    let (reports, reported) = newest::queue(16);
    let (tell, desired) = newest::queue(16);
    let ca_file = bed.config.ca_file.as_ref().unwrap();
    let identity = Arc::new(Identity::load(&bed.config.home, ca_file, &Clock::system()).unwrap());
    let spool: Spool = spool_in(&bed.config.home.state_dir).await;
    let clock = Clock::system();
    // Heard before, and wrong since.
    clock.learn(clock.now());
    let health = Health::new(Arc::clone(&clock));
    let (round_trip, round_trips) = round_trip::channel();
    let sync = ShadowSync {
        endpoint: Endpoint {
            host: "localhost".to_owned(),
            port,
            thing: bed.config.home.thing.clone(),
            tls: Arc::clone(&identity.tls),
            interface: None,
        },
        clock: Arc::clone(&clock),
        status: StatusSource::new(spool, Arc::clone(&clock), identity, roomy(), Arc::clone(&health)),
        reports: reported,
        desired: tell,
        round_trips,
        health,
    };
    tasks.spawn(async move { sync.run(CancellationToken::new()).await.unwrap() });
    Line { kept, reports, desired, round_trip, clock, _bed: bed, _tasks: tasks }
}

fn server_tls(bed: &Bed) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(bed.ca_pem.as_bytes()).unwrap()).unwrap();
    let (certificate, key) = bed.server_certificate();
    ServerConfig::builder()
        .with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap()
}

async fn reported(line: &Line, wanted: &Value) {
    eventually("the shadow shows the report", || async {
        (line.kept.lock().unwrap().lan.get("reported") == Some(wanted)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_desired_while_the_box_was_away_is_heard_and_stale_keys_go() {
    let state =
        json!({"desired": {"changeId": "a"}, "reported": {"lan": {"mode": "static", "address": "x"}}});
    let mut line =
        line(Kept { lan: state.as_object().unwrap().clone(), version: 7, ..Kept::default() }).await;

    line.reports.send(json!({"lan": {"mode": "dhcp"}})).unwrap();

    assert_eq!(line.desired.recv().await, Some(json!({"changeId": "a"})));
    reported(&line, &json!({"lan": {"mode": "dhcp"}})).await;
    assert!((line.clock.now().timestamp() - 1_800_000_000).abs() < 60);
    eventually("the status is told", || async {
        line.kept.lock().unwrap().status.contains_key("agentVersion").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_is_not_repeated_but_the_next_one_arrives() {
    let line = line(Kept { cut_at_report: true, ..Kept::default() }).await;

    line.reports.send(json!({"n": 1})).unwrap();
    eventually("the box has come back", || async {
        (line.kept.lock().unwrap().connections == 2).then_some(())
    })
    .await;
    line.reports.send(json!({"n": 2})).unwrap();

    reported(&line, &json!({"n": 2})).await;
    assert_eq!(line.kept.lock().unwrap().reports, [json!({"n": 1}), json!({"n": 2})]);
}

#[tokio::test]
async fn a_status_that_is_not_taken_is_sent_again() {
    let line = line(Kept { status_refusals: 2, ..Kept::default() }).await;

    let status = eventually("the status is taken", || async {
        let status = line.kept.lock().unwrap().status.clone();
        (!status.is_empty()).then_some(status)
    })
    .await;

    assert_eq!((&status["line"]["up"], &status["alarms"]), (&json!(true), &json!([])));
    assert_eq!(line.kept.lock().unwrap().connections, 1);
}

#[tokio::test]
async fn a_box_whose_database_does_not_answer_tells_that() {
    let state = tempfile::tempdir().unwrap();
    let bed = enrolled_box().await;
    let store = Store::open(state.path()).unwrap();
    let spool = Spool::open(store.clone(), state.path(), spool_keys(state.path()), u64::MAX).await.unwrap();
    let clock = Clock::system();
    let identity = Identity::load(&bed.config.home, bed.config.ca_file.as_ref().unwrap(), &clock).unwrap();
    let health = Health::new(Arc::clone(&clock));
    let mut status = StatusSource::new(spool, clock, Arc::new(identity), roomy(), health);
    let statement = |text: &'static str| store.run(move |db| db.execute_batch(text));

    statement("alter table spool rename to elsewhere").await.unwrap();
    let failing = status.due().await.unwrap();
    statement("alter table elsewhere rename to spool").await.unwrap();
    let mended = status.due().await.unwrap();

    assert_eq!(failing["state"]["reported"]["alarms"], json!(["STORE_FAILING"]));
    assert_eq!(failing["state"]["reported"]["lastReceiptAt"], Value::Null);
    assert_eq!(mended["state"]["reported"]["alarms"], json!([]));
    // What the shadow has already is not told again, until it may have lost it.
    assert_eq!(mended["state"]["reported"].get("agentVersion"), None);
    status.not_taken(&json!(500));
    let status = tokio::sync::Mutex::new(status);
    let again = eventually("it is due again", || async { status.lock().await.due().await }).await;
    assert_eq!(again["state"]["reported"]["agentVersion"], failing["state"]["reported"]["agentVersion"]);
}

#[tokio::test]
async fn that_the_cloud_answers_is_proven_over_whichever_connection_there_is() {
    let line = line(Kept { cut_at_question: true, ..Kept::default() }).await;
    let patience = Duration::from_secs(20);

    assert!(line.round_trip.make(patience).await);
    assert_eq!(line.kept.lock().unwrap().connections, 2);
    assert!(line.round_trip.make(patience).await);
    assert_eq!(line.kept.lock().unwrap().connections, 2);
}
