//! A wish that is only tried on, asked for once more, or taken back to what ran before; and boxes that
//! would not understand it.

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{Answer, TestApi, reported, request, verdict};

async fn post(api: &TestApi, path: &str, key: Option<&str>) -> Answer {
    let mut post = request(Method::POST, path, Some(&api.changer), &Value::Null);
    if let Some(key) = key {
        post.headers_mut().insert("idempotency-key", key.parse().unwrap());
    }
    api.send(post).await
}

/// Carries a wish to the box, which judges it so.
async fn ends(api: &TestApi, address: &str, runs: &str, kind: &str) -> String {
    let id = api.wish("tenpo-0042", address, json!({"ticket": "T-1"})).await;
    api.dispatch().await;
    let code = if kind == "applied" { Value::Null } else { json!("GATEWAY_SILENT") };
    api.aws.report("tenpo-0042", reported(runs, &Value::Null, &json!([verdict(&id, kind, &code)])));
    api.collect().await;
    id
}

const A: &str = "192.168.10.20/24";
const B: &str = "192.168.10.21/24";

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_dry_run_judges_and_writes_nothing(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    ends(&api, A, A, "applied").await;
    let before = (api.count("lan_changes").await, api.count("audit_entries").await);
    let dry = async |body: Value| {
        api.call(Method::PUT, "/v1/devices/tenpo-0042/lan?dryRun=true", &api.changer, body).await
    };
    let lan = json!({"mode": "static", "address": B, "dns": ["192.168.10.1"]});

    let shown = dry(json!({"lan": lan, "reason": "x"})).await.expect(200);

    assert_eq!(
        shown["diff"],
        json!([
            {"field": "lan.address", "before": A, "after": B},
            {"field": "lan.dns", "before": null, "after": ["192.168.10.1"]},
        ])
    );
    assert_eq!((&shown["dryRun"], &shown["after"]["lan"]["address"]), (&json!(true), &json!(B)));
    dry(json!({"lan": {"mode": "static", "address": "8.8.8.8/24"}, "reason": "x"}))
        .await
        .expect_problem(422, "unusable-fields");
    assert_eq!((api.count("lan_changes").await, api.count("audit_entries").await), before);
    assert_eq!(api.dispatch().await, 0);
    let open = api.wish("tenpo-0042", B, json!({})).await;
    let refused = dry(json!({"lan": lan, "reason": "x"})).await.expect_problem(409, "change-open");
    assert_eq!(refused["changeId"], json!(open));
    let shown = dry(json!({"lan": lan, "reason": "x", "supersede": true})).await.expect(200);
    assert_eq!(shown["replaces"], json!(open));
    let typo = "/v1/devices/tenpo-0042/lan?dryrun=true";
    let refused = api.call(Method::PUT, typo, &api.changer, json!({"lan": lan, "reason": "x"})).await;
    refused.expect_problem(400, "malformed-request");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_was_rolled_back_can_be_asked_for_once_more(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let applied = ends(&api, A, A, "applied").await;
    let failed = ends(&api, B, A, "rolled_back").await;
    let path = format!("/v1/changes/{failed}/retry");

    let again = post(&api, &path, Some("k")).await;

    let location = again.headers["location"].to_str().unwrap().to_owned();
    let again = again.expect(202);
    assert_eq!(location, format!("/v1/changes/{}", again["changeId"].as_str().unwrap()));
    assert_eq!((&again["replaces"], &again["state"]), (&json!(failed), &json!("queued")));
    assert_eq!(
        (&again["after"]["lan"]["address"], &again["before"]["lan"]["address"]),
        (&json!(B), &json!(A))
    );
    assert_eq!(again["ticket"], "T-1");
    let same = post(&api, &path, Some("k")).await.expect(202);
    assert_eq!(same["changeId"], again["changeId"]);
    post(&api, &path, Some("l")).await.expect_problem(409, "change-open");
    post(&api, &format!("/v1/changes/{failed}/revert"), Some("k"))
        .await
        .expect_problem(422, "idempotency-key-reused");
    assert_eq!(api.state(&failed).await, "rolled_back", "its own story is over");
    post(&api, &format!("/v1/changes/{}/cancel", again["changeId"].as_str().unwrap()), None)
        .await
        .expect(202);
    post(&api, &format!("/v1/changes/{applied}/retry"), None)
        .await
        .expect_problem(409, "change-not-retryable");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn reverting_asks_for_what_was_applied_before(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let first = ends(&api, A, A, "applied").await;
    let second = ends(&api, B, B, "applied").await;

    post(&api, &format!("/v1/changes/{first}/revert"), None)
        .await
        .expect_problem(409, "nothing-to-revert-to");
    let back = post(&api, &format!("/v1/changes/{second}/revert"), None).await.expect(202);

    assert_eq!((&back["after"]["lan"]["address"], &back["before"]["lan"]["address"]), (&json!(A), &json!(B)));
    assert_eq!(back["reason"], format!("reverts {second}"));
    api.dispatch().await;
    assert_eq!(api.aws.desired("tenpo-0042")["lan"]["address"], A);
    post(&api, "/v1/changes/01JNOTHERE/revert", None).await.expect_problem(404, "unknown-change");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_window_that_is_over_is_not_retried_at_any_hour(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let window = json!({"window": {"notAfter": "2026-11-22T01:00:00Z"}});
    let id = api.wish("tenpo-0042", B, window).await;
    api.dispatch().await;
    let missed = json!([verdict(&id, "refused", &json!("WINDOW_MISSED"))]);
    api.aws.report("tenpo-0042", reported(A, &Value::Null, &missed));
    api.collect().await;
    api.wait(chrono::TimeDelta::hours(2));

    let refused = post(&api, &format!("/v1/changes/{id}/retry"), None).await;

    let refused = refused.expect_problem(422, "unusable-fields");
    assert_eq!(refused["errors"][0]["field"], "window.notAfter");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_does_not_speak_our_schema_is_never_sent_it(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let mut speaks = reported(A, &Value::Null, &json!([]));
    speaks["schemas"] = json!([2]);
    api.aws.report("tenpo-0042", speaks);

    let id = api.wish("tenpo-0042", B, json!({})).await;
    api.dispatch().await;

    let change = api.change(&id).await;
    assert_eq!(change["state"], "refused");
    assert_eq!(change["timeline"][1]["code"], "AGENT_TOO_OLD");
    assert_eq!(api.aws.desired("tenpo-0042"), json!({}));
    // Once it says that it does, it is sent.
    api.aws.report("tenpo-0042", reported(A, &Value::Null, &json!([])));
    let id = post(&api, &format!("/v1/changes/{id}/retry"), None).await.expect(202);
    api.dispatch().await;
    assert_eq!(api.state(id["changeId"].as_str().unwrap()).await, "sent");
}
