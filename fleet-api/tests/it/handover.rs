//! Between row and shadow: lost answers, reports that come in between, an AWS that takes its time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fleet_api::fleet::dispatch;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::support::{TestApi, reported, verdict};

const BOX: &str = "tenpo-0042";

async fn api_with_box(db: PgPool) -> TestApi {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    api
}

/// Waits until somebody waits for a lock.
async fn somebody_waits(api: &TestApi) {
    let waits = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&api.db).await.unwrap() == 0 {}
}

async fn cancel(api: &TestApi, id: &str) -> Value {
    api.post(&format!("/v1/changes/{id}/cancel"), Value::Null).await.expect(202)
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_whose_write_was_not_answered_is_closed_by_the_box_alone(db: PgPool) {
    let api = api_with_box(db).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.aws.state().lost_answers = 1;
    assert_eq!(api.dispatch().await, 0);
    assert_eq!(api.aws.desired(BOX)["changeId"], id, "the box may have it");

    assert_eq!(cancel(&api, &id).await["withdrawing"], "cancel");
    assert_eq!(api.state(&id).await, "queued");
    let verdicts = json!([verdict(&id, "applied", &Value::Null)]);
    api.aws.report(BOX, reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.collect().await;

    assert_eq!(api.state(&id).await, "applied");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn superseding_a_change_whose_write_was_not_answered_does_not_close_it(db: PgPool) {
    let api = api_with_box(db).await;
    let old = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.aws.state().lost_answers = 1;
    api.dispatch().await;

    let new = api.wish(BOX, "192.168.10.30/24", json!({"supersede": true})).await;
    assert_eq!(api.change(&old).await["withdrawing"], "supersede");
    assert_eq!(api.dispatch().await, 1);
    assert_eq!(api.aws.desired(BOX)["changeId"], new);
    let verdicts =
        json!([verdict(&new, "rolled_back", &Value::Null), verdict(&old, "applied", &Value::Null)]);
    api.aws.report(BOX, reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.collect().await;

    assert_eq!(api.state(&old).await, "applied");
    assert_eq!(api.state(&new).await, "rolled_back");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_the_box_may_have_is_not_refused_for_what_it_says_later(db: PgPool) {
    let api = api_with_box(db).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.aws.state().lost_answers = 1;
    assert_eq!(api.dispatch().await, 0);
    let mut older = reported("192.168.10.9/24", &Value::Null, &json!([]));
    older["schemas"] = json!([2]);
    api.aws.report(BOX, older);
    sqlx::query("update lan_changes set next_attempt_at = requested_at").execute(&api.db).await.unwrap();

    assert_eq!(api.dispatch().await, 1);

    assert_eq!(api.state(&id).await, "sent");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_first_speaks_after_the_cancellation_is_asked_to_go_back(db: PgPool) {
    let api = api_with_box(db).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    cancel(&api, &id).await;
    api.aws.report(BOX, reported("192.168.10.9/24", &Value::Null, &json!([])));

    assert_eq!(api.dispatch().await, 1);

    goes_back(&api, &id).await;
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_first_speaks_while_its_shadow_is_emptied_is_asked_to_go_back(db: PgPool) {
    let api = api_with_box(db).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    cancel(&api, &id).await;
    api.aws.state().report_after_read = Some(reported("192.168.10.9/24", &Value::Null, &json!([])));

    assert_eq!(api.dispatch().await, 1);

    goes_back(&api, &id).await;
}

/// The box has been given what it ran before, and its word on that ends the story of `id`.
async fn goes_back(api: &TestApi, id: &str) {
    assert_eq!(api.state(id).await, "sent");
    let desired = api.aws.desired(BOX);
    assert_eq!(desired["lan"]["address"], "192.168.10.9/24");
    let restoring = desired["changeId"].as_str().unwrap();
    assert_eq!(api.change(restoring).await["replaces"], id);
    let verdicts = json!([verdict(restoring, "applied", &Value::Null)]);
    api.aws.report(BOX, reported("192.168.10.9/24", &Value::Null, &verdicts));
    api.collect().await;
    assert_eq!(api.state(id).await, "cancelled");
    assert_eq!(api.dispatch().await, 0, "there is nothing left to do");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_slow_aws_holds_neither_a_wish_nor_a_connection(db: PgPool) {
    let api = api_with_box(db).await;
    let old = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    let gate = api.aws.shut();

    let meanwhile = async {
        // The reading goes through, the writing waits.
        api.aws.someone_is_held().await;
        gate.add_permits(1);
        let marked = async {
            let sql = "select count(*) from lan_changes where handed_over_at is not null";
            while sqlx::query_scalar::<_, i64>(sql).fetch_one(&api.db).await.unwrap() == 0 {}
        };
        tokio::time::timeout(Duration::from_secs(10), marked).await.unwrap();
        api.aws.someone_is_held().await;
        api.all_connections_are_idle().await;
        let wish = api.wish(BOX, "192.168.10.30/24", json!({"supersede": true}));
        let new = tokio::time::timeout(Duration::from_secs(10), wish).await.expect("the wish had to wait");
        // A replica that is told of it finds the thing taken.
        api.fleet.nudged().await;
        assert_eq!(api.dispatch().await, 0);
        gate.add_permits(100);
        new
    };
    let (carried, new) = tokio::join!(api.dispatch(), meanwhile);

    assert_eq!(carried, 1);
    let nudged = tokio::time::timeout(Duration::from_secs(10), api.fleet.nudged()).await;
    nudged.expect("nobody looks again for what found the thing taken");
    assert_eq!(api.change(&old).await["withdrawing"], "supersede");
    assert_eq!(api.steps(&old).await, ["queued", "sent"]);
    assert_eq!(api.dispatch().await, 1);
    assert_eq!(api.aws.desired(BOX)["changeId"], new);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_thing_is_left_to_the_replica_that_has_it_until_its_lease_is_over(db: PgPool) {
    let api = api_with_box(db).await;
    api.wish(BOX, "192.168.10.20/24", json!({})).await;
    let lease = |until: &'static str| sqlx::query(until).execute(&api.db);

    lease("update things set dispatched_until = now() + interval '1 minute'").await.unwrap();
    assert_eq!(api.dispatch().await, 0);
    lease("update things set dispatched_until = now() - interval '1 second'").await.unwrap();
    assert_eq!(api.dispatch().await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_connects_in_that_moment_does_not_put_its_change_off(db: PgPool) {
    let api = api_with_box(db).await;
    api.wish(BOX, "192.168.10.20/24", json!({})).await;
    let mut connects = api.db.begin().await.unwrap();
    sqlx::query("update things set seen_at = now() where name = $1")
        .bind(BOX)
        .execute(&mut *connects)
        .await
        .unwrap();

    let connected = async {
        somebody_waits(&api).await;
        connects.commit().await.unwrap();
    };
    let both = async { tokio::join!(api.dispatch(), connected) };
    let (carried, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();

    assert_eq!(carried, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_report_that_had_to_wait_comes_after_what_it_waited_for(db: PgPool) {
    let api = api_with_box(db).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    let verdicts = json!([verdict(&id, "applied", &Value::Null)]);
    api.aws.report(BOX, reported("192.168.10.20/24", &Value::Null, &verdicts));
    let mut other = api.db.begin().await.unwrap();
    sqlx::query("select from things where name = $1 for update")
        .bind(BOX)
        .execute(&mut *other)
        .await
        .unwrap();

    let let_go = async {
        somebody_waits(&api).await;
        api.wait(TimeDelta::minutes(1));
        other.commit().await.unwrap();
    };
    let both = async { tokio::join!(api.collect(), let_go) };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();

    let last = api.change(&id).await["timeline"].as_array().unwrap().last().unwrap().clone();
    let at: DateTime<Utc> = last["at"].as_str().unwrap().parse().unwrap();
    assert_eq!((last["state"].as_str(), at), (Some("applied"), api.now()));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_another_replica_had_is_looked_at_again_soon(db: PgPool) {
    let api = api_with_box(db).await;
    let change = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    let taken = "update things set dispatched_until = now() + interval '1 second'";
    sqlx::query(taken).execute(&api.db).await.unwrap();
    let stop = CancellationToken::new();

    let sent = async {
        while api.state(&change).await != "sent" {}
        stop.cancel();
    };
    let run = dispatch::run(api.fleet.clone(), Duration::from_hours(1), stop.clone());
    let both = async { tokio::join!(run, sent) };
    let (ran, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();

    ran.unwrap();
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn nobody_waits_for_a_lock_longer_than_slack_waits_for_us(db: PgPool) {
    let url = sqlx::ConnectOptions::to_url_lossy(&*db.connect_options());
    let options = fleet_api::database(url.as_str(), 0).unwrap().connect_options();
    let mut db = sqlx::ConnectOptions::connect(&*options).await.unwrap();

    let lock: String = sqlx::query_scalar("show lock_timeout").fetch_one(&mut db).await.unwrap();
    let statement: String = sqlx::query_scalar("show statement_timeout").fetch_one(&mut db).await.unwrap();

    assert_eq!((lock.as_str(), statement.as_str()), ("2s", "10s"));
}
