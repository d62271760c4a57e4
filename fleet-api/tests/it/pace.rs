//! A caller that runs wild is told to wait, by name, and nobody else is.

use std::num::NonZeroU32;

use axum::http::Method;
use fleet_api::config::PaceConfig;
use futures::future::join_all;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{TestApi, Upload};

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_token_and_a_box_that_ask_too_fast_are_told_when_to_come_again(db: PgPool) {
    let one = NonZeroU32::MIN;
    let api = TestApi::with(db, PaceConfig { per_token: one, per_box: one }, None).await;
    let setup = api.token("setup", "admin").await;
    let thing = serde_json::json!({"thing": "tenpo-0042"});
    api.call(Method::POST, "/v1/devices", &setup, thing).await.expect(201);
    let box_token = api.session("tenpo-0042", "box").await;
    let upload = Upload { thing: "tenpo-0042", path: "a.csv", content: b"RX", sequence: 1 };

    // All at once: however slow the machine is, a bucket does not fill up for each of them.
    let asked = join_all((0..20).map(|_| api.get("/v1/stats"))).await;
    let refused = asked.into_iter().find(|answer| answer.status == 429);
    let refused = refused.expect("it was never told to wait");
    assert_eq!(refused.headers["retry-after"], "1");
    refused.expect_problem(429, "too-many-requests");
    api.call(Method::GET, "/v1/devices", &api.changer, Value::Null).await.expect(200);

    let sent = join_all((0..20).map(|_| upload.send(&api, &box_token))).await;
    let told = sent.iter().filter(|answer| answer.status == 429).count();
    assert!(told > 0, "the box was never told to wait");
}
