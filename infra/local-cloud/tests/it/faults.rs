//! Faults on request: lifecycle events twice and out of order, connections that are ended.

use clap::Parser as _;
use serde_json::{Value, json};

use crate::support::{ADMIN, Device, Mqtt, TestCloud, eventually, http_client};

async fn post(cloud: &TestCloud, path: &str, body: Value) -> u16 {
    let url = format!("http://{}/{path}", cloud.admin());
    reqwest::Client::new().post(url).json(&body).send().await.unwrap().status().as_u16()
}

/// What the watcher hears of `one`, in its order.
async fn heard(watcher: &mut Mqtt, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    for _ in 0..count {
        let event = watcher.any().await;
        events.push(serde_json::from_slice(&event.payload).unwrap());
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["eventType"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lifecycle_events_come_twice_and_out_of_order_while_that_is_asked_for() {
    let cloud = TestCloud::start().await;
    let (watcher, one) = (cloud.device("watcher").await, cloud.device("one").await);
    let mut watcher = cloud.connect(&watcher).await;
    watcher.subscribe("$aws/events/presence/+/one").await;
    let come_and_go = async || {
        let mut connection = cloud.connect(&one).await;
        connection.client.disconnect().await.unwrap();
        connection.ended().await;
    };

    assert_eq!(post(&cloud, "faults/presence", json!({ "duplicate": true })).await, 204);
    come_and_go().await;
    let events = heard(&mut watcher, 4).await;
    assert_eq!(kinds(&events), ["connected", "connected", "disconnected", "disconnected"]);
    assert_eq!((&events[0], &events[2]), (&events[1], &events[3]), "each is the same twice");

    assert_eq!(post(&cloud, "faults/presence", json!({ "disorder": true })).await, 204);
    come_and_go().await;
    let events = heard(&mut watcher, 2).await;
    assert_eq!(kinds(&events), ["disconnected", "connected"]);
    assert_eq!(events[0]["versionNumber"], events[1]["versionNumber"]);
    assert_eq!(events[0]["sessionIdentifier"], events[1]["sessionIdentifier"]);

    let faults = format!("http://{}/faults", cloud.admin());
    assert_eq!(reqwest::Client::new().delete(faults).send().await.unwrap().status(), 204);
    come_and_go().await;
    assert_eq!(kinds(&heard(&mut watcher, 2).await), ["connected", "disconnected"]);
}

#[tokio::test]
async fn what_is_called_is_counted() {
    let cloud = TestCloud::start().await;
    let (teller, listener) = (cloud.device("teller").await, cloud.device("listener").await);
    let calls = async || -> Value {
        let state = reqwest::get(format!("http://{}/state", cloud.admin())).await.unwrap();
        state.json::<Value>().await.unwrap()["calls"].take()
    };
    let before = calls().await;
    let mut listener = cloud.connect(&listener).await;
    listener.subscribe("dt/x").await;
    let mut teller = cloud.connect(&teller).await;

    for _ in 0..3 {
        teller.publish("dt/x", "hello").await.unwrap();
        listener.message("dt/x").await;
    }
    cloud.iot().list_things().send().await.unwrap();

    let after = calls().await;
    let more = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap_or(0);
    assert_eq!((more("mqttConnect"), more("mqttIn"), more("mqttOut"), more("iot")), (2, 3, 3, 1));
}

#[tokio::test]
async fn a_cut_request_was_done_and_a_refused_one_was_not() {
    let cloud = TestCloud::start().await;
    let iot = cloud.iot();
    let there = async |thing: &str| iot.describe_thing().thing_name(thing).send().await.is_ok();

    assert_eq!(post(&cloud, "faults", json!({"service": "iot", "fault": "cut", "times": 1})).await, 204);
    assert!(iot.create_thing().thing_name("cut").send().await.is_err());
    assert_eq!(post(&cloud, "faults", json!({"service": "iot", "fault": "refuse", "times": 1})).await, 204);
    assert!(iot.create_thing().thing_name("refused").send().await.is_err());

    assert!(there("cut").await, "only its answer was lost");
    assert!(!there("refused").await);
    assert_eq!(post(&cloud, "faults", json!({"service": "iot", "fault": "nonsense"})).await, 400);
    let state: Value =
        reqwest::get(format!("http://{}/state", cloud.admin())).await.unwrap().json().await.unwrap();
    assert_eq!(state["faultHits"], json!({"iot": 2}));
}

/// The status that each service answers with now: 200, or what was asked for.
async fn statuses(cloud: &TestCloud, device: &Device) -> [u16; 5] {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .region(aws_sdk_sts::config::Region::new("ap-northeast-1"))
        .endpoint_url(format!("http://{}", cloud.running().endpoint))
        .credentials_provider(aws_credential_types::Credentials::new(ADMIN.0, ADMIN.1, None, None, "test"))
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .http_client(http_client())
        .build();
    let sts = aws_sdk_sts::Client::from_conf(config);
    let once = aws_sdk_s3::config::retry::RetryConfig::disabled();
    let s3 = aws_sdk_s3::Client::from_conf(cloud.s3().config().to_builder().retry_config(once).build());
    let (iot, data) = (cloud.iot(), cloud.data());
    let provider = format!("{}/role-aliases/device/credentials", cloud.provider());
    let given = cloud.https(device).get(provider).header("x-amzn-iot-thingname", &device.name).send();
    [
        status(iot.list_things().send().await),
        status(data.list_retained_messages().send().await),
        status(sts.get_caller_identity().send().await),
        status(s3.list_buckets().send().await),
        given.await.unwrap().status().as_u16(),
    ]
}

fn status<T, E>(result: Result<T, aws_sdk_iot::error::SdkError<E>>) -> u16 {
    result.map_or_else(|error| error.raw_response().unwrap().status().as_u16(), |_| 200)
}

#[tokio::test]
async fn each_service_fails_by_itself_and_only_for_its_time() {
    let cloud = TestCloud::start().await;
    let one = cloud.device("one").await;
    for (at, service) in ["iot", "iotdata", "sts", "s3", "credentials"].into_iter().enumerate() {
        let wanted = json!({"service": service, "fault": "status", "status": 500});
        assert_eq!(post(&cloud, "faults", wanted).await, 204);

        let mut expected = [200; 5];
        expected[at] = 500;
        assert_eq!(statuses(&cloud, &one).await, expected, "{service}");

        // From now on for a while only.
        let wanted = json!({"service": service, "fault": "status", "status": 503, "seconds": 0.2});
        assert_eq!(post(&cloud, "faults", wanted).await, 204);
        eventually("it is over", || async { statuses(&cloud, &one).await == [200; 5] }).await;
    }
    for wrong in [
        json!({"service": "s3", "fault": "status", "status": 99}),
        json!({"service": "s3", "fault": "refuse", "seconds": -1}),
        json!({"service": "nothing", "fault": "refuse"}),
    ] {
        assert!((400..500).contains(&post(&cloud, "faults", wrong.clone()).await), "{wrong}");
    }
    assert_eq!(statuses(&cloud, &one).await, [200; 5]);
}

#[tokio::test]
async fn a_delayed_answer_comes_later_and_whole() {
    let cloud = TestCloud::start().await;
    let wanted = json!({"service": "s3", "fault": "delay", "delayMs": 300, "times": 1});
    assert_eq!(post(&cloud, "faults", wanted).await, 204);
    let started = std::time::Instant::now();

    let buckets = cloud.s3().list_buckets().send().await.unwrap();

    assert!(started.elapsed() >= std::time::Duration::from_millis(300));
    assert_eq!(buckets.buckets().len(), 3);
}

#[tokio::test]
async fn the_admin_port_is_on_the_loopback_interface_only() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = local_cloud::config::Config::try_parse_from([
        "local-cloud",
        "--state",
        folder.path().to_str().unwrap(),
        "--template",
        "tests/it/fixture.yaml",
        "--admin-listen",
        "0.0.0.0:0",
    ]);
    let clock = local_cloud::clock::Clock::system();
    let refused = local_cloud::boot::LocalCloud::start(&config.unwrap(), clock).await.err().unwrap();
    assert!(refused.to_string().contains("loopback"), "{refused:#}");
}

#[tokio::test]
async fn cut_mqtt_connections_end_and_new_ones_do_not_get_far_until_it_is_over() {
    let cloud = TestCloud::start().await;
    let one = cloud.device("one").await;
    let mut connection = cloud.connect(&one).await;

    assert_eq!(post(&cloud, "faults", json!({"service": "mqtt", "fault": "cut", "times": 1})).await, 204);

    connection.ended().await;
    assert!(Mqtt::connect(cloud.options(&one, "one")).await.is_err());
    cloud.connect(&one).await;
}

#[tokio::test]
async fn a_client_is_disconnected_on_request() {
    let cloud = TestCloud::start().await;
    let (watcher, one) = (cloud.device("watcher").await, cloud.device("one").await);
    let mut watcher = cloud.connect(&watcher).await;
    watcher.subscribe("$aws/events/presence/disconnected/one").await;
    let mut connection = cloud.connect(&one).await;

    assert_eq!(post(&cloud, "disconnect", json!({ "clientId": "one" })).await, 204);

    connection.ended().await;
    let event = watcher.json("$aws/events/presence/disconnected/one").await;
    assert_eq!(event["disconnectReason"], "SERVER_INITIATED_DISCONNECT");
    assert_eq!(post(&cloud, "disconnect", json!({ "clientId": "nobody" })).await, 404);
}
