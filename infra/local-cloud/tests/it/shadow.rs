//! Shadows through both doors: aws-sdk-iotdataplane over HTTP and rumqttc over MQTT, one state behind them.

use aws_sdk_iotdataplane::primitives::Blob;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use serde_json::{Value, json};

use crate::support::{READER, TestCloud};

const LAN: &str = "$aws/things/one/shadow/name/lan";

fn blob(value: &Value) -> Blob {
    Blob::new(value.to_string())
}

fn read(blob: Option<&Blob>) -> Value {
    serde_json::from_slice(blob.unwrap().as_ref()).unwrap()
}

#[tokio::test]
async fn what_the_api_desires_reaches_the_device_and_what_it_reports_is_read_back() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let data = cloud.data();
    let mut connection = cloud.connect(&device).await;
    connection.subscribe(&format!("{LAN}/update/+")).await;

    let desired = json!({"state": {"desired": {"lan": {"address": "a", "mtu": 1500}}}, "clientToken": "t-1"});
    let sent = data
        .update_thing_shadow()
        .thing_name("one")
        .shadow_name("lan")
        .payload(blob(&desired))
        .send()
        .await
        .unwrap();
    let accepted = read(sent.payload());
    assert_eq!((&accepted["version"], &accepted["clientToken"]), (&json!(1), &json!("t-1")));

    let delta = connection.json(&format!("{LAN}/update/delta")).await;
    assert_eq!(delta["state"], json!({"lan": {"address": "a", "mtu": 1500}}));
    assert_eq!((&delta["version"], &delta["clientToken"]), (&json!(1), &json!("t-1")));
    let documents = connection.json(&format!("{LAN}/update/documents")).await;
    assert_eq!((&documents["previous"], &documents["current"]["version"]), (&Value::Null, &json!(1)));

    let reported = json!({"state": {"reported": {"lan": {"address": "a"}}}, "clientToken": "t-2"});
    connection.publish(&format!("{LAN}/update"), reported.to_string()).await.unwrap();
    let tokens: Vec<_> = [
        connection.json(&format!("{LAN}/update/accepted")).await,
        connection.json(&format!("{LAN}/update/accepted")).await,
    ]
    .map(|accepted| accepted["clientToken"].clone())
    .into();
    assert_eq!(tokens, [json!("t-1"), json!("t-2")], "both doors' updates are told to the device");
    let delta = connection.json(&format!("{LAN}/update/delta")).await;
    assert_eq!(delta["state"], json!({"lan": {"mtu": 1500}}));

    let document = data.get_thing_shadow().thing_name("one").shadow_name("lan").send().await.unwrap();
    let document = read(document.payload());
    assert_eq!(document["state"]["reported"], json!({"lan": {"address": "a"}}));
    assert_eq!(document["state"]["delta"], json!({"lan": {"mtu": 1500}}));
    assert!(document["metadata"]["desired"]["lan"]["mtu"]["timestamp"].is_i64());
}

#[tokio::test]
async fn a_device_gets_its_document_or_is_told_that_there_is_none() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let mut connection = cloud.connect(&device).await;
    connection.subscribe(&format!("{LAN}/get/+")).await;
    connection.subscribe(&format!("{LAN}/delete/+")).await;

    connection.publish(&format!("{LAN}/get"), r#"{"clientToken":"first"}"#).await.unwrap();
    let rejected = connection.json(&format!("{LAN}/get/rejected")).await;
    assert_eq!(
        (&rejected["code"], &rejected["message"]),
        (&json!(404), &json!("No shadow exists with name: 'lan'"))
    );
    assert_eq!(rejected["clientToken"], "first");

    connection.publish(&format!("{LAN}/update"), r#"{"state":{"reported":{"a":1}}}"#).await.unwrap();
    connection.publish(&format!("{LAN}/get"), "").await.unwrap();
    let document = connection.json(&format!("{LAN}/get/accepted")).await;
    assert_eq!(document["state"], json!({"reported": {"a": 1}}));

    connection.publish(&format!("{LAN}/get"), r#"{"clientToken":7}"#).await.unwrap();
    let rejected = connection.json(&format!("{LAN}/get/rejected")).await;
    assert_eq!((&rejected["code"], &rejected["message"]), (&json!(400), &json!("Invalid clientToken")));
    let body = r#"{"state":{"reported":{"a":2}},"version":7,"clientToken":"late","mine":{"unknown":true}}"#;
    connection.subscribe(&format!("{LAN}/update/+")).await;
    connection.publish(&format!("{LAN}/update"), body).await.unwrap();
    let rejected = connection.json(&format!("{LAN}/update/rejected")).await;
    assert_eq!(
        (&rejected["code"], &rejected["message"], &rejected["clientToken"]),
        (&json!(409), &json!("Version conflict"), &json!("late"))
    );
    assert!(rejected["timestamp"].is_i64());
    connection.publish(&format!("{LAN}/update"), body.replace(":7", ":1")).await.unwrap();
    let accepted = connection.json(&format!("{LAN}/update/accepted")).await;
    assert_eq!((&accepted["version"], &accepted["clientToken"]), (&json!(2), &json!("late")));
    assert_eq!(accepted.get("mine"), None, "what AWS does not know it passes over");

    // What a delete holds is not read, but for its token.
    connection.publish(&format!("{LAN}/delete"), r#"{"version":1,"clientToken":"bye"}"#).await.unwrap();
    let gone = connection.json(&format!("{LAN}/delete/accepted")).await;
    assert_eq!((&gone["version"], &gone["clientToken"]), (&json!(2), &json!("bye")));
    connection.publish(&format!("{LAN}/delete"), "no json").await.unwrap();
    assert_eq!(connection.json(&format!("{LAN}/delete/rejected")).await["code"], 404);
}

#[tokio::test]
async fn refusals_have_awss_codes_on_both_doors() {
    let cloud = TestCloud::start().await;
    let device = cloud.device("one").await;
    let data = cloud.data();
    let mut connection = cloud.connect(&device).await;
    connection.subscribe(&format!("{LAN}/update/rejected")).await;
    let deep = json!({"state": {"desired": {"1": {"2": {"3": {"4": {"5": {"6": {"7": 1}}}}}}}}});
    let large = json!({"state": {"desired": {"x": "y".repeat(8200)}}});
    for (body, code, name) in [
        (json!({}), 400, "InvalidRequestException"),
        (json!({"state": {"desired": 1}}), 400, "InvalidRequestException"),
        (json!({"state": {}, "version": 9}), 409, "ConflictException"),
        (deep, 400, "InvalidRequestException"),
        (large, 413, "RequestEntityTooLargeException"),
    ] {
        connection.publish(&format!("{LAN}/update"), body.to_string()).await.unwrap();
        let rejected = connection.json(&format!("{LAN}/update/rejected")).await;
        assert_eq!(rejected["code"], code, "{rejected}");

        let sent =
            data.update_thing_shadow().thing_name("one").shadow_name("lan").payload(blob(&body)).send().await;
        let error = sent.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), code);
        let error = error.into_service_error();
        assert_eq!((error.code(), error.message()), (Some(name), rejected["message"].as_str()));
    }
    connection.publish(&format!("{LAN}/update"), "no json").await.unwrap();
    assert_eq!(connection.json(&format!("{LAN}/update/rejected")).await["message"], "Invalid JSON");
    let missing = data.get_thing_shadow().thing_name("one").send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception());
    assert_eq!(missing.message(), Some("No shadow exists with name: 'one'"));
}

#[tokio::test]
async fn named_shadows_are_listed_page_by_page_and_survive_a_restart() {
    let mut cloud = TestCloud::start().await;
    let body = json!({"state": {"desired": {"a": 1}}});
    for name in ["lan", "status", "extra"] {
        cloud
            .data()
            .update_thing_shadow()
            .thing_name("one")
            .shadow_name(name)
            .payload(blob(&body))
            .send()
            .await
            .unwrap();
    }
    cloud.data().update_thing_shadow().thing_name("one").payload(blob(&body)).send().await.unwrap();
    cloud.restart().await;

    let data = cloud.data();
    let first = data.list_named_shadows_for_thing().thing_name("one").page_size(2).send().await.unwrap();
    assert_eq!(first.results(), ["extra", "lan"]);
    for (size, fine) in [(0, false), (1, true), (100, true), (101, false)] {
        let page = data.list_named_shadows_for_thing().thing_name("one").page_size(size).send().await;
        assert_eq!(page.is_ok(), fine, "{size}: {page:?}");
        let Err(error) = page else { continue };
        assert!(error.into_service_error().is_invalid_request_exception(), "{size}");
    }
    let none = data.list_named_shadows_for_thing().thing_name("nobody").send().await.unwrap();
    assert_eq!((none.results(), none.next_token()), ([].as_slice(), None));
    let rest = data
        .list_named_shadows_for_thing()
        .thing_name("one")
        .page_size(2)
        .next_token(first.next_token().unwrap());
    let rest = rest.send().await.unwrap();
    assert_eq!((rest.results(), rest.next_token()), (["status".to_owned()].as_slice(), None));
    let document = data.get_thing_shadow().thing_name("one").shadow_name("lan").send().await.unwrap();
    assert_eq!(read(document.payload())["version"], 1);
    data.delete_thing_shadow().thing_name("one").shadow_name("lan").send().await.unwrap();
    let body = json!({"state": {"desired": {"b": 2}}, "version": 1});
    let again =
        data.update_thing_shadow().thing_name("one").shadow_name("lan").payload(blob(&body)).send().await;
    assert_eq!(read(again.unwrap().payload())["version"], 2, "the version goes on");
}

#[tokio::test]
async fn a_role_does_only_what_its_policies_allow() {
    let cloud = TestCloud::start().await;
    let body = json!({"state": {"desired": {"a": 1}}});
    cloud
        .data()
        .update_thing_shadow()
        .thing_name("one")
        .shadow_name("lan")
        .payload(blob(&body))
        .send()
        .await
        .unwrap();
    let reader = cloud.data_as(READER);

    assert!(reader.get_thing_shadow().thing_name("one").shadow_name("lan").send().await.is_ok());

    let denied =
        reader.update_thing_shadow().thing_name("one").shadow_name("lan").payload(blob(&body)).send().await;
    let denied = denied.unwrap_err();
    assert_eq!(denied.raw_response().unwrap().status().as_u16(), 403);
    let denied = reader.publish().topic("dt/x").send().await.unwrap_err();
    assert_eq!(denied.raw_response().unwrap().status().as_u16(), 403);
}

#[tokio::test]
async fn over_https_a_certificate_reaches_the_shadow_that_its_policy_names_and_no_other() {
    let cloud = TestCloud::start().await;
    let (one, _) = (cloud.device("one").await, cloud.device("two").await);
    let things = "arn:aws:iot:ap-northeast-1:123456789012:thing";
    let statement = json!({ "Effect": "Allow", "Action": ["iot:GetThingShadow", "iot:UpdateThingShadow"],
                            "Resource": [format!("{things}/one"), format!("{things}/one/*")] });
    let document = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    let iot = cloud.iot();
    iot.create_policy().policy_name("own").policy_document(document).send().await.unwrap();
    iot.attach_policy().policy_name("own").target(&one.certificate_arn).send().await.unwrap();
    let https = cloud.https(&one);
    let url = |thing: &str, query: &str| format!("{}/things/{thing}/shadow{query}", cloud.provider());

    for query in ["", "?name=lan"] {
        for (thing, status) in [("one", 200), ("two", 403)] {
            let body = r#"{"state":{"reported":{"a":1}}}"#;
            let sent = https.post(url(thing, query)).body(body).send().await.unwrap();
            assert_eq!(sent.status(), status, "{thing}{query}");
            assert_eq!(https.get(url(thing, query)).send().await.unwrap().status(), status, "{thing}{query}");
        }
    }
    assert_eq!(https.delete(url("one", "")).send().await.unwrap().status(), 403, "deleting was not allowed");
    assert!(cloud.data().get_thing_shadow().thing_name("two").send().await.is_err(), "nothing was written");
}

#[tokio::test]
async fn a_certificate_reaches_no_shadow_over_https_that_its_policy_does_not_name() {
    let cloud = TestCloud::start().await;
    let (one, _) = (cloud.device("one").await, cloud.device("two").await);
    let https = cloud.https(&one);
    for thing in ["one", "two"] {
        let url = format!("{}/things/{thing}/shadow?name=lan", cloud.provider());
        let answer = https.post(url).body(r#"{"state":{"reported":{}}}"#).send().await.unwrap();
        // The device's policy allows topics, not iot:UpdateThingShadow.
        assert_eq!(answer.status(), 403, "{thing}");
    }
    let published =
        https.post(format!("{}/topics/dt/x?qos=1", cloud.provider())).body("hi").send().await.unwrap();
    assert_eq!(published.status(), 200);
    // The variables of a thing exist on MQTT only, so even its own shadow's topic is closed here.
    let topic = format!("{}/topics/$aws/things/one/shadow/update?qos=1", cloud.provider());
    assert_eq!(https.post(topic).body("{}").send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn what_is_no_request_at_all_gets_an_error_of_awss() {
    let cloud = TestCloud::start().await;
    let https = cloud.https(&cloud.device("one").await);
    let url = |path: &str| format!("{}{path}", cloud.provider());

    for (method, path, status, name) in [
        ("PUT", "/things/one/shadow", 405, "MethodNotAllowedException"),
        ("GET", "/things/%ff/shadow", 400, "InvalidRequestException"),
        ("GET", "/nothing", 404, "UnknownOperationException"),
    ] {
        let answer = https.request(method.parse().unwrap(), url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-amzn-errortype"], name, "{path}");
        assert!(answer.json::<Value>().await.unwrap()["message"].is_string(), "{path}");
    }
}
