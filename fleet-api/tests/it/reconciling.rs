//! What is concluded from reports, and when shadows are read that nobody hinted at.

use std::time::Duration;

use chrono::TimeDelta;
use fleet_api::fleet::collect;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, reported, trial, verdict};

const BOX: &str = "tenpo-0042";

/// A box that was sent a change, and then a newer one.
async fn superseded(db: PgPool) -> (TestApi, String, String) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let old = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    let new = api.wish(BOX, "192.168.10.30/24", json!({"supersede": true})).await;
    api.dispatch().await;
    (api, old, new)
}

async fn report(api: &TestApi, verdicts: &[&str]) {
    let verdicts: Vec<_> = verdicts.iter().map(|id| verdict(id, "applied", &Value::Null)).collect();
    api.aws.report(BOX, reported("192.168.10.30/24", &Value::Null, &json!(verdicts)));
    api.collect().await;
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_the_box_tries_on_its_own_is_no_other_change(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;

    // Somebody in front of it goes back, which comes first.
    api.aws.report(BOX, reported("192.168.10.9/24", &trial("local-0123456789abcdef"), &json!([])));
    api.collect().await;

    assert_eq!(api.state(&id).await, "sent");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_report_that_was_overtaken_says_nothing(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    api.aws.report(BOX, reported("192.168.10.9/24", &Value::Null, &json!([])));
    let id = api.wish(BOX, "192.168.10.30/24", json!({})).await;
    api.dispatch().await;
    let earlier = api.aws.state().shadows[BOX].clone();
    report(&api, &[&id]).await;
    assert_eq!(api.state(&id).await, "applied");

    // Somebody read it before the box reported, and is slow.
    api.aws.state().shadows.insert(BOX.to_owned(), earlier);
    collect::collect(&api.fleet, &BOX.parse().unwrap()).await.unwrap();

    let device = api.get(&format!("/v1/devices/{BOX}")).await.expect(200);
    assert_eq!(device["driftSince"], Value::Null);
    assert_eq!(device["reported"]["lan"]["address"], "192.168.10.30/24");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_whose_verdict_may_have_gone_by_is_not_guessed_at(db: PgPool) {
    let (api, old, new) = superseded(db).await;

    report(&api, &[&new, "c", "b", "a"]).await;

    assert_eq!((api.state(&old).await, api.state(&new).await), ("sent".into(), "applied".into()));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_is_passed_over_if_an_older_verdict_still_stands(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let first = api.wish(BOX, "192.168.10.10/24", json!({})).await;
    api.dispatch().await;
    report(&api, &[&first, "c", "b", "a"]).await;
    let old = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    let new = api.wish(BOX, "192.168.10.30/24", json!({"supersede": true})).await;
    api.dispatch().await;

    report(&api, &[&new, &first, "c", "b"]).await;

    assert_eq!((api.state(&old).await, api.state(&new).await), ("superseded".into(), "applied".into()));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_the_box_was_trying_is_not_passed_over(db: PgPool) {
    let (api, old, new) = superseded(db).await;
    api.aws.report(BOX, reported("192.168.10.9/24", &trial(&old), &json!([])));
    api.collect().await;

    report(&api, &[&new]).await;

    assert_eq!((api.state(&old).await, api.state(&new).await), ("trying".into(), "applied".into()));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn every_shadow_is_read_once_a_day_though_nothing_hints_at_it(db: PgPool) {
    let api = TestApi::new(db).await;
    for number in 1..=4 {
        api.register(&format!("tenpo-{number:04}")).await;
    }
    let (hour, day) = (Duration::from_hours(12), Duration::from_hours(24));
    let sweep = async || collect::sweep(&api.fleet, hour, day).await.unwrap();
    api.aws.report("tenpo-0003", reported("192.168.10.9/24", &Value::Null, &json!([])));

    assert_eq!((sweep().await, sweep().await, sweep().await), (2, 2, 0), "each has its turn once");

    let device = api.get("/v1/devices/tenpo-0003").await.expect(200);
    assert_eq!(device["reported"]["lan"]["address"], "192.168.10.9/24");
    api.wait(TimeDelta::hours(24));
    assert_eq!(sweep().await, 2);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_reason_of_a_cancellation_stands_in_the_log(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    let path = format!("/v1/changes/{id}/cancel");

    api.post(&path, json!({"reason": "x".repeat(501)})).await.expect_problem(422, "unusable-fields");
    api.post(&path, json!({"reason": "a\u{0}b"})).await.expect_problem(422, "unusable-fields");
    api.dispatch().await;
    api.post(&path, json!({"reason": " wrong shop "})).await.expect(202);

    let audit = api.get(&format!("/v1/audit?changeId={id}")).await.expect(200);
    let last = audit["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["action"], &last["reason"]),
        (&json!("change.withdrawing.cancel"), &json!("wrong shop"))
    );

    let other = api.wish(BOX, "192.168.10.30/24", json!({"supersede": true})).await;
    let path = format!("/v1/changes/{other}/cancel");
    api.post(&path, json!({"reason": "wrong day"})).await.expect(202);
    let audit = api.get(&format!("/v1/audit?changeId={other}")).await.expect(200);
    let last = audit["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["action"], &last["reason"]), (&json!("change.cancelled"), &json!("wrong day")));
}
