//! The packet loop: against what no client should send, against a model of what it should do, and at each limit.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use chrono::TimeDelta;
use local_cloud::authority::Account;
use local_cloud::calls::Calls;
use local_cloud::clock::Clock;
use local_cloud::faults::Faults;
use local_cloud::hub::Hub;
use local_cloud::limits::Limits;
use local_cloud::mqtt::broker::Broker;
use local_cloud::mqtt::connection::{self, Patience};
use local_cloud::rules::Rules;
use local_cloud::shadow::Shadows;
use local_cloud::state::{Store, certificates::Certificate};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, Subscribe, SubscribeFilter,
    SubscribeReasonCode, Unsubscribe,
};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, eventually};

const CERTIFICATE: &str = "cafe";

/// A cloud without doors, in memory, where one certificate may do everything.
fn hub() -> Hub {
    let store = Store::in_memory().unwrap();
    let account = Account { id: "123456789012".to_owned(), region: "ap-northeast-1".to_owned() };
    let everything =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
    store.create_policy("all", everything, 0).unwrap();
    let active = Certificate {
        id: CERTIFICATE.to_owned(),
        pem: String::new(),
        status: "ACTIVE".to_owned(),
        created: 0,
        modified: 0,
        not_before: 0,
        not_after: 0,
    };
    store.add_certificate(&active).unwrap();
    store.attach_policy("all", &account.certificate_arn(CERTIFICATE)).unwrap();
    let (rules, _) = Rules::open(store.clone()).unwrap();
    Hub {
        broker: Broker::open(store.clone()).unwrap(),
        shadows: Shadows::new(store.clone()),
        rules,
        faults: Faults::default(),
        limits: Limits::new(false),
        calls: Calls::default(),
        store,
        account,
        clock: Clock::system(),
    }
}

const CONNECT: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'c'];
const SAMPLES: [&[u8]; 8] = [
    &[0x30, 6, 0, 3, b'a', b'/', b'b', b'x'],
    &[0x32, 8, 0, 3, b'a', b'/', b'b', 0, 1, b'x'],
    &[0x82, 8, 0, 1, 0, 3, b'a', b'/', b'#', 1],
    &[0xa2, 7, 0, 2, 0, 3, b'a', b'/', b'#'],
    &[0x40, 2, 0, 1],
    &[0xc0, 0],
    &[0xe0, 0],
    &CONNECT,
];

/// Sends the bytes; answers when the server has ended the connection, or the client has hung up.
async fn speak(hub: &Hub, bytes: &[u8]) {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let never = CancellationToken::new();
    let peer = "127.0.0.1:1".parse().unwrap();
    let serving =
        connection::serve(server, peer, CERTIFICATE.to_owned(), hub.clone(), connection::PATIENCE, never);
    let speaking = async {
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
    };
    let both = futures::future::join(serving, speaking);
    tokio::time::timeout(PATIENCE, both).await.expect("the connection ends");
}

#[tokio::test]
async fn garbage_ends_a_connection_and_nothing_else() {
    let hub = hub();
    let mut random = StdRng::seed_from_u64(311);
    for round in 0..600 {
        let mut bytes = if round % 4 == 0 { Vec::new() } else { CONNECT.to_vec() };
        for _ in 0..random.random_range(1..5) {
            let mut packet = SAMPLES[random.random_range(0..SAMPLES.len())].to_vec();
            for _ in 0..random.random_range(0..3) {
                let at = random.random_range(0..packet.len());
                packet[at] = random.random();
            }
            packet.truncate(random.random_range(1..=packet.len()));
            bytes.extend(packet);
        }
        speak(&hub, &bytes).await;
    }
    assert_eq!(hub.broker.connected(), 0);
}

/// A client that writes packets as it likes, and the connection that serves it.
struct Line {
    stream: DuplexStream,
    inbox: BytesMut,
    _server: JoinSet<()>,
}

impl Line {
    fn open(hub: &Hub, patience: Patience) -> Self {
        let (stream, server) = tokio::io::duplex(1 << 20);
        let (peer, never) = ("127.0.0.1:1".parse().unwrap(), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(connection::serve(server, peer, CERTIFICATE.to_owned(), hub.clone(), patience, never));
        Self { stream, inbox: BytesMut::new(), _server: serving }
    }

    /// Writes all of it in one piece.
    async fn write(&mut self, packets: &[Packet]) {
        let mut bytes = BytesMut::new();
        for packet in packets {
            packet.write(&mut bytes, usize::MAX).unwrap();
        }
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next message that is published to this client.
    async fn message(&mut self) -> Publish {
        loop {
            if let Packet::Publish(publish) = self.packet().await.expect("it goes on") {
                return publish;
            }
        }
    }

    /// The next packet, or none if the server ended the connection.
    async fn packet(&mut self) -> Option<Packet> {
        let reading = async {
            loop {
                match Packet::read(&mut self.inbox, usize::MAX) {
                    Ok(packet) => return Some(packet),
                    Err(CodecError::InsufficientBytes(_)) => {
                        if self.stream.read_buf(&mut self.inbox).await.unwrap() == 0 {
                            return None;
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a packet in time")
    }

    /// Connects as `client`, with a keep-alive in seconds.
    async fn connected(hub: &Hub, client: &str, keep_alive: u16, patience: Patience) -> Self {
        let mut line = Self::open(hub, patience);
        let mut connect = Connect::new(client);
        connect.keep_alive = keep_alive;
        line.write(&[Packet::Connect(connect)]).await;
        assert!(
            matches!(line.packet().await, Some(Packet::ConnAck(ack)) if ack.code == ConnectReturnCode::Success)
        );
        line
    }

    /// Subscribes to all of it in one packet; answers how many were granted.
    async fn subscribe(&mut self, filters: &[&str]) -> usize {
        let filters =
            filters.iter().map(|filter| SubscribeFilter::new((*filter).to_owned(), QoS::AtLeastOnce));
        self.write(&[Packet::Subscribe(Subscribe::new_many(filters))]).await;
        let Some(Packet::SubAck(ack)) = self.packet().await else { panic!("no SUBACK") };
        ack.return_codes.iter().filter(|code| **code != SubscribeReasonCode::Failure).count()
    }

    /// Publishes at `QoS` 1; answers whether it was acknowledged, and not answered by the end of the connection.
    async fn publishes(&mut self, topic: &str, payload: usize) -> bool {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, vec![b'x'; payload]);
        publish.pkid = 1;
        self.write(&[Packet::Publish(publish)]).await;
        matches!(self.packet().await, Some(Packet::PubAck(_)))
    }
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again_on_the_same_connection_until_it_is_acknowledged() {
    let hub = hub();
    let mut line =
        Line::open(&hub, Patience { redeliver: Duration::from_millis(50), ..connection::PATIENCE });
    let subscribe = Packet::Subscribe(Subscribe::new("news", QoS::AtLeastOnce));
    let mut to_all = Publish::new("news", QoS::AtLeastOnce, "first");
    to_all.pkid = 7;

    line.write(&[Packet::Connect(Connect::new("c")), subscribe, Packet::Publish(to_all)]).await;

    let sent = line.message().await;
    let again = line.message().await;
    assert_eq!((sent.dup, again.dup), (false, true));
    assert_eq!((sent.pkid, &sent.payload), (again.pkid, &again.payload));
    let mut next = Publish::new("news", QoS::AtLeastOnce, "second");
    next.pkid = 8;
    line.write(&[Packet::PubAck(PubAck::new(sent.pkid)), Packet::Publish(next)]).await;
    // What was on its way when the acknowledgement came may still be "first"; after "second" comes nothing else.
    let mut seen = line.message().await;
    while seen.payload != "second" {
        seen = line.message().await;
    }
    for _ in 0..3 {
        assert_eq!(line.message().await.payload, "second");
    }
}

#[tokio::test]
async fn the_eleventh_unanswered_shadow_request_of_a_connection_is_one_too_many() {
    let hub = hub();
    let mut line = Line::open(&hub, connection::PATIENCE);
    let ask = |token: usize| {
        let body = format!(r#"{{"clientToken":"{token}"}}"#);
        Packet::Publish(Publish::new("$aws/things/c/shadow/get", QoS::AtMostOnce, body))
    };
    let answers = "$aws/things/c/shadow/get/rejected";
    line.write(&[
        Packet::Connect(Connect::new("c")),
        Packet::Subscribe(Subscribe::new(answers, QoS::AtMostOnce)),
    ])
    .await;
    let code = async |line: &mut Line, token: usize| {
        let body: serde_json::Value = serde_json::from_slice(&line.message().await.payload).unwrap();
        assert_eq!(body["clientToken"], token.to_string());
        body["code"].as_u64().unwrap()
    };

    line.write(&(1..=12).map(ask).collect::<Vec<_>>()).await;

    for token in 1..=10 {
        assert_eq!(code(&mut line, token).await, 404, "{token}");
    }
    assert_eq!([code(&mut line, 11).await, code(&mut line, 12).await], [429, 429]);
    line.write(&[ask(13)]).await;
    assert_eq!(code(&mut line, 13).await, 404, "all were answered: there is room again");
}

/// Whether a filter covers a topic: AWS's words, one level after the other.
fn covers(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) | (["#"], [_, ..]) => true,
        (["+", filter @ ..], [_, topic @ ..]) => covers(filter, topic),
        ([one, filter @ ..], [other, topic @ ..]) => one == other && covers(filter, topic),
        _ => false,
    }
}

#[tokio::test]
async fn whatever_a_client_does_it_gets_just_what_it_subscribed_to_in_order_and_each_answer() {
    let filters = ["a", "a/#", "a/+", "+", "#", "a/b", "+/b", "+/+/c", "a/b/#"];
    let topics = ["a", "a/b", "a/b/c", "b", "b/b", "b/b/c"];
    let levels = |text: &'static str| text.split('/').collect::<Vec<_>>();
    let mut random = StdRng::seed_from_u64(8883);
    for _ in 0..60 {
        let hub = hub();
        let mut line = Line::connected(&hub, "c", 0, connection::PATIENCE).await;
        let mut model: BTreeMap<&str, u8> = BTreeMap::new();
        let (mut packets, mut answers, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        for id in 1..60_u16 {
            let qos = random.random_range(0..2_u8);
            let asked = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let filter = filters[random.random_range(0..filters.len())];
            match random.random_range(0..5) {
                0 | 1 => {
                    let mut subscribe = Subscribe::new(filter, asked);
                    subscribe.pkid = id;
                    packets.push(Packet::Subscribe(subscribe));
                    answers.push(format!("suback {id} {qos}"));
                    model.insert(filter, qos);
                }
                2 => {
                    let mut unsubscribe = Unsubscribe::new(filter);
                    unsubscribe.pkid = id;
                    packets.push(Packet::Unsubscribe(unsubscribe));
                    answers.push(format!("unsuback {id}"));
                    model.remove(filter);
                }
                _ => {
                    let topic = topics[random.random_range(0..topics.len())];
                    let mut publish = Publish::new(topic, asked, id.to_string());
                    publish.pkid = if qos == 0 { 0 } else { id };
                    packets.push(Packet::Publish(publish));
                    if qos == 1 {
                        answers.push(format!("puback {id}"));
                    }
                    let covering = model.iter().filter(|(filter, _)| covers(&levels(filter), &levels(topic)));
                    if let Some(granted) = covering.map(|(_, granted)| *granted).max() {
                        messages.push(format!("{topic} {id} {}", granted.min(qos)));
                    }
                }
            }
        }
        packets.push(Packet::PingReq);
        line.write(&packets).await;

        let (mut answered, mut received) = (Vec::new(), Vec::new());
        while received.len() < messages.len() || answered.len() <= answers.len() {
            match line.packet().await.expect("it goes on") {
                Packet::SubAck(ack) => match ack.return_codes[..] {
                    [SubscribeReasonCode::Success(qos)] => {
                        answered.push(format!("suback {} {}", ack.pkid, qos as u8));
                    }
                    ref other => panic!("{other:?}"),
                },
                Packet::UnsubAck(ack) => answered.push(format!("unsuback {}", ack.pkid)),
                Packet::PubAck(ack) => answered.push(format!("puback {}", ack.pkid)),
                Packet::PingResp => answered.push("pong".to_owned()),
                Packet::Publish(it) => {
                    let text = String::from_utf8(it.payload.to_vec()).unwrap();
                    received.push(format!("{} {text} {}", it.topic, it.qos as u8));
                }
                other => panic!("{other:?}"),
            }
        }
        answers.push("pong".to_owned());
        assert_eq!(answered, answers);
        assert_eq!(received, messages);
    }
}

#[tokio::test]
async fn who_is_silent_for_longer_than_the_keep_alive_is_gone() {
    let hub = hub();
    let mut watcher = Line::connected(&hub, "watcher", 0, connection::PATIENCE).await;
    watcher.subscribe(&["$aws/events/presence/disconnected/c"]).await;
    let patience = Patience { keep_alive: 1..=1200, ..connection::PATIENCE };

    let mut silent = Line::connected(&hub, "c", 1, patience).await;

    let event: serde_json::Value = serde_json::from_slice(&watcher.message().await.payload).unwrap();
    assert_eq!(event["disconnectReason"], "MQTT_KEEP_ALIVE_TIMEOUT");
    assert!(silent.packet().await.is_none());
}

#[tokio::test]
async fn each_limit_of_the_broker_holds_at_the_limit_and_not_beyond() {
    let hub = hub();
    for (topic, payload, taken) in [
        ("t".repeat(256), 1, true),
        ("t".repeat(257), 1, false),
        (format!("$aws/rules/some_rule/{}", "t".repeat(256)), 1, true),
        (format!("$aws/rules/some_rule/{}", "t".repeat(257)), 1, false),
        ("/".repeat(7), 1, true),
        ("/".repeat(8), 1, false),
        ("t".to_owned(), 128 * 1024, true),
        ("t".repeat(256), 128 * 1024, true),
        ("t".to_owned(), 128 * 1024 + 1, false),
        ("t".to_owned(), 130 * 1024, false),
        ("a/+".to_owned(), 1, false),
    ] {
        let mut line = Line::connected(&hub, "c", 0, connection::PATIENCE).await;
        assert_eq!(line.publishes(&topic, payload).await, taken, "{payload} bytes to {topic}");
    }
    let mut line = Line::connected(&hub, "c", 0, connection::PATIENCE).await;
    for (filter, granted) in
        [("t".repeat(256), 1), ("t".repeat(257), 0), ("+/".repeat(7), 1), ("+/".repeat(8), 0)]
    {
        assert_eq!(line.subscribe(&[&filter]).await, granted, "{filter}");
    }
    assert_eq!(line.subscribe(&["1", "2", "3", "4", "5", "6", "7", "8"]).await, 8);
    assert_eq!(line.subscribe(&["1", "2", "3", "4", "5", "6", "7", "8", "9"]).await, 0);
    for number in 11..=50 {
        assert_eq!(line.subscribe(&[&number.to_string()]).await, 1, "{number}");
    }
    assert_eq!(line.subscribe(&["one too many"]).await, 0);
    assert_eq!(line.subscribe(&["50"]).await, 1, "it has that one already");
    for (length, code) in [(128, ConnectReturnCode::Success), (129, ConnectReturnCode::BadClientId)] {
        let mut line = Line::open(&hub, connection::PATIENCE);
        line.write(&[Packet::Connect(Connect::new("c".repeat(length)))]).await;
        let Some(Packet::ConnAck(ack)) = line.packet().await else { panic!("no CONNACK") };
        assert_eq!(ack.code, code, "{length}");
    }
    for (payload, qos, code) in [
        // MQTT itself lets no will be larger.
        (usize::from(u16::MAX), QoS::AtLeastOnce, ConnectReturnCode::Success),
        (1, QoS::ExactlyOnce, ConnectReturnCode::NotAuthorized),
    ] {
        let mut line = Line::open(&hub, connection::PATIENCE);
        let mut connect = Connect::new("c");
        connect.last_will = Some(LastWill::new("will", vec![b'x'; payload], qos, false));
        line.write(&[Packet::Connect(connect)]).await;
        let Some(Packet::ConnAck(ack)) = line.packet().await else { panic!("no CONNACK") };
        assert_eq!(ack.code, code, "{payload} {qos:?}");
    }
}

#[tokio::test]
async fn a_hundred_messages_are_under_way_and_the_next_waits_for_an_acknowledgement() {
    let hub = hub();
    let mut line = Line::connected(&hub, "c", 0, connection::PATIENCE).await;
    line.subscribe(&["news"]).await;
    let mut talker = Line::connected(&hub, "talker", 0, connection::PATIENCE).await;
    for size in 1..=101 {
        assert!(talker.publishes("news", size).await);
    }
    let mut sent = Vec::new();
    for size in 1..=100 {
        let message = line.message().await;
        assert_eq!(message.payload.len(), size);
        sent.push(message.pkid);
    }
    line.write(&[Packet::PingReq]).await;
    assert!(matches!(line.packet().await, Some(Packet::PingResp)), "the 101st is not sent yet");

    line.write(&[Packet::PubAck(PubAck::new(sent[41]))]).await;

    assert_eq!(line.message().await.payload.len(), 101);
}

#[tokio::test]
async fn a_message_that_is_never_acknowledged_is_given_up_and_makes_room_for_the_next() {
    let hub = hub();
    let (redeliver, give_up) = (Duration::from_millis(10), Duration::from_millis(100));
    let patience = Patience { redeliver, give_up, ..connection::PATIENCE };
    let mut line = Line::connected(&hub, "c", 0, patience).await;
    line.subscribe(&["news"]).await;
    let mut talker = Line::connected(&hub, "talker", 0, connection::PATIENCE).await;
    for size in 1..=101 {
        assert!(talker.publishes("news", size).await);
    }

    let reading = async { while line.message().await.payload.len() != 101 {} };
    tokio::time::timeout(PATIENCE, reading).await.expect("the last one comes in time");
}

#[tokio::test]
async fn an_hour_offline_ends_a_session_and_starts_the_version_numbers_again() {
    for (minutes, present, version) in [(59, true, 1), (61, false, 0)] {
        let hub = hub();
        let mut watcher = Line::connected(&hub, "watcher", 0, connection::PATIENCE).await;
        watcher.subscribe(&["$aws/events/presence/connected/c"]).await;
        let come = async |hub: &Hub, watcher: &mut Line| {
            let mut line = Line::open(hub, connection::PATIENCE);
            let mut connect = Connect::new("c");
            connect.clean_session = false;
            line.write(&[Packet::Connect(connect)]).await;
            let Some(Packet::ConnAck(ack)) = line.packet().await else { panic!("no CONNACK") };
            let event: serde_json::Value = serde_json::from_slice(&watcher.message().await.payload).unwrap();
            (line, ack.session_present, event["versionNumber"].as_i64().unwrap())
        };
        let (mut line, known, first) = come(&hub, &mut watcher).await;
        assert_eq!((known, first), (false, 0));
        line.write(&[Packet::Disconnect]).await;
        eventually("it is gone", async || hub.broker.connected() == 1).await;

        let later = Hub { clock: Clock::shifted(TimeDelta::minutes(minutes)), ..hub.clone() };
        let (_line, known, next) = come(&later, &mut watcher).await;

        assert_eq!((known, next), (present, version), "{minutes} minutes later");
    }
}

#[tokio::test]
async fn qos_2_is_neither_carried_nor_answered_and_the_connection_goes_on() {
    let hub = hub();
    let mut line = Line::connected(&hub, "c", 0, connection::PATIENCE).await;
    line.subscribe(&["a"]).await;
    let mut publish = Publish::new("a", QoS::ExactlyOnce, "twice");
    publish.pkid = 1;
    let subscribe = Subscribe::new("b", QoS::ExactlyOnce);

    line.write(&[Packet::Publish(publish), Packet::Subscribe(subscribe), Packet::PingReq]).await;

    assert!(matches!(line.packet().await, Some(Packet::PingResp)));
    assert!(line.publishes("b", 1).await);
}

#[tokio::test]
async fn nothing_is_retained_on_a_reserved_topic() {
    let hub = hub();
    let mut line = Line::connected(&hub, "c", 0, connection::PATIENCE).await;
    let mut publish = Publish::new("$aws/things/c/shadow/get", QoS::AtMostOnce, "");
    publish.retain = true;

    line.write(&[Packet::Publish(publish)]).await;

    assert!(line.packet().await.is_none());
    assert!(hub.broker.all_retained().is_empty());
}
