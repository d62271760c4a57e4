//! The packet loop against what no client should send: it answers or ends, and never panics.

use std::time::Duration;

use bytes::BytesMut;
use local_cloud::authority::Account;
use local_cloud::clock::Clock;
use local_cloud::faults::Faults;
use local_cloud::hub::Hub;
use local_cloud::limits::Limits;
use local_cloud::mqtt::{broker::Broker, connection};
use local_cloud::rules::Rules;
use local_cloud::shadow::Shadows;
use local_cloud::state::{Store, certificates::Certificate};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rumqttc::mqttbytes::v4::{Connect, Packet, PubAck, Publish, Subscribe};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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
        connection::serve(server, peer, CERTIFICATE.to_owned(), hub.clone(), connection::REDELIVER, never);
    let speaking = async {
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
    };
    let both = futures::future::join(serving, speaking);
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("the connection ends");
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
    fn open(hub: &Hub, redeliver: Duration) -> Self {
        let (stream, server) = tokio::io::duplex(1 << 20);
        let (peer, never) = ("127.0.0.1:1".parse().unwrap(), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(connection::serve(server, peer, CERTIFICATE.to_owned(), hub.clone(), redeliver, never));
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
        let reading = async {
            loop {
                match Packet::read(&mut self.inbox, usize::MAX) {
                    Ok(Packet::Publish(publish)) => return publish,
                    Ok(_) => {}
                    Err(CodecError::InsufficientBytes(_)) => {
                        assert_ne!(self.stream.read_buf(&mut self.inbox).await.unwrap(), 0, "it has ended");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("a message in time")
    }
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again_on_the_same_connection_until_it_is_acknowledged() {
    let hub = hub();
    let mut line = Line::open(&hub, Duration::from_millis(50));
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
    let mut line = Line::open(&hub, connection::REDELIVER);
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
