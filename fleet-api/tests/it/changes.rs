//! A wish goes to the box and its verdict closes the change.

use axum::http::Method;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{EVENTS_SECRET, TestApi, reported, request, trial, verdict};

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_goes_to_the_box_and_is_closed_by_its_verdict(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;

    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({"ticket": "T-1"})).await;
    assert_eq!(api.dispatch().await, 1);
    assert_eq!(api.aws.desired("tenpo-0042")["changeId"], id);
    api.aws.report("tenpo-0042", reported("192.168.1.9/24", &trial(&id), &json!([])));
    api.collect().await;
    assert_eq!(api.state(&id).await, "trying");
    let verdicts = json!([verdict(&id, "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.collect().await;
    api.collect().await;

    let change = api.change(&id).await;
    assert_eq!(api.steps(&id).await, ["queued", "sent", "trying", "applied"]);
    let last = &change["timeline"][3];
    assert_eq!(last["deviceAt"], "2026-11-21T21:00:05Z");
    assert_eq!(last["at"], "2026-11-22T00:00:00Z");
    assert_eq!(last["clock"], "estimated");
    assert_eq!(change["pharmacy"], "P-tenpo-0042");
    assert_eq!(change["requestedBy"], "token:changer");
    let lan = api.get("/v1/devices/tenpo-0042/lan").await.expect(200);
    assert_eq!(lan["openChange"], Value::Null);
    assert_eq!(lan["desired"]["lan"]["address"], "192.168.10.20/24");
    assert_eq!(lan["reported"]["lan"]["address"], "192.168.10.20/24");
    let audit = api.get(&format!("/v1/audit?changeId={id}")).await.expect(200);
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["change.queued", "change.sent", "change.trying", "change.applied"]);
    assert_eq!(audit["items"][0]["actor"], "token:changer");
    assert_eq!(audit["items"][0]["ticket"], "T-1");
    assert_eq!(audit["items"][3]["actor"], "thing:tenpo-0042");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_rolled_back_change_says_why(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;

    let verdicts = json!([verdict(&id, "rolled_back", &json!("GATEWAY_SILENT"))]);
    api.aws.report("tenpo-0042", reported("192.168.1.9/24", &Value::Null, &verdicts));
    api.collect().await;

    let change = api.change(&id).await;
    assert_eq!(change["state"], "rolled_back");
    assert_eq!(change["timeline"][2]["code"], "GATEWAY_SILENT");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn going_over_to_dhcp_leaves_no_address_in_the_shadow(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let first = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    let verdicts = json!([verdict(&first, "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.collect().await;

    let body = json!({"lan": {"mode": "dhcp"}, "reason": "back to DHCP"});
    api.call(Method::PUT, "/v1/devices/tenpo-0042/lan", &api.changer, body).await.expect(202);
    api.dispatch().await;

    assert_eq!(api.aws.desired("tenpo-0042")["lan"], json!({"mode": "dhcp"}));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_crash_between_shadow_and_row_is_mended_without_a_second_write(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    // As if the transaction had been lost after the write.
    let lost = "update lan_changes set state = 'queued', shadow_version = null";
    sqlx::query(lost).execute(&api.db).await.unwrap();

    assert_eq!(api.dispatch().await, 1);

    assert_eq!(api.aws.state().desired_writes, 1);
    assert_eq!(api.state(&id).await, "sent");
}

/// By a database that was restored, or because the box was faster than our own note.
#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_the_box_says_shows_that_a_change_was_sent(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0041").await;
    api.register("tenpo-0042").await;
    let tried = api.wish("tenpo-0041", "192.168.10.20/24", json!({})).await;
    let judged = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;

    api.aws.report("tenpo-0041", reported("192.168.10.9/24", &trial(&tried), &json!([])));
    let verdicts = json!([verdict(&judged, "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.collect().await;

    assert_eq!(api.steps(&tried).await, ["queued", "sent", "trying"]);
    assert_eq!(api.steps(&judged).await, ["queued", "sent", "applied"]);
    api.dispatch().await;
    assert_eq!(api.aws.desired("tenpo-0042"), json!({}), "what is over is not written again");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn one_failing_box_stops_no_other_and_is_tried_again_later(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0001").await;
    api.register("tenpo-0002").await;
    api.wish("tenpo-0001", "192.168.10.20/24", json!({})).await;
    api.wish("tenpo-0002", "192.168.10.20/24", json!({})).await;
    api.aws.state().broken.insert("tenpo-0001".to_owned());

    assert_eq!(api.dispatch().await, 1);
    api.aws.state().broken.clear();
    assert_eq!(api.dispatch().await, 0, "it is put off");
    api.wait(TimeDelta::seconds(5));
    assert_eq!(api.dispatch().await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_race_for_the_shadow_is_run_again(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.aws.state().races = 2;

    assert_eq!(api.dispatch().await, 1);

    assert_eq!(api.state(&id).await, "sent");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_hint_makes_the_shadow_be_read_and_a_forged_one_writes_nothing(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    let hint = json!({"thing": "tenpo-0042", "shadow": "lan",
        "current": {"state": {"reported": {"verdicts": [verdict(&id, "applied", &Value::Null)]}}}});
    let post = |secret: Option<&str>| {
        let mut request = request(Method::POST, "/iot/events", None, &hint);
        if let Some(secret) = secret {
            request.headers_mut().insert("x-recehub-events-secret", secret.parse().unwrap());
        }
        request
    };

    api.send(post(None)).await.expect_problem(401, "unauthenticated");
    api.send(post(Some("wrong"))).await.expect_problem(401, "unauthenticated");
    api.send(post(Some(EVENTS_SECRET))).await.expect(204);
    assert_eq!(api.state(&id).await, "sent", "the hint's own words count for nothing");
    let verdicts = json!([verdict(&id, "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.send(post(Some(EVENTS_SECRET))).await.expect(204);

    assert_eq!(api.state(&id).await, "applied");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn only_our_own_destination_is_confirmed(db: PgPool) {
    let api = TestApi::new(db).await;
    let post = |arn: &str| {
        let body = json!({"arn": arn, "confirmationToken": "T", "enableUrl": "http://169.254.169.254/",
            "messageType": "DestinationConfirmation"});
        let mut request = request(Method::POST, "/iot/events", None, &body);
        let kind = "DestinationConfirmation".parse().unwrap();
        request.headers_mut().insert("x-amz-rules-engine-message-type", kind);
        request
    };

    api.send(post("arn:aws:iot:ap-northeast-1:123456789012:ruledestination/http/2"))
        .await
        .expect_problem(403, "forbidden");
    assert!(api.aws.state().confirmed.is_empty());
    api.send(post(crate::support::DESTINATION)).await.expect(204);

    assert_eq!(api.aws.state().confirmed, ["T"]);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_same_key_is_the_same_change(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let put = |address: &str| {
        let body = json!({"lan": {"mode": "static", "address": address}, "reason": "r"});
        let mut request = request(Method::PUT, "/v1/devices/tenpo-0042/lan", Some(&api.changer), &body);
        request.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
        request
    };

    let first = api.send(put("192.168.10.20/24")).await.expect(202);
    let again = api.send(put("192.168.10.20/24")).await.expect(202);
    assert_eq!(first["changeId"], again["changeId"]);
    api.send(put("192.168.10.21/24")).await.expect_problem(422, "idempotency-key-reused");

    assert_eq!(api.count("lan_changes").await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_wish_made_from_old_settings_is_refused_if_it_says_so(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let etag = api.get("/v1/devices/tenpo-0042/lan").await.headers["etag"].clone();
    let put = || {
        let body = json!({"lan": {"mode": "dhcp"}, "reason": "r", "supersede": true});
        let mut request = request(Method::PUT, "/v1/devices/tenpo-0042/lan", Some(&api.changer), &body);
        request.headers_mut().insert("if-match", etag.clone());
        request
    };

    api.send(put()).await.expect(202);
    api.send(put()).await.expect_problem(412, "etag-mismatch");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn two_wishes_at_once_are_one_change(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;

    let (one, other) = tokio::join!(
        api.put_lan("tenpo-0042", "192.168.10.20/24", json!({})),
        api.put_lan("tenpo-0042", "192.168.10.21/24", json!({})),
    );

    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409]);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn neither_a_closed_change_nor_the_audit_log_can_be_rewritten(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.post(&format!("/v1/changes/{id}/cancel"), Value::Null).await.expect(202);

    for sql in [
        "update lan_changes set reason = 'x'",
        "update audit_entries set actor = 'x'",
        "delete from audit_entries",
        "truncate audit_entries",
        "update change_steps set state = 'applied'",
    ] {
        assert!(sqlx::query(sql).execute(&api.db).await.is_err(), "{sql}");
    }
}
