//! The variables of a connection in IoT policies, asked over MQTT.

use aws_sdk_iot::types::{AttributePayload, ThingPrincipalType};
use serde_json::{Value, json};

use crate::support::{Device, Mqtt, TestCloud};

const THING: &str = "one";
const CLIENT: &str = "another-client";

/// Whether a connection of this client id may publish to the topic. A denied publish ends the connection.
async fn publishes(cloud: &TestCloud, device: &Device, client: &str, topic: &str) -> bool {
    let mut connection = Mqtt::connect(cloud.options(device, client)).await.unwrap();
    connection.publish(topic, "x").await.is_ok()
}

fn site(value: &str) -> AttributePayload {
    AttributePayload::builder().attributes("site", value).build()
}

/// A thing of type `shelf` at the site `tokyo`, and a certificate with a policy of its own, attached as told.
async fn device(cloud: &TestCloud, kind: Option<ThingPrincipalType>) -> Device {
    let arn = |rest: &str| format!("arn:aws:iot:ap-northeast-1:123456789012:{rest}");
    let on = |topic: &str| json!({ "Effect": "Allow", "Action": "iot:Publish", "Resource": arn(&format!("topic/{topic}")) });
    let attached = |value: &str| {
        json!({ "Effect": "Allow", "Action": "iot:Publish", "Resource": arn(&format!("topic/attached/{value}")),
                "Condition": { "Bool": { "iot:Connection.Thing.IsAttached": value } } })
    };
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "iot:Connect", "Resource": "*" },
        on("name/${iot:Connection.Thing.ThingName}"),
        on("type/${iot:Connection.Thing.ThingTypeName}"),
        on("site/${iot:Connection.Thing.Attributes[site]}"),
        on("client/${iot:ClientId}"),
        attached("true"),
        attached("false"),
        { "Effect": "Allow", "Action": "iot:Publish", "Resource": arn("topic/tokyo-only"),
          "Condition": { "StringEquals": { "iot:Connection.Thing.Attributes[site]": "tokyo" } } },
        { "Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": arn("topic/dt/*") },
        { "Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*" },
        { "Effect": "Allow", "Action": "iot:Receive", "Resource": arn("topic/mail/${iot:ClientId}") },
        { "Effect": "Deny", "Action": "iot:Publish", "Resource": arn("topic/*/forbidden") },
    ] });
    let iot = cloud.iot();
    iot.create_policy().policy_name("variables").policy_document(document.to_string()).send().await.unwrap();
    let thing =
        iot.create_thing().thing_name(THING).thing_type_name("shelf").attribute_payload(site("tokyo"));
    thing.send().await.unwrap();
    let device = cloud.certificate(THING).await;
    iot.attach_policy().policy_name("variables").target(&device.certificate_arn).send().await.unwrap();
    if let Some(kind) = kind {
        let attach = iot.attach_thing_principal().thing_name(THING).principal(&device.certificate_arn);
        attach.thing_principal_type(kind).send().await.unwrap();
    }
    device
}

#[tokio::test]
async fn a_connection_has_its_things_variables_if_its_client_id_is_the_things_name() {
    let cloud = TestCloud::start().await;
    let device = device(&cloud, Some(ThingPrincipalType::NonExclusiveThing)).await;

    for (topic, as_thing, as_another) in [
        ("name/one", true, false),
        ("name/two", false, false),
        ("name/another-client", false, false),
        ("type/shelf", true, false),
        ("site/tokyo", true, false),
        ("site/osaka", false, false),
        ("tokyo-only", true, false),
        ("attached/true", true, false),
        ("attached/false", false, true),
        ("client/one", true, false),
        ("client/another-client", false, true),
        ("dt/forbidden", false, false),
    ] {
        assert_eq!(publishes(&cloud, &device, THING, topic).await, as_thing, "{topic} as {THING}");
        assert_eq!(publishes(&cloud, &device, CLIENT, topic).await, as_another, "{topic} as {CLIENT}");
    }
}

#[tokio::test]
async fn an_exclusive_certificate_brings_its_thing_along_whatever_the_client_id() {
    let cloud = TestCloud::start().await;
    let device = device(&cloud, Some(ThingPrincipalType::ExclusiveThing)).await;

    for (topic, allowed) in [
        ("name/one", true),
        ("name/another-client", false),
        ("type/shelf", true),
        ("site/tokyo", true),
        ("attached/true", true),
        ("attached/false", false),
        ("client/another-client", true),
        ("client/one", false),
    ] {
        assert_eq!(publishes(&cloud, &device, CLIENT, topic).await, allowed, "{topic}");
    }
}

#[tokio::test]
async fn without_a_thing_there_are_no_variables_of_one() {
    let cloud = TestCloud::start().await;
    let device = device(&cloud, None).await;

    for (topic, allowed) in [
        ("name/one", false),
        ("type/shelf", false),
        ("site/tokyo", false),
        ("attached/true", false),
        ("attached/false", true),
        ("client/one", true),
    ] {
        assert_eq!(publishes(&cloud, &device, THING, topic).await, allowed, "{topic}");
    }
}

#[tokio::test]
async fn an_attribute_that_changes_counts_from_the_next_packet_on() {
    let cloud = TestCloud::start().await;
    let device = device(&cloud, Some(ThingPrincipalType::NonExclusiveThing)).await;
    let mut connection = Mqtt::connect(cloud.options(&device, THING)).await.unwrap();
    connection.publish("site/tokyo", "x").await.unwrap();

    cloud.iot().update_thing().thing_name(THING).attribute_payload(site("osaka")).send().await.unwrap();

    connection.publish("site/osaka", "x").await.unwrap();
    assert!(connection.publish("site/tokyo", "x").await.is_err());
}

#[tokio::test]
async fn what_may_not_be_received_does_not_come_though_its_filter_was_granted() {
    let cloud = TestCloud::start().await;
    let device = device(&cloud, None).await;
    let mut connection = Mqtt::connect(cloud.options(&device, CLIENT)).await.unwrap();
    assert!(matches!(connection.subscribe("mail/+").await[..], [rumqttc::SubscribeReasonCode::Success(_)]));
    let data = cloud.data();

    data.publish().topic("mail/one").qos(1).payload(b"theirs".to_vec().into()).send().await.unwrap();
    data.publish().topic("mail/another-client").qos(1).payload(b"mine".to_vec().into()).send().await.unwrap();

    assert_eq!(connection.message("mail/another-client").await.payload.as_ref(), b"mine");
    assert!(connection.nothing_on("mail/one").await);
}

#[tokio::test]
async fn lifecycle_events_name_the_thing_of_an_exclusive_certificate_only() {
    for (kind, named) in [
        (ThingPrincipalType::ExclusiveThing, json!(THING)),
        (ThingPrincipalType::NonExclusiveThing, Value::Null),
    ] {
        let cloud = TestCloud::start().await;
        let (watcher, device) = (cloud.device("watcher").await, device(&cloud, Some(kind)).await);
        let mut watcher = cloud.connect(&watcher).await;
        watcher.subscribe("$aws/events/presence/+/another-client").await;

        let connection = Mqtt::connect(cloud.options(&device, CLIENT)).await.unwrap();
        let connected = watcher.json("$aws/events/presence/connected/another-client").await;
        drop(connection);
        let disconnected = watcher.json("$aws/events/presence/disconnected/another-client").await;

        assert_eq!(connected["thingName"], named);
        assert_eq!(disconnected["thingName"], named);
    }
}
