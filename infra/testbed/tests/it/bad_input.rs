//! Bad input gets a typed answer in words, and nothing is half-written.

use std::fmt::Write;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{BOUND, Bucket, bed, box_client::BoxClient};

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused_field_by_field() {
    let bed = bed(1).await;
    let put = |thing: &str| bed.api.request(Method::PUT, &format!("/v1/devices/{thing}/lan"));

    let unknown =
        put("tenpo-9999").json(&json!({"lan": {"mode": "dhcp"}, "reason": "x"})).send().await.unwrap();
    problem(unknown, StatusCode::NOT_FOUND).await;
    let malformed =
        put("tenpo-0001").header("content-type", "application/json").body("{").send().await.unwrap();
    problem(malformed, StatusCode::BAD_REQUEST).await;
    let lan = json!({"mode": "static", "address": "192.168.10.0/24", "gateway": "8.8.8.8"});
    let bad = put("tenpo-0001").json(&json!({"lan": lan, "reason": "x"})).send().await.unwrap();
    let bad = problem(bad, StatusCode::UNPROCESSABLE_ENTITY).await;

    let fields: Vec<_> = bad["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["lan.address", "lan.gateway"]);
    let changes = bed.api.get("/v1/changes?thing=tenpo-0001").await.unwrap();
    assert_eq!(changes["items"], json!([]));
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn an_upload_that_is_not_what_it_says_leaves_no_object() {
    let mut bed = bed(1).await;
    bed.boxes[0].stop_agent().await.unwrap();
    let bucket = Bucket::of(&bed);
    let client = BoxClient::of(&bed, &bed.boxes[0]);
    let token = client.log_in().await.unwrap();
    let id = "0".repeat(64);
    let digest = device_model::upload::ContentHash::of(b"other").to_digest_header();

    let wrong_id = client.upload_as(&token, &id, b"a.csv", &digest, b"other").send().await.unwrap();
    problem(wrong_id, StatusCode::BAD_REQUEST).await;
    let own_id = device_model::upload::UploadId::of(
        &client.thing.parse().unwrap(),
        b"a.csv",
        device_model::upload::ContentHash::of(b"other"),
    );
    let wrong_digest = client.upload_as(&token, &own_id.to_string(), b"a.csv", &digest, b"not that");
    problem(wrong_digest.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    let too_large = announced(&client, &token, 64 * 1024 * 1024 + 1).await;
    assert!(too_large.starts_with("HTTP/1.1 413 "), "{too_large}");
    assert!(too_large.contains("application/problem+json"), "{too_large}");
    let no_token = client.upload("", b"a.csv", b"x").send().await.unwrap();
    problem(no_token, StatusCode::UNAUTHORIZED).await;

    assert!(bucket.keys().await.is_empty());
    assert_eq!(bed.api.get("/v1/uploads?thing=tenpo-0001").await.unwrap()["items"], json!([]));
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn slack_requests_that_are_not_signed_now_are_refused() {
    let bed = bed(0).await;
    let url = format!("{}/slack/commands", bed.fleet_api);
    let (team, app, user) = (&bed.slack.team_id, &bed.slack.app_id, &bed.slack.users["operator"]);
    let body = format!(
        "command=%2Frece&text=help&trigger_id=1.2.3&user_id={user}&team_id={team}&api_app_id={app}&channel_id={}\
         &response_url={}",
        bed.slack.channel_id, bed.slack.url
    );
    let body = body.as_str();
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    let send = |at: i64, signature: Option<String>| {
        let mut request =
            bed.api.http().post(&url).header("content-type", "application/x-www-form-urlencoded");
        request = request.header("x-slack-request-timestamp", at.to_string());
        if let Some(signature) = signature {
            request = request.header("x-slack-signature", signature);
        }
        request.body(body.to_owned()).send()
    };
    let secret = &bed.secrets.slack_signing_secret;

    for (at, signature) in [
        (now, None),
        (now, Some(format!("v0={}", "0".repeat(64)))),
        (now - 301, Some(sign(secret, now - 301, body))),
        (now, Some(sign("another secret", now, body))),
        (now, Some(sign(secret, now, "another body"))),
    ] {
        assert_eq!(send(at, signature).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(send(now, Some(sign(secret, now, body))).await.unwrap().status(), StatusCode::OK);
    bed.stop().await.unwrap();
}

/// What the API answers to an upload that announces so many bytes. None of them is sent, so that the
/// answer is there to be read and no broken pipe comes in between.
async fn announced(client: &BoxClient<'_>, token: &str, size: u64) -> String {
    let request = client.upload(token, b"a.csv", b"x").build().unwrap();
    let address = request.url().socket_addrs(|| None).unwrap()[0];
    let mut text = format!("PUT {} HTTP/1.1\r\nhost: {address}\r\n", request.url().path());
    for (name, value) in request.headers() {
        if name != "content-length" {
            write!(text, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
    }
    write!(text, "content-length: {size}\r\nconnection: close\r\n\r\n").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

async fn problem(answer: reqwest::Response, status: StatusCode) -> Value {
    let (given, kind) = (answer.status(), answer.headers().get("content-type").cloned());
    let text = answer.text().await.unwrap();
    assert_eq!(given, status, "{text}");
    assert_eq!(kind.unwrap(), "application/problem+json");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
    problem
}

/// Slack's v0 signature.
fn sign(secret: &str, at: i64, body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    format!("v0={}", hex::encode(ring::hmac::sign(&key, format!("v0:{at}:{body}").as_bytes())))
}
