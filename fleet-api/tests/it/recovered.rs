//! A change that stands in a box's shadow and that the database does not know: lost with a restore, or not ours.

use chrono::TimeDelta;
use fleet_api::fleet::actor::Actor;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    audit::checkpoint,
    audit_restore::restore_to,
    support::{TestApi, reported, trial, verdict},
};

const BOX: &str = "tenpo-0042";

/// A box that has applied `old`, and a change asked for since the backup.
struct Lost {
    api: TestApi,
    old: String,
    new: String,
}

impl Lost {
    async fn report(&self, address: &str, verdicts: Value) {
        self.report_trial(address, &Value::Null, verdicts).await;
    }

    async fn report_trial(&self, address: &str, trial: &Value, mut verdicts: Value) {
        verdicts.as_array_mut().unwrap().push(verdict(&self.old, "applied", &Value::Null));
        self.api.aws.report(BOX, reported(address, trial, &verdicts));
        self.hint().await;
    }

    async fn hint(&self) {
        self.api.fleet.hint(&BOX.parse().unwrap(), "lan").await.unwrap();
    }

    /// Somebody says that the database was restored.
    async fn say_so(&self) {
        self.api.fleet.restored(&Actor::cli(), "backup of 3 o'clock").await.unwrap().unwrap();
    }

    async fn device(&self) -> Value {
        self.api.get(&format!("/v1/devices/{BOX}")).await.expect(200)
    }

    async fn count(&self, action: &str) -> usize {
        let audit = self.api.get(&format!("/v1/audit?thing={BOX}&limit=200")).await.expect(200);
        audit["items"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count()
    }
}

/// The database as the backup has it, and AWS as it is: the wishes in `addresses` were sent since, one after the
/// other, each answered by the box but for the last.
async fn restored(db: PgPool, addresses: &[(&str, &str)]) -> (Lost, Vec<String>) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let old = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    let mut verdicts = vec![verdict(&old, "applied", &Value::Null)];
    api.aws.report(BOX, reported("192.168.10.20/24", &Value::Null, &json!(verdicts)));
    api.fleet.hint(&BOX.parse().unwrap(), "lan").await.unwrap();
    api.chain().await;
    let kept: i64 = sqlx::query_scalar("select max(seq) from audit_chain").fetch_one(&api.db).await.unwrap();
    let thing: Value =
        sqlx::query_scalar("select to_jsonb(t) from things t").fetch_one(&api.db).await.unwrap();
    api.wait(TimeDelta::minutes(10));

    let mut lost = Vec::new();
    for (number, (address, ends)) in addresses.iter().enumerate() {
        let id = api.wish(BOX, address, json!({"ticket": "T-1"})).await;
        api.dispatch().await;
        lost.push(id.clone());
        if number + 1 < addresses.len() {
            verdicts.insert(0, verdict(&id, ends, &Value::Null));
            api.aws.report(BOX, reported("192.168.10.20/24", &Value::Null, &json!(verdicts)));
            api.fleet.hint(&BOX.parse().unwrap(), "lan").await.unwrap();
        }
        api.wait(TimeDelta::minutes(1));
    }
    api.chain().await;
    assert!(checkpoint(&api).await);
    restore_to(&api, kept).await;
    forget(&api, &lost, &thing).await;
    api.wait(TimeDelta::minutes(10));
    let new = lost.last().unwrap().clone();
    (Lost { api, old, new }, lost)
}

async fn forget(api: &TestApi, ids: &[String], thing: &Value) {
    let mut tx = api.db.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    for table in ["feed", "slack_messages", "change_steps", "lan_changes"] {
        let delete = format!("delete from {table} where change_id = any($1)");
        sqlx::query(AssertSqlSafe(delete)).bind(ids).execute(&mut *tx).await.unwrap();
    }
    sqlx::query("delete from things").execute(&mut *tx).await.unwrap();
    // What is computed from the others is not put back.
    let columns: String = sqlx::query_scalar(
        "select string_agg(quote_ident(attname), ',') from pg_attribute
         where attrelid = 'things'::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    let again = format!(
        "insert into things ({columns}) select {columns} from jsonb_populate_record(null::things, $1)"
    );
    sqlx::query(AssertSqlSafe(again)).bind(thing).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_that_was_lost_on_its_way_is_recovered_and_closed_by_the_box(db: PgPool) {
    let (it, _) = restored(db, &[("192.168.10.30/24", "")]).await;
    let api = &it.api;
    // Until somebody has said that it was a restore nobody can tell whose wish that is: it stays as it is.
    it.hint().await;
    assert_eq!((it.count("shadow.desired_foreign").await, api.dispatch().await), (0, 0));
    api.get(&format!("/v1/changes/{}", it.new)).await.expect_problem(404, "unknown-change");

    it.say_so().await;
    it.hint().await;
    it.hint().await;

    let change = api.change(&it.new).await;
    assert_eq!((&change["state"], &change["recovered"]), (&json!("sent"), &json!(true)));
    assert_eq!(change["after"]["lan"]["address"], "192.168.10.30/24");
    assert_eq!((&change["requestedBy"], &change["pharmacy"]), (&json!("unknown"), &json!("P-tenpo-0042")));
    assert_eq!(change["requestedAt"], "2026-11-22T00:10:00Z", "its id tells when that was");
    assert_eq!(api.steps(&it.new).await, ["queued", "sent"]);
    assert_eq!(change["timeline"][0]["code"], "RECOVERED");
    assert_eq!(it.device().await["openChange"], it.new);
    assert_eq!((it.count("change.recovered").await, it.count("shadow.desired_foreign").await), (1, 0));
    assert_eq!(api.dispatch().await, 0, "the box is asked for nothing");

    it.report_trial("192.168.10.20/24", &trial(&it.new), json!([])).await;
    it.report("192.168.10.30/24", json!([verdict(&it.new, "applied", &Value::Null)])).await;
    assert_eq!(api.steps(&it.new).await, ["queued", "sent", "trying", "applied"]);
    assert_eq!(it.device().await["driftSince"], Value::Null);
    assert_eq!(api.dispatch().await, 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_the_box_has_applied_meanwhile_is_what_it_shall_have(db: PgPool) {
    let (it, _) = restored(db, &[("192.168.10.30/24", "")]).await;
    let api = &it.api;
    it.say_so().await;

    for _ in 0..2 {
        it.report("192.168.10.30/24", json!([verdict(&it.new, "applied", &Value::Null)])).await;
    }

    let change = api.change(&it.new).await;
    assert_eq!((&change["state"], &change["recovered"]), (&json!("applied"), &json!(true)));
    let last = &change["timeline"][1];
    assert_eq!((&last["deviceAt"], &last["clock"]), (&json!("2026-11-21T21:00:05Z"), &json!("estimated")));
    assert_eq!((it.count("change.recovered").await, it.count("change.applied").await), (1, 2));
    let lan = api.get(&format!("/v1/devices/{BOX}/lan")).await.expect(200);
    assert_eq!(lan["desired"]["lan"]["address"], "192.168.10.30/24");
    assert_eq!(it.device().await["driftSince"], Value::Null);
    assert_eq!((api.dispatch().await, it.count("shadow.desired_foreign").await), (0, 0));
    assert_eq!(api.change(&it.old).await.get("recovered"), None);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn of_a_verdict_whose_wish_is_gone_the_verdict_is_told_and_no_more(db: PgPool) {
    let wishes = [("192.168.10.30/24", "rolled_back"), ("192.168.10.40/24", "")];
    let (it, lost) = restored(db, &wishes).await;
    let api = &it.api;
    it.say_so().await;
    let messages = api.count("slack_messages").await;

    it.report("192.168.10.20/24", json!([verdict(&lost[0], "rolled_back", &json!("GATEWAY_SILENT"))])).await;

    let change = api.change(&lost[0]).await;
    assert_eq!((&change["state"], &change["after"]), (&json!("rolled_back"), &Value::Null));
    assert_eq!(change["timeline"][1]["code"], "GATEWAY_SILENT");
    assert_eq!(api.state(&lost[1]).await, "sent");
    assert_eq!(api.count("slack_messages").await, messages + 1, "nothing can be shown of the first");
    let again = api.post(&format!("/v1/changes/{}/retry", lost[0]), json!({})).await;
    again.expect_problem(409, "change-open");
    it.report(
        "192.168.10.40/24",
        json!([verdict(&lost[1], "applied", &Value::Null), verdict(&lost[0], "rolled_back", &Value::Null)]),
    )
    .await;
    let again = api.post(&format!("/v1/changes/{}/retry", lost[0]), json!({})).await;
    again.expect_problem(409, "change-not-retryable");
    let list = api.get(&format!("/v1/changes?thing={BOX}")).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_wish_that_knew_nothing_of_the_lost_one_comes_behind_it(db: PgPool) {
    let (it, _) = restored(db, &[("192.168.10.30/24", "")]).await;
    let api = &it.api;
    it.say_so().await;
    let newer = api.wish(BOX, "192.168.10.50/24", json!({})).await;

    // The dispatcher reads the shadow before it writes.
    assert_eq!(api.dispatch().await, 0);
    assert_eq!((api.state(&it.new).await, api.state(&newer).await), ("sent".to_owned(), "queued".to_owned()));
    it.report("192.168.10.30/24", json!([verdict(&it.new, "applied", &Value::Null)])).await;
    assert_eq!(api.dispatch().await, 1);
    let verdicts = [&newer, &it.new].map(|id| verdict(id, "applied", &Value::Null));
    it.report("192.168.10.50/24", json!(verdicts)).await;

    assert_eq!(
        (api.state(&it.new).await, api.state(&newer).await),
        ("applied".to_owned(), "applied".to_owned())
    );
    let lan = api.get(&format!("/v1/devices/{BOX}/lan")).await.expect(200);
    assert_eq!(lan["desired"]["changeId"], newer, "what was applied last");
    assert_eq!(it.device().await["driftSince"], Value::Null);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_was_not_asked_for_in_the_lost_time_is_somebody_else_s(db: PgPool) {
    let (it, _) = restored(db, &[("192.168.10.30/24", "")]).await;
    let api = &it.api;
    it.say_so().await;
    let later = ulid::Ulid::from_datetime((api.now() + TimeDelta::hours(1)).into()).to_string();
    let mut foreign = api.aws.desired(BOX);
    foreign["changeId"] = json!(later);
    api.aws.desire(BOX, foreign);

    it.hint().await;
    assert_eq!(it.count("shadow.desired_foreign").await, 1);
    assert_eq!(api.dispatch().await, 1);
    assert_eq!(
        api.aws.desired(BOX)["lan"]["address"],
        "192.168.10.20/24",
        "what it last applied, as we know it"
    );

    // The box had taken it up: that is told, and changes nothing of what it shall have.
    it.report("192.168.10.30/24", json!([verdict(&later, "applied", &Value::Null)])).await;
    let change = api.change(&later).await;
    assert_eq!((&change["state"], &change["recovered"]), (&json!("applied"), &json!(true)));
    let lan = api.get(&format!("/v1/devices/{BOX}/lan")).await.expect(200);
    assert_eq!(lan["desired"]["lan"]["address"], "192.168.10.20/24");
    assert_ne!(it.device().await["driftSince"], Value::Null);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn nobody_recovers_another_box_s_change_or_what_was_done_on_the_spot(db: PgPool) {
    let (it, _) = restored(db, &[("192.168.10.30/24", "")]).await;
    let api = &it.api;
    api.register("tenpo-0043").await;
    let other = api.wish("tenpo-0043", "192.168.10.60/24", json!({})).await;
    it.say_so().await;
    let before = api.count("lan_changes").await;

    let verdicts = ["local-1", &other].map(|id| verdict(id, "applied", &Value::Null));
    it.report("192.168.10.20/24", json!(verdicts)).await;

    assert_eq!(api.count("lan_changes").await, before + 1, "the lost one alone");
    assert_eq!(api.change(&other).await["thing"], "tenpo-0043");
    assert_eq!(api.state(&other).await, "queued");
}
