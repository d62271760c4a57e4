//! Who may not: each way to be someone else is refused, and leaves nothing behind.

use chrono::TimeDelta;
use reqwest::StatusCode;
use rumqttc::{
    AsyncClient, Event, Incoming, MqttOptions, QoS, SubscribeReasonCode, TlsConfiguration, Transport,
};
use serde_json::json;
use testbed::{Testbed, boxes::RecehubBox, wait::until};

use crate::support::{
    BOUND, Bucket, bed,
    box_client::{BoxClient, tls_config},
    database_text, is_online, uploads,
};

#[tokio::test]
async fn a_box_gets_in_with_its_certificate_and_key_alone() {
    let bed = bed(1).await;
    let client = BoxClient::of(&bed, &bed.boxes[0]);

    let token = client.log_in().await.unwrap();
    let first = client.upload(&token, b"by-hand.csv", b"content").send().await.unwrap();
    let again = client.upload(&token, b"by-hand.csv", b"content").send().await.unwrap();

    assert_eq!((first.status(), again.status()), (StatusCode::CREATED, StatusCode::OK));
    let receipts: [serde_json::Value; 2] = [first.json().await.unwrap(), again.json().await.unwrap()];
    assert_eq!(receipts[0], receipts[1]);
    assert_eq!(uploads(&bed, &client.thing, 1).await[0]["uploadId"], receipts[0]["uploadId"]);
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_certificate_of_ours_there_are_no_credentials_and_no_mqtt() {
    let bed = bed(1).await;
    let (strange_certificate, strange_key) = certificate_of_another_authority("tenpo-0001");
    let strange = (strange_certificate.as_bytes(), strange_key.as_bytes());

    for identity in [None, Some(strange)] {
        let client = BoxClient::with(&bed, "tenpo-0001", identity);
        let refusal = client.credentials("tenpo-0001").await.unwrap_err();
        assert!(refusal.downcast_ref::<reqwest::Error>().is_some(), "it got past TLS: {refusal:#}");

        let mut mqtt = mqtt(&bed, "tenpo-0001", identity);
        assert!(next(&mut mqtt.1).await.is_err());
    }
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_box_is_not_another_box() {
    let bed = bed(2).await;
    let bucket = Bucket::of(&bed);
    let (own, other) = (BoxClient::of(&bed, &bed.boxes[0]), &bed.boxes[1].thing);
    let credentials = own.credentials(&own.thing).await.unwrap();

    // The credentials provider.
    assert!(own.credentials(other).await.unwrap_err().to_string().contains("403"));
    // The login, signed by this box for the other one.
    let (nonce, now) = own.nonce().await.unwrap();
    let login = own.sign(&credentials, &nonce, now, other).unwrap();
    assert_eq!(own.send(&login).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // The upload, under the other one's name.
    let token = own.log_in().await.unwrap();
    let hash = device_model::upload::ContentHash::of(b"x");
    let foreign = device_model::upload::UploadId::of(&other.parse().unwrap(), b"a.csv", hash);
    let digest = hash.to_digest_header();
    let put = own.upload_as(&token, &foreign.to_string(), b"a.csv", &digest, b"x").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::BAD_REQUEST);
    // S3 itself, under the other one's prefix and under its own.
    for thing in [other, &own.thing] {
        assert!(bucket.put_as(&bed, &credentials, &format!("rx/{thing}/x"), b"x").await.is_err());
    }
    assert!(bucket.keys().await.is_empty());
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_box_reaches_no_other_boxs_topics() {
    let mut bed = bed(2).await;
    // Of two clients with one name the broker keeps the one that came last.
    bed.boxes[0].stop_agent().await.unwrap();
    let (own, other) = (&bed.boxes[0], &bed.boxes[1]);
    let shadow = |thing: &str| format!("$aws/things/{thing}/shadow/name/lan/get/accepted");

    let filters = [(shadow(&own.thing), true), (shadow(&other.thing), false), ("#".to_owned(), false)];
    for (filter, allowed) in filters {
        let (client, mut events) = mqtt_of(&bed, own, &own.thing);
        client.subscribe(&filter, QoS::AtLeastOnce).await.unwrap();
        assert_eq!(subscribed(&mut events).await, allowed, "{filter}");
    }
    // As itself at the other's shadow, and as the other one altogether.
    let (client, mut events) = mqtt_of(&bed, own, &own.thing);
    let topic = format!("$aws/things/{}/shadow/name/lan/update", other.thing);
    client.publish(topic, QoS::AtLeastOnce, false, r#"{"state":{"reported":{"x":1}}}"#).await.unwrap();
    assert!(!acknowledged(&mut events).await);
    let (_client, mut events) = mqtt_of(&bed, own, &other.thing);
    assert!(next(&mut events).await.is_err());
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_spoilt_login_opens_no_session() {
    let mut bed = bed(1).await;
    bed.boxes[0].stop_agent().await.unwrap();
    let client = BoxClient::of(&bed, &bed.boxes[0]);
    let credentials = client.credentials(&client.thing).await.unwrap();
    let sessions = sessions(&bed).await;

    // Each has a nonce of its own and the time of now, so that only what is spoilt can be the reason.
    let mut wrong_signature = client.prepare_login().await.unwrap();
    wrong_signature.body["signature"] = json!("0".repeat(64));
    let mut injected = client.prepare_login().await.unwrap();
    let date = injected.body["amzDate"].as_str().unwrap().to_owned();
    injected.body["amzDate"] = json!(format!("{date}\r\nx-evil: 1"));
    let (nonce, now) = client.nonce().await.unwrap();
    let old = client.sign(&credentials, &nonce, now - TimeDelta::minutes(6), &client.thing).unwrap();
    let made_up = client.sign(&credentials, "no-such-nonce", now, &client.thing).unwrap();
    let spoilt =
        [("wrong signature", wrong_signature), ("injected", injected), ("old", old), ("made up", made_up)];
    for (what, login) in spoilt {
        let answer = client.send(&login).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["type"], "urn:recehub:problem:login-refused", "{what}");
    }
    assert_eq!(self::sessions(&bed).await, sessions);

    // The good one serves once.
    let fresh = client.prepare_login().await.unwrap();
    assert!(client.send(&fresh).await.unwrap().status().is_success());
    assert_eq!(client.send(&fresh).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(self::sessions(&bed).await, sessions + 1);
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn an_enrolment_code_serves_once() {
    let bed = bed(1).await;
    let device = bed.api.post("/v1/devices", &json!({"thing": "tenpo-0900"})).await.unwrap();
    let code = device["enrolmentCode"].as_str().unwrap();
    let csr = csr("tenpo-0900");
    let enroll = |thing: &str, code: &str| {
        let body = json!({"thing": thing, "code": code, "csr": csr});
        bed.api.http().post(format!("{}/v1/device/enroll", bed.fleet_api)).json(&body).send()
    };

    let guessed = enroll("tenpo-0900", "AAAA-AAAA-AAAA").await.unwrap();
    let of_another = enroll("tenpo-0001", code).await.unwrap();
    let first = enroll("tenpo-0900", code).await.unwrap();
    let second = enroll("tenpo-0900", code).await.unwrap();

    assert!(first.status().is_success(), "{}", first.text().await.unwrap());
    let answer: serde_json::Value = first.json().await.unwrap();
    assert!(answer["certificatePem"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    for refused in [guessed, of_another, second] {
        assert!(refused.status().is_client_error(), "{}", refused.status());
        assert_problem(refused).await;
    }
    assert!(!database_text(&bed).await.contains(code), "the code is kept in the clear");
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_revoked_box_is_out_at_its_next_request() {
    let mut bed = bed(1).await;
    bed.boxes[0].stop_agent().await.unwrap();
    let client = BoxClient::of(&bed, &bed.boxes[0]);
    let token = client.log_in().await.unwrap();
    let before = client.upload(&token, b"before.csv", b"1").send().await.unwrap();
    assert_eq!(before.status(), StatusCode::CREATED);
    let login = client.prepare_login().await.unwrap();

    bed.api
        .post(&format!("/v1/devices/{}/revoke", client.thing), &json!({"reason": "stolen"}))
        .await
        .unwrap();

    let after = client.upload(&token, b"after.csv", b"2").send().await.unwrap();
    assert_eq!(after.status(), StatusCode::UNAUTHORIZED);
    assert_problem(after).await;
    assert_eq!(client.send(&login).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(client.credentials(&client.thing).await.is_err());
    let (_mqtt, mut events) = mqtt_of(&bed, &bed.boxes[0], &client.thing);
    assert!(next(&mut events).await.is_err());
    assert_eq!(uploads(&bed, &client.thing, 1).await.len(), 1);
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_copied_certificate_is_one_alarm() {
    let bed = bed(1).await;
    let one = &bed.boxes[0];
    let path = format!("/v1/devices/{}", one.thing);
    is_online(&bed, &one.thing).await;
    assert!(bed.api.get(&path).await.unwrap()["duplicateClientAt"].is_null());

    // Whoever has the copy comes back whenever the box has thrown him out.
    let mut rounds = 0;
    until("the alarm stands, and he goes on", BOUND * 3, || {
        rounds += 1;
        let (bed, path) = (&bed, &path);
        async move {
            let (_client, mut events) = mqtt_of(bed, one, &one.thing);
            while next(&mut events).await.is_ok() {}
            let device = bed.api.get(path).await?;
            Ok((rounds > 4 && device["duplicateClientAt"].is_string()).then_some(()))
        }
    })
    .await
    .unwrap();

    let log = bed.api.get(&format!("/v1/audit?thing={}&limit=200", one.thing)).await.unwrap();
    let alarms = log["items"].as_array().unwrap().iter();
    assert_eq!(alarms.filter(|entry| entry["action"] == "device.duplicate_client").count(), 1, "{log:#}");
    let listed = bed.api.get("/v1/devices?alarm=DUPLICATE_CLIENTID").await.unwrap();
    assert_eq!(listed["items"][0]["thing"], one.thing.as_str());
    bed.stop().await.unwrap();
}

async fn sessions(bed: &Testbed) -> i64 {
    use sqlx::Connection;
    let mut db = sqlx::PgConnection::connect(&bed.database_url()).await.unwrap();
    sqlx::query_scalar("select count(*) from sessions").fetch_one(&mut db).await.unwrap()
}

async fn assert_problem(answer: reqwest::Response) {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert!(problem["type"].is_string(), "{problem}");
}

fn certificate_of_another_authority(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn csr(thing: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, thing);
    parameters.serialize_request(&key).unwrap().pem().unwrap()
}

fn mqtt_of(bed: &Testbed, one: &RecehubBox, client_id: &str) -> (AsyncClient, rumqttc::EventLoop) {
    let certificate = std::fs::read(one.certificate_file()).unwrap();
    let key = std::fs::read(one.key_file()).unwrap();
    mqtt(bed, client_id, Some((&certificate, &key)))
}

fn mqtt(
    bed: &Testbed,
    client_id: &str,
    identity: Option<(&[u8], &[u8])>,
) -> (AsyncClient, rumqttc::EventLoop) {
    let mut options = MqttOptions::new(client_id, &bed.cloud.mqtt_host, bed.cloud.mqtt_port);
    let tls = TlsConfiguration::Rustls(std::sync::Arc::new(tls_config(bed, identity)));
    options.set_transport(Transport::Tls(tls));
    AsyncClient::new(options, 10)
}

/// The next thing that the broker says, or that it has hung up.
async fn next(events: &mut rumqttc::EventLoop) -> Result<Incoming, rumqttc::ConnectionError> {
    loop {
        let event = tokio::time::timeout(BOUND, events.poll()).await.expect("the broker says nothing");
        if let Event::Incoming(incoming) = event? {
            return Ok(incoming);
        }
    }
}

async fn subscribed(events: &mut rumqttc::EventLoop) -> bool {
    loop {
        if let Incoming::SubAck(ack) = next(events).await.unwrap() {
            return matches!(ack.return_codes[..], [SubscribeReasonCode::Success(_)]);
        }
    }
}

/// True if a publish is acknowledged; false if the broker hangs up instead.
async fn acknowledged(events: &mut rumqttc::EventLoop) -> bool {
    loop {
        match next(events).await {
            Ok(Incoming::PubAck(_)) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
