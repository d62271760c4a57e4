//! Taking a change back: at once while no box can have it, else by the box's word.

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, reported, trial, verdict};

/// A box that runs .9 and has been sent .20.
async fn sent(db: PgPool) -> (TestApi, String) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    api.aws.report("tenpo-0042", reported("192.168.10.9/24", &Value::Null, &json!([])));
    api.collect().await;
    (api, id)
}

async fn cancel(api: &TestApi, id: &str) -> Value {
    api.post(&format!("/v1/changes/{id}/cancel"), Value::Null).await.expect(202)
}

/// The code of the change's last step.
async fn ended_for(api: &TestApi, id: &str) -> Value {
    api.change(id).await["timeline"].as_array().unwrap().last().unwrap()["code"].clone()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_was_not_sent_is_cancelled_at_once(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;

    assert_eq!(cancel(&api, &id).await["state"], "cancelled");

    assert_eq!(api.dispatch().await, 0);
    let again = api.post(&format!("/v1/changes/{id}/cancel"), Value::Null).await;
    again.expect_problem(409, "change-closed");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_sent_change_is_cancelled_when_the_box_gave_it_up(db: PgPool) {
    let (api, id) = sent(db).await;

    assert_eq!(cancel(&api, &id).await["withdrawing"], "cancel");
    assert_eq!(api.state(&id).await, "sent");
    api.dispatch().await;
    let desired = api.aws.desired("tenpo-0042");
    let restoring = desired["changeId"].as_str().unwrap();
    assert_ne!(restoring, id);
    assert_eq!(desired["lan"]["address"], "192.168.10.9/24");
    assert_eq!(api.state(restoring).await, "queued");
    let verdicts = json!([
        verdict(restoring, "applied", &Value::Null),
        verdict(&id, "superseded", &json!("NEWER_CHANGE"))
    ]);
    api.aws.report("tenpo-0042", reported("192.168.10.9/24", &Value::Null, &verdicts));
    api.collect().await;

    assert_eq!(api.state(&id).await, "cancelled");
    assert_eq!(api.state(restoring).await, "applied");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_was_applied_before_its_cancellation_came_is_applied(db: PgPool) {
    let (api, id) = sent(db).await;
    cancel(&api, &id).await;
    api.dispatch().await;

    let verdicts = json!([verdict(&id, "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.collect().await;

    assert_eq!(api.state(&id).await, "applied");
    let desired = api.aws.desired("tenpo-0042");
    assert_eq!(api.state(desired["changeId"].as_str().unwrap()).await, "sent");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_newer_wish_waits_for_the_verdict_on_the_older_one(db: PgPool) {
    let (api, old) = sent(db).await;
    api.aws.report("tenpo-0042", reported("192.168.10.9/24", &trial(&old), &json!([])));
    api.collect().await;

    let refused = api.put_lan("tenpo-0042", "192.168.10.30/24", json!({})).await;
    assert_eq!(refused.expect_problem(409, "change-open")["changeId"], old);
    let new = api.wish("tenpo-0042", "192.168.10.30/24", json!({"supersede": true})).await;
    api.dispatch().await;
    assert_eq!(api.aws.desired("tenpo-0042")["changeId"], new);
    assert_eq!((api.state(&old).await, api.state(&new).await), ("trying".into(), "queued".into()));
    assert_eq!(api.change(&old).await["withdrawing"], "supersede");
    let verdicts = json!([verdict(&old, "superseded", &json!("NEWER_CHANGE"))]);
    api.aws.report("tenpo-0042", reported("192.168.10.9/24", &trial(&new), &verdicts));
    api.collect().await;

    assert_eq!(api.state(&old).await, "superseded");
    assert_eq!(api.steps(&new).await, ["queued", "sent", "trying"]);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_was_away_goes_to_the_newest_wish_and_every_story_ends(db: PgPool) {
    let (api, first) = sent(db).await;
    let second = api.wish("tenpo-0042", "192.168.10.30/24", json!({"supersede": true})).await;
    api.dispatch().await;
    let third = api.wish("tenpo-0042", "192.168.10.40/24", json!({"supersede": true})).await;
    api.dispatch().await;
    assert_eq!(api.aws.desired("tenpo-0042")["changeId"], third);

    let verdicts = json!([verdict(&third, "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.40/24", &Value::Null, &verdicts));
    api.collect().await;

    assert_eq!(api.state(&first).await, "superseded");
    assert_eq!(api.state(&second).await, "superseded");
    assert_eq!(ended_for(&api, &second).await, "NEWER_CHANGE");
    assert_eq!(api.state(&third).await, "applied");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn cancelling_the_newer_wish_still_takes_the_older_one_back(db: PgPool) {
    let (api, old) = sent(db).await;
    let new = api.wish("tenpo-0042", "192.168.10.30/24", json!({"supersede": true})).await;

    assert_eq!(cancel(&api, &new).await["state"], "cancelled");
    api.dispatch().await;

    let desired = api.aws.desired("tenpo-0042");
    assert_eq!(desired["lan"]["address"], "192.168.10.9/24");
    let verdicts = json!([verdict(desired["changeId"].as_str().unwrap(), "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.9/24", &Value::Null, &verdicts));
    api.collect().await;
    assert_eq!(api.state(&old).await, "superseded");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_never_spoke_loses_the_wish_from_its_shadow(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;

    cancel(&api, &id).await;
    api.dispatch().await;

    assert_eq!(ended_for(&api, &id).await, "NOT_TAKEN_UP");
    assert_eq!(api.state(&id).await, "cancelled");
    assert_eq!(api.aws.desired("tenpo-0042"), json!({}));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_nobody_took_up_for_two_weeks_expires(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let id = api.wish("tenpo-0042", "192.168.10.20/24", json!({})).await;

    api.wait(TimeDelta::days(14) - TimeDelta::seconds(1));
    api.fleet.expire().await.unwrap();
    assert_eq!(api.state(&id).await, "queued");
    api.wait(TimeDelta::seconds(1));
    api.fleet.expire().await.unwrap();

    assert_eq!(api.steps(&id).await, ["queued", "expired"]);
    assert_eq!(ended_for(&api, &id).await, "NOT_TAKEN_UP");
    assert_eq!(api.dispatch().await, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_sent_change_expires_only_by_the_word_of_its_box(db: PgPool) {
    let (api, id) = sent(db).await;
    api.wait(TimeDelta::days(14));
    for _ in 0..2 {
        api.fleet.expire().await.unwrap();
        api.dispatch().await;
    }

    assert_eq!(api.change(&id).await["withdrawing"], "expire");
    assert_eq!(api.state(&id).await, "sent");
    let restoring = api.aws.desired("tenpo-0042")["changeId"].as_str().unwrap().to_owned();
    assert_ne!(restoring, id);
    // What undoes it waits for as long as the box stays away.
    api.wait(TimeDelta::days(100));
    api.fleet.expire().await.unwrap();
    api.dispatch().await;
    assert_eq!(api.change(&restoring).await["withdrawing"], Value::Null);
    let verdicts = json!([verdict(&restoring, "applied", &Value::Null)]);
    api.aws.report("tenpo-0042", reported("192.168.10.9/24", &Value::Null, &verdicts));
    api.collect().await;

    assert_eq!((api.state(&id).await, api.state(&restoring).await), ("expired".into(), "applied".into()));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_for_next_month_begins_to_wait_next_month(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let window = json!({"window": {"notBefore": "2026-12-22T00:00:00Z"}});
    let id = api.wish("tenpo-0042", "192.168.10.20/24", window).await;

    api.wait(TimeDelta::days(43));
    api.fleet.expire().await.unwrap();
    assert_eq!(api.state(&id).await, "queued");
    api.wait(TimeDelta::days(1));
    api.fleet.expire().await.unwrap();
    assert_eq!(api.state(&id).await, "expired");
}
