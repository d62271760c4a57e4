//! The packet loop against what no client should send: it answers or ends, and never panics.

use std::time::Duration;

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
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
    let serving =
        connection::serve(server, "127.0.0.1:1".parse().unwrap(), CERTIFICATE.to_owned(), hub.clone(), never);
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
