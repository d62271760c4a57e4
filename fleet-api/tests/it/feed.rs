//! Receipts and steps of changes as they come, each once, whoever was cut off in between.

use std::time::Duration;

use axum::http::Method;
use chrono::TimeDelta;
use futures::StreamExt;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{Answer, TestApi, Upload, request};

const BOUND: Duration = Duration::from_secs(20);

/// A follower of `/v1/events`.
struct Follower {
    body: axum::body::BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

async fn follow(api: &TestApi, after: Option<&str>) -> Follower {
    let mut get = request(Method::GET, "/v1/events", Some(&api.reader), &Value::Null);
    if let Some(after) = after {
        get.headers_mut().insert("last-event-id", after.parse().unwrap());
    }
    let response = api.stream(get).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Follower { body: response.into_body().into_data_stream(), text: String::new() }
}

impl Follower {
    async fn next(&mut self) -> Event {
        let next = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.text = rest;
                    let field = |name: &str| {
                        let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                        line.unwrap_or_default().to_owned()
                    };
                    if event.starts_with(':') {
                        continue;
                    }
                    let data = serde_json::from_str(&field("data")).unwrap_or_default();
                    return Event { id: field("id"), kind: field("event"), data };
                }
                let chunk = self.body.next().await.expect("the stream goes on").unwrap();
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(BOUND, next).await.expect("an event comes")
    }
}

async fn refused(api: &TestApi, after: &str) -> Answer {
    let mut get = request(Method::GET, "/v1/events", Some(&api.reader), &Value::Null);
    get.headers_mut().insert("last-event-id", after.parse().unwrap());
    api.send(get).await
}

async fn send(api: &TestApi, content: &[u8], sequence: u64) -> String {
    let token = api.session("tenpo-0042", &format!("box-{}", api.count("sessions").await)).await;
    let upload = Upload { thing: "tenpo-0042", path: "a.csv", content, sequence };
    upload.send(api, &token).await;
    upload.id().to_string()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn each_receipt_and_each_step_is_told_once(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let before = send(&api, b"before", 1).await;
    let mut follower = follow(&api, None).await;
    assert_eq!(follower.next().await.kind, "", "where it begins");

    let id = send(&api, b"RX", 2).await;
    // The receipt was lost and the box sends it again: that is the same one.
    send(&api, b"RX", 2).await;
    let mut receipt = follower.next().await;
    // Where it begins is never too late; beside a transaction that runs for long it may be a little early.
    if receipt.data["uploadId"] == json!(before) {
        receipt = follower.next().await;
    }
    assert_eq!((receipt.kind.as_str(), &receipt.data["uploadId"]), ("receipt", &json!(id)));
    assert_eq!(receipt.data["pharmacy"], "P-tenpo-0042");
    assert_eq!(receipt.data["objectKey"], format!("rx/tenpo-0042/{id}"));
    assert_eq!(receipt.data["size"], 2);
    assert!(!receipt.data.to_string().contains("a.csv"));

    let change = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    for state in ["queued", "sent"] {
        let step = follower.next().await;
        assert_eq!((step.kind.as_str(), &step.data["state"]), ("change", &json!(state)));
        assert_eq!(step.data["changeId"], json!(change));
    }
    // Earlier content once more is another receipt.
    let again = send(&api, b"before", 3).await;
    assert_eq!(follower.next().await.data["uploadId"], json!(again));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_follower_that_was_cut_off_goes_on_where_it_was(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let mut follower = follow(&api, None).await;
    let beginning = follower.next().await.id;
    let one = send(&api, b"1", 1).await;
    let seen = follower.next().await;
    drop(follower);
    let two = send(&api, b"2", 2).await;

    let mut later = follow(&api, Some(&seen.id)).await;
    assert_eq!(later.next().await.id, seen.id);
    assert_eq!(later.next().await.data["uploadId"], json!(two));
    let mut from_the_beginning = follow(&api, Some(&beginning)).await;
    from_the_beginning.next().await;
    assert_eq!(from_the_beginning.next().await.data["uploadId"], json!(one));

    for none in ["x", "1-2", "1-2-3-4", "-1-2-3"] {
        refused(&api, none).await.expect_problem(400, "malformed-request");
    }
    let far = format!("{}-1-{}", u64::MAX, api.now().timestamp());
    refused(&api, &far).await.expect_problem(410, "events-gone");
    // The rows have the database's clock.
    api.wait(TimeDelta::days(3650));
    let admin = api.token("later", "read").await;
    let mut get = request(Method::GET, "/v1/events", Some(&admin), &Value::Null);
    get.headers_mut().insert("last-event-id", seen.id.parse().unwrap());
    api.send(get).await.expect_problem(410, "events-gone");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_committed_late_is_not_passed_over(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let mut follower = follow(&api, None).await;
    follower.next().await;
    let insert = |sequence: i32| {
        let sql = format!(
            "insert into feed (kind, thing, upload_id, sequence) values ('receipt', 't', '{sequence}', 1)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
    };

    let mut early = api.db.begin().await.unwrap();
    insert(1).execute(&mut *early).await.unwrap();
    insert(2).execute(&api.db).await.unwrap();
    // Long enough for several looks at the feed: the later row must wait for the earlier one.
    let nothing = tokio::time::timeout(Duration::from_millis(1500), follower.body.next()).await;
    assert!(nothing.is_err(), "told before it was sure that nothing comes before it");
    early.commit().await.unwrap();

    assert_eq!(follower.next().await.data["uploadId"], "1");
    assert_eq!(follower.next().await.data["uploadId"], "2");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn only_so_many_follow_and_none_holds_up_the_end(db: PgPool) {
    let api = TestApi::new(db).await;
    let mut followers = Vec::new();
    for _ in 0..fleet_api::fleet::feed::FOLLOWERS {
        followers.push(follow(&api, None).await);
    }

    api.get("/v1/events").await.expect_problem(503, "too-many-followers");
    followers.pop();
    followers.push(follow(&api, None).await);
    api.fleet.finish().await;
    for mut follower in followers {
        let rest = async { while follower.body.next().await.is_some() {} };
        tokio::time::timeout(BOUND, rest).await.expect("it ends");
    }
}
