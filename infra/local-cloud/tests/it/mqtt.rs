//! The broker, driven by rumqttc over mutual TLS.

use std::sync::Arc;

use aws_sdk_iot::types::CertificateStatus;
use rumqttc::{
    ConnectReturnCode, ConnectionError, LastWill, QoS, SubscribeReasonCode, TlsConfiguration, Transport,
};

use crate::support::{Device, Mqtt, TestCloud, eventually};

const FAILED: [SubscribeReasonCode; 1] = [SubscribeReasonCode::Failure];
const GRANTED: [SubscribeReasonCode; 1] = [SubscribeReasonCode::Success(QoS::AtLeastOnce)];

fn not_authorized(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized))
}

#[tokio::test]
async fn a_message_goes_to_whoever_subscribed() {
    let cloud = TestCloud::start().await;
    let (one, two) = (cloud.device("one").await, cloud.device("two").await);
    let (mut one, mut two) = (cloud.connect(&one).await, cloud.connect(&two).await);
    assert_eq!(two.subscribe("dt/+/state").await, GRANTED);

    one.publish("dt/one/state", "hello").await.unwrap();

    let message = two.message("dt/one/state").await;
    assert_eq!((message.payload.as_ref(), message.qos), (b"hello".as_slice(), QoS::AtLeastOnce));
}

#[tokio::test]
async fn a_certificate_connects_only_as_the_thing_it_is_attached_to() {
    let cloud = TestCloud::start().await;
    let one = cloud.device("one").await;
    cloud.device("two").await;

    let refused = Mqtt::connect(cloud.options(&one, "two")).await.err().unwrap();

    assert!(not_authorized(&refused), "{refused:?}");
}

#[tokio::test]
async fn without_a_policy_nobody_connects() {
    let cloud = TestCloud::start().await;
    cloud.iot().create_thing().thing_name("bare").send().await.unwrap();
    let bare = cloud.certificate("bare").await;
    cloud
        .iot()
        .attach_thing_principal()
        .thing_name("bare")
        .principal(&bare.certificate_arn)
        .send()
        .await
        .unwrap();

    let refused = Mqtt::connect(cloud.options(&bare, "bare")).await.err().unwrap();

    assert!(not_authorized(&refused), "{refused:?}");
}

#[tokio::test]
async fn certificates_of_others_and_inactive_ones_end_in_the_handshake() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut stranger = device.clone();
    let key = rcgen::KeyPair::generate().unwrap();
    stranger.certificate =
        rcgen::CertificateParams::new(vec!["one".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    stranger.key = key.serialize_pem();
    assert!(Mqtt::connect(cloud.options(&stranger, "one")).await.is_err());

    cloud.set_status(&device, CertificateStatus::Inactive).await;

    let refused = Mqtt::connect(cloud.options(&device, "one")).await.err().unwrap();
    assert!(!not_authorized(&refused), "it never gets as far as CONNECT: {refused:?}");
}

#[tokio::test]
async fn tls_1_2_and_1_3_both_carry_who_may_connect_and_nobody_else() {
    let cloud = TestCloud::start().await;
    let (device, inactive) = (cloud.device("one").await, cloud.device("two").await);
    cloud.set_status(&inactive, CertificateStatus::Inactive).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let options = |device: &Device| {
            let mut options = cloud.options(device, &device.name);
            let tls = TlsConfiguration::Rustls(Arc::new(cloud.tls_of(device, &[version])));
            options.set_transport(Transport::tls_with_config(tls));
            options
        };
        let mut connection = Mqtt::connect(options(&device)).await.unwrap();
        connection.subscribe("dt/x").await;
        connection.publish("dt/x", "over TLS").await.unwrap();
        assert_eq!(connection.message("dt/x").await.payload.as_ref(), b"over TLS");
        assert!(Mqtt::connect(options(&inactive)).await.is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn a_certificate_made_inactive_or_revoked_loses_its_connection_and_leaves_its_will() {
    let cloud = TestCloud::start().await;
    let watcher = cloud.device("watcher").await;
    let mut watcher = cloud.connect(&watcher).await;
    watcher.subscribe("$aws/events/presence/disconnected/+").await;
    watcher.subscribe("dt/wills/+").await;
    for (name, status) in [("one", CertificateStatus::Inactive), ("two", CertificateStatus::Revoked)] {
        let device = cloud.device(name).await;
        let mut options = cloud.options(&device, name);
        options.set_last_will(LastWill::new(format!("dt/wills/{name}"), "gone", QoS::AtLeastOnce, false));
        let mut connection = Mqtt::connect(options).await.unwrap();

        cloud.set_status(&device, status).await;

        connection.ended().await;
        let event = watcher.json(&format!("$aws/events/presence/disconnected/{name}")).await;
        assert_eq!(event["disconnectReason"], "AUTH_ERROR");
        assert_eq!(watcher.message(&format!("dt/wills/{name}")).await.payload.as_ref(), b"gone");
        assert!(Mqtt::connect(cloud.options(&device, name)).await.is_err());
    }
}

#[tokio::test]
async fn a_denied_publish_ends_the_connection_and_a_denied_filter_is_a_failure() {
    let cloud = TestCloud::start().await;
    let (one, two) = (cloud.device("one").await, cloud.device("two").await);
    let mut watcher = cloud.connect(&two).await;
    watcher.subscribe("$aws/things/two/shadow/#").await;
    let mut connection = cloud.connect(&one).await;
    for denied in ["#", "other/topic", "$aws/things/two/shadow/#", "$aws/things/+/shadow/#"] {
        assert_eq!(connection.subscribe(denied).await, FAILED, "{denied}");
    }

    let body = r#"{"state":{"desired":{"a":1}}}"#;
    assert!(connection.publish("$aws/things/two/shadow/update", body).await.is_err());

    assert!(watcher.nothing_on("$aws/things/two/shadow/update/accepted").await);
    assert!(cloud.data().get_thing_shadow().thing_name("two").send().await.is_err());
}

#[tokio::test]
async fn nobody_speaks_for_the_service() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut connection = cloud.connect(&device).await;

    // The policy allows the topic; AWS reserves it all the same.
    assert!(connection.publish("$aws/things/one/shadow/update/accepted", "{}").await.is_err());
}

#[tokio::test]
async fn a_second_connection_takes_the_client_id_over() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut first = cloud.connect(&device).await;
    let mut second = cloud.connect(&device).await;

    first.ended().await;

    second.subscribe("dt/x").await;
    second.publish("dt/x", "still here").await.unwrap();
    assert_eq!(second.message("dt/x").await.payload.as_ref(), b"still here");
}

#[tokio::test]
async fn a_persistent_session_keeps_its_messages_even_over_a_restart_of_the_cloud() {
    let mut cloud = TestCloud::start().await;
    let (sleeper, talker) = (cloud.device("sleeper").await, cloud.device("talker").await);
    let persistent = |cloud: &TestCloud| {
        let mut options = cloud.options(&sleeper, "sleeper");
        options.set_clean_session(false);
        options
    };
    let mut connection = Mqtt::connect(persistent(&cloud)).await.unwrap();
    assert!(!connection.session_present);
    connection.subscribe("dt/news").await;
    drop(connection);

    let mut talker_connection = cloud.connect(&talker).await;
    for number in 0..3 {
        talker_connection.publish("dt/news", format!("{number}")).await.unwrap();
    }
    drop(talker_connection);
    cloud.restart().await;

    let mut again = Mqtt::connect(persistent(&cloud)).await.unwrap();
    assert!(again.session_present);
    for number in 0..3 {
        assert_eq!(again.message("dt/news").await.payload.as_ref(), format!("{number}").as_bytes());
    }

    drop(again);
    let clean = cloud.connect(&sleeper).await;
    assert!(!clean.session_present, "a clean session forgets");
}

#[tokio::test]
async fn a_message_that_was_not_acknowledged_comes_again() {
    let cloud = TestCloud::start().await;
    let (device, talker) = (cloud.device("one").await, cloud.device("talker").await);
    let mut options = cloud.options(&device, "one");
    options.set_clean_session(false).set_manual_acks(true);
    let mut connection = Mqtt::connect(options.clone()).await.unwrap();
    connection.subscribe("dt/news").await;
    cloud.connect(&talker).await.publish("dt/news", "news").await.unwrap();
    assert!(!connection.message("dt/news").await.dup);
    drop(connection);

    let mut again = Mqtt::connect(options).await.unwrap();

    let message = again.message("dt/news").await;
    assert_eq!((message.payload.as_ref(), message.dup), (b"news".as_slice(), true));
}

#[tokio::test]
async fn a_retained_message_is_there_for_whoever_comes_later_until_it_is_emptied() {
    let mut cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut connection = cloud.connect(&device).await;
    connection.client.publish("dt/kept", QoS::AtLeastOnce, true, "kept").await.unwrap();
    connection.publish("dt/other", "").await.unwrap();
    drop(connection);
    cloud.restart().await;

    let mut connection = cloud.connect(&device).await;
    connection.subscribe("dt/#").await;
    assert!(connection.nothing_on("dt/kept").await, "a filter with a wildcard gets nothing retained");
    connection.subscribe("dt/kept").await;
    let message = connection.message("dt/kept").await;
    assert!(message.retain);

    connection.client.publish("dt/kept", QoS::AtLeastOnce, true, "").await.unwrap();
    connection.message("dt/kept").await;
    drop(connection);
    let mut connection = cloud.connect(&device).await;
    connection.subscribe("dt/kept").await;
    assert!(connection.nothing_on("dt/kept").await);
}

#[tokio::test]
async fn a_will_is_left_by_who_vanishes_and_not_by_who_says_goodbye() {
    let cloud = TestCloud::start().await;
    let (watcher, one) = (cloud.device("watcher").await, cloud.device("one").await);
    let mut watcher = cloud.connect(&watcher).await;
    watcher.subscribe("dt/wills/#").await;
    let options = |topic: &str| {
        let mut options = cloud.options(&one, "one");
        options.set_last_will(LastWill::new(topic, "gone", QoS::AtLeastOnce, false));
        options
    };
    let mut polite = Mqtt::connect(options("dt/wills/polite")).await.unwrap();
    polite.client.disconnect().await.unwrap();
    polite.ended().await;
    let vanishing = Mqtt::connect(options("dt/wills/vanished")).await.unwrap();
    drop(vanishing);

    assert_eq!(watcher.message("dt/wills/vanished").await.payload.as_ref(), b"gone");
    assert!(watcher.nothing_on("dt/wills/polite").await);
    let refused = Mqtt::connect(options("other/topic")).await.err().unwrap();
    assert!(not_authorized(&refused), "a will needs the right to publish it");
}

#[tokio::test]
async fn presence_is_told_with_reason_session_and_version() {
    let cloud = TestCloud::start().await;
    let (watcher, one) = (cloud.device("watcher").await, cloud.device("one").await);
    let mut watcher = cloud.connect(&watcher).await;
    watcher.subscribe("$aws/events/presence/#").await;

    let mut first = cloud.connect(&one).await;
    let connected = watcher.json("$aws/events/presence/connected/one").await;
    assert_eq!(connected["eventType"], "connected");
    assert_eq!(connected["principalIdentifier"], one.certificate_id);
    assert_eq!(connected["ipAddress"], "127.0.0.1");
    assert_eq!((&connected["clientId"], &connected["thingName"]), (&"one".into(), &"one".into()));

    let second = cloud.connect(&one).await;
    first.ended().await;
    let replaced = watcher.json("$aws/events/presence/disconnected/one").await;
    assert_eq!(replaced["disconnectReason"], "DUPLICATE_CLIENTID");
    assert_eq!(replaced["clientInitiatedDisconnect"], false);
    assert_eq!(replaced["sessionIdentifier"], connected["sessionIdentifier"]);
    assert_eq!(replaced["versionNumber"], connected["versionNumber"]);
    let again = watcher.json("$aws/events/presence/connected/one").await;
    assert_eq!(
        again["versionNumber"].as_i64(),
        connected["versionNumber"].as_i64().map(|version| version + 1)
    );
    drop(second);
    let lost = watcher.json("$aws/events/presence/disconnected/one").await;
    assert_eq!(lost["disconnectReason"], "CONNECTION_LOST");

    let mut third = cloud.connect(&one).await;
    cloud.data().delete_connection().client_id("one").send().await.unwrap();
    third.ended().await;
    let deleted = watcher.json("$aws/events/presence/disconnected/one").await;
    assert_eq!(deleted["disconnectReason"], "API_INITIATED_DISCONNECT");

    let mut fourth = cloud.connect(&one).await;
    fourth.client.disconnect().await.unwrap();
    fourth.ended().await;
    let left = watcher.json("$aws/events/presence/disconnected/one").await;
    assert_eq!(left["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
    assert_eq!(left["clientInitiatedDisconnect"], true);

    let mut fifth = cloud.connect(&one).await;
    assert!(fifth.publish("other/topic", "denied").await.is_err());
    let denied = watcher.json("$aws/events/presence/disconnected/one").await;
    assert_eq!(denied["disconnectReason"], "AUTH_ERROR");

    let mut sixth = cloud.connect(&one).await;
    assert!(sixth.publish("dt/x", vec![b'x'; 128 * 1024 + 1]).await.is_err());
    let wrong = watcher.json("$aws/events/presence/disconnected/one").await;
    assert_eq!(wrong["disconnectReason"], "CLIENT_ERROR");
}

#[tokio::test]
async fn limits_of_topics_payloads_and_filters_hold() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut connection = cloud.connect(&device).await;
    connection.subscribe("dt/big").await;
    connection.publish("dt/big", vec![b'x'; 128 * 1024]).await.unwrap();
    assert_eq!(connection.message("dt/big").await.payload.len(), 128 * 1024);

    let nine = (0..9).map(|number| rumqttc::SubscribeFilter::new(format!("dt/{number}"), QoS::AtMostOnce));
    connection.client.subscribe_many(nine).await.unwrap();
    assert!(connection.nothing_on("dt/0").await);
    connection.publish("dt/0", "nobody").await.unwrap();
    assert!(connection.nothing_on("dt/0").await, "nine filters at once are refused");

    assert!(connection.publish("dt/big", vec![b'x'; 128 * 1024 + 1]).await.is_err());
    let mut connection = cloud.connect(&device).await;
    assert!(connection.publish("dt/2/3/4/5/6/7/8/9", "too deep").await.is_err());
}

#[tokio::test]
async fn a_policy_that_changes_holds_at_once() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut connection = cloud.connect(&device).await;
    connection.publish("dt/x", "fine").await.unwrap();

    cloud.iot().detach_policy().policy_name("device").target(&device.certificate_arn).send().await.unwrap();

    assert!(connection.publish("dt/x", "denied").await.is_err());
}

#[tokio::test]
async fn clients_that_come_and_go_leave_nothing_behind() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    for _ in 0..5 {
        let mut connection = cloud.connect(&device).await;
        connection.subscribe("dt/x").await;
    }
    let admin = cloud.admin();
    eventually("everyone is gone", || async move {
        let state: serde_json::Value =
            reqwest::get(format!("http://{admin}/state")).await.unwrap().json().await.unwrap();
        state["connected"] == 0
    })
    .await;
}
