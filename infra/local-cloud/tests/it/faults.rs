//! Faults on request: lifecycle events twice and out of order, connections that are ended.

use serde_json::{Value, json};

use crate::support::{Mqtt, TestCloud};

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
