//! What boxes run beside what they were asked to: the receipt computer's sight, drift, foreign wishes.

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, reported, trial, verdict};

const BOX: &str = "tenpo-0042";

/// A box that runs what it was asked to, with the change's id.
async fn applied(db: PgPool) -> (TestApi, String) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let id = api.wish(BOX, "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    report(&api, "192.168.10.20/24", &json!([verdict(&id, "applied", &Value::Null)])).await;
    (api, id)
}

async fn report(api: &TestApi, address: &str, verdicts: &Value) {
    api.aws.report(BOX, reported(address, &Value::Null, verdicts));
    hint(api).await;
}

/// Something has changed in the shadow.
async fn hint(api: &TestApi) {
    api.fleet.hint(&BOX.parse().unwrap(), "lan").await.unwrap();
}

async fn actions(api: &TestApi) -> Vec<Value> {
    let audit = api.get(&format!("/v1/audit?thing={BOX}&limit=200")).await.expect(200);
    audit["items"].as_array().unwrap().clone()
}

async fn count(api: &TestApi, action: &str) -> usize {
    actions(api).await.iter().filter(|entry| entry["action"] == action).count()
}

async fn device(api: &TestApi) -> Value {
    api.get(&format!("/v1/devices/{BOX}")).await.expect(200)
}

/// The box, which has applied `id`, tells of the receipt computer.
async fn sees(api: &TestApi, id: &str, sight: Value) {
    tells(api, id, id, sight).await;
}

async fn tells(api: &TestApi, applied: &str, id: &str, sight: Value) {
    let mut report =
        reported("192.168.10.20/24", &Value::Null, &json!([verdict(applied, "applied", &Value::Null)]));
    report["receiptComputer"] = sight;
    report["receiptComputer"]["changeId"] = json!(id);
    api.aws.report(BOX, report);
    hint(api).await;
}

fn confirmed() -> Value {
    json!({"state": "confirmed", "at": "2026-11-21T22:00:00Z", "clock": "synced"})
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_is_over_once_the_receipt_computer_has_found_the_box(db: PgPool) {
    let (api, id) = applied(db).await;
    assert_eq!(
        api.change(&id).await.get("receiptComputer"),
        None,
        "the box hosts no share as far as we know"
    );
    let messages = "select wanted from slack_messages";
    let wanted: i64 = sqlx::query_scalar(messages).fetch_one(&api.db).await.unwrap();

    sees(&api, &id, json!({"state": "unconfirmed"})).await;
    assert_eq!(api.change(&id).await["receiptComputer"], json!({"state": "unconfirmed"}));
    sees(&api, &id, confirmed()).await;
    api.wait(TimeDelta::hours(1));
    sees(&api, &id, confirmed()).await;
    // It stays seen, whatever an agent that lost its memory says.
    sees(&api, &id, json!({"state": "unconfirmed"})).await;

    let change = api.change(&id).await;
    assert_eq!(
        change["receiptComputer"],
        json!({"state": "confirmed", "at": "2026-11-22T00:00:00Z", "deviceAt": "2026-11-21T22:00:00Z", "clock": "synced"})
    );
    assert_eq!(change["state"], "applied");
    assert_eq!(count(&api, "change.receipt_computer_confirmed").await, 1);
    let now: i64 = sqlx::query_scalar(messages).fetch_one(&api.db).await.unwrap();
    assert_eq!(now, wanted + 2, "the message shows each of the two");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn nobody_confirms_a_change_of_another_box_or_one_that_was_not_applied(db: PgPool) {
    let (api, mine) = applied(db).await;
    api.register("tenpo-0043").await;
    let other = api.wish("tenpo-0043", "192.168.10.20/24", json!({})).await;
    api.dispatch().await;
    let verdicts = json!([verdict(&other, "applied", &Value::Null)]);
    api.aws.report("tenpo-0043", reported("192.168.10.20/24", &Value::Null, &verdicts));
    api.fleet.hint(&"tenpo-0043".parse().unwrap(), "lan").await.unwrap();
    assert_eq!(api.state(&other).await, "applied");
    let open = api.wish(BOX, "192.168.10.30/24", json!({})).await;

    for id in [&other, &open, &"01JUNKNOWN".to_owned()] {
        tells(&api, &mine, id, confirmed()).await;
    }

    assert_eq!(api.count("change_sights").await, 0);
    assert_eq!(api.change(&mine).await.get("receiptComputer"), None);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_change_made_on_site_is_told_and_not_fought(db: PgPool) {
    let (api, id) = applied(db).await;
    assert_eq!(device(&api).await["driftSince"], Value::Null);
    let verdicts = json!([verdict(&id, "applied", &Value::Null)]);

    report(&api, "192.168.10.99/24", &verdicts).await;
    api.wait(TimeDelta::hours(1));
    report(&api, "192.168.10.98/24", &verdicts).await;

    assert_eq!(device(&api).await["driftSince"], "2026-11-22T00:00:00Z");
    let entries = actions(&api).await;
    let drifted: Vec<_> = entries.iter().filter(|entry| entry["action"] == "device.drifted").collect();
    assert_eq!(drifted.len(), 1);
    assert_eq!(drifted[0]["before"]["lan"]["address"], "192.168.10.20/24");
    assert_eq!(drifted[0]["after"]["lan"]["address"], "192.168.10.99/24");
    assert_eq!((api.dispatch().await, api.count("lan_changes").await), (0, 1), "nothing was asked for");

    report(&api, "192.168.10.20/24", &verdicts).await;
    assert_eq!(device(&api).await["driftSince"], Value::Null);
    assert_eq!(count(&api, "device.drift_ended").await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_trial_or_a_change_that_failed_is_no_drift(db: PgPool) {
    let (api, old) = applied(db).await;
    let new = api.wish(BOX, "192.168.10.30/24", json!({})).await;
    api.dispatch().await;

    api.aws.report(
        BOX,
        reported("192.168.10.20/24", &trial(&new), &json!([verdict(&old, "applied", &Value::Null)])),
    );
    hint(&api).await;
    assert_eq!(device(&api).await["driftSince"], Value::Null);
    let failed = verdict(&new, "rolled_back", &json!("GATEWAY_SILENT"));
    report(&api, "192.168.10.20/24", &json!([failed, verdict(&old, "applied", &Value::Null)])).await;

    assert_eq!(api.state(&new).await, "rolled_back");
    assert_eq!(device(&api).await["driftSince"], Value::Null);
    assert_eq!(
        count(&api, "shadow.desired_foreign").await,
        0,
        "what failed still stands in the shadow, and is ours"
    );
}

/// What somebody else would write there.
fn foreign() -> Value {
    json!({"schema": 1, "changeId": "someone", "lan": {"mode": "static", "address": "192.168.66.6/24"},
        "share": {"name": "rx", "user": "rece", "workgroup": "WORKGROUP", "passwordSealed": "c2VjcmV0"}})
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_wish_of_somebody_else_is_recorded_and_what_was_applied_is_written_back(db: PgPool) {
    let (api, id) = applied(db).await;

    api.aws.desire(BOX, foreign());
    hint(&api).await;
    hint(&api).await;
    assert_eq!(api.dispatch().await, 1);

    let desired = api.aws.desired(BOX);
    assert_eq!(desired["lan"], json!({"mode": "static", "address": "192.168.10.20/24"}));
    let back = desired["changeId"].as_str().unwrap().to_owned();
    assert!(back != id && back != "someone", "a box that took the foreign wish up has to be asked anew");
    let change = api.change(&back).await;
    assert_eq!(
        (&change["requestedBy"], &change["timeline"][0]["code"]),
        (&json!("system"), &json!("DESIRED_FOREIGN"))
    );
    let entries = actions(&api).await;
    let found: Vec<_> = entries.iter().filter(|entry| entry["action"] == "shadow.desired_foreign").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["after"]["settings"]["lan"]["address"], "192.168.66.6/24");
    assert!(!found[0].to_string().contains("c2VjcmV0"), "no password in the log, sealed or not");
    assert_eq!(device(&api).await["foreignDesiredAt"], "2026-11-22T00:00:00Z");

    // The box had taken it, and goes back.
    let verdicts =
        json!([verdict("someone", "applied", &Value::Null), verdict(&id, "applied", &Value::Null)]);
    report(&api, "192.168.66.6/24", &verdicts).await;
    assert_ne!(device(&api).await["driftSince"], Value::Null);
    let told = api.change("someone").await;
    assert_eq!((&told["state"], &told["recovered"]), (&json!("applied"), &json!(true)));
    assert_eq!(told["requestedBy"], "unknown");
    let verdicts = json!([verdict(&back, "applied", &Value::Null), verdicts[0], verdicts[1]]);
    report(&api, "192.168.10.20/24", &verdicts).await;
    assert_eq!(api.state(&back).await, "applied");
    assert_eq!(device(&api).await["driftSince"], Value::Null);
    assert_eq!((api.dispatch().await, count(&api, "shadow.desired_foreign").await), (0, 1));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn an_open_change_that_somebody_wrote_over_is_asked_for_anew(db: PgPool) {
    let (api, _) = applied(db).await;
    let open = api.wish(BOX, "192.168.10.30/24", json!({"ticket": "T-1"})).await;
    api.dispatch().await;

    api.aws.desire(BOX, json!({}));
    hint(&api).await;
    api.dispatch().await;

    let desired = api.aws.desired(BOX);
    assert_eq!(desired["lan"]["address"], "192.168.10.30/24");
    let again = api.change(desired["changeId"].as_str().unwrap()).await;
    assert_eq!((&again["replaces"], &again["ticket"]), (&json!(open), &json!("T-1")));
    assert_eq!(api.change(&open).await["withdrawing"], "supersede");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn one_field_that_was_altered_makes_a_wish_foreign(db: PgPool) {
    let (api, _) = applied(db).await;
    let ours = api.aws.desired(BOX);
    let mut more = ours.clone();
    more["fieldOfANewerReplica"] = json!(1);
    api.aws.desire(BOX, more);
    hint(&api).await;
    assert_eq!(count(&api, "shadow.desired_foreign").await, 0, "what we do not know changes nothing");

    let mut altered = ours.clone();
    altered["lan"]["mtu"] = json!(1400);
    api.aws.desire(BOX, altered);
    hint(&api).await;
    api.dispatch().await;
    assert_eq!(count(&api, "shadow.desired_foreign").await, 1);
    api.aws.desire(BOX, json!({"anything": "x".repeat(6000)}));
    hint(&api).await;

    let entries = actions(&api).await;
    let found: Vec<_> = entries.iter().filter(|entry| entry["action"] == "shadow.desired_foreign").collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1]["after"]["settings"], Value::Null);
    assert!(found[1].to_string().len() < 2000);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn who_writes_again_and_again_is_not_raced(db: PgPool) {
    let (api, _) = applied(db).await;
    api.aws.desire(BOX, foreign());
    hint(&api).await;
    assert_eq!(api.dispatch().await, 1);

    // Ours stands there again, and is read; then they come back.
    hint(&api).await;
    api.aws.desire(BOX, foreign());
    hint(&api).await;

    assert_eq!(count(&api, "shadow.desired_foreign").await, 2);
    assert_eq!(api.dispatch().await, 0, "not at once");
    api.wait(TimeDelta::minutes(11));
    assert_eq!(api.dispatch().await, 1);
    assert_eq!(api.aws.desired(BOX)["lan"]["address"], "192.168.10.20/24");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_foreign_wish_that_waits_for_a_box_that_never_spoke_is_found(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    api.aws.desire(BOX, foreign());
    hint(&api).await;
    assert_eq!(count(&api, "shadow.desired_foreign").await, 1);

    // Nobody here has asked for anything, so it is to have nothing.
    assert_eq!(api.dispatch().await, 1);
    assert_eq!(api.aws.desired(BOX), json!({}));
    assert_eq!(api.dispatch().await, 0, "once is enough");
    hint(&api).await;
    assert_eq!((api.dispatch().await, count(&api, "shadow.desired_foreign").await), (0, 1));
    api.wish(BOX, "192.168.10.20/24", json!({})).await;
    assert_eq!(api.dispatch().await, 1);
    hint(&api).await;
    assert_eq!(api.aws.desired(BOX)["lan"]["address"], "192.168.10.20/24");
    assert_eq!(count(&api, "shadow.desired_foreign").await, 1);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_on_its_way_into_the_shadow_is_not_foreign(db: PgPool) {
    let (api, id) = applied(db).await;
    let old = api.aws.state().shadows[BOX].clone();
    let new = api.wish(BOX, "192.168.10.30/24", json!({})).await;
    // Its write is done and its answer lost: nobody knows yet which version has it.
    api.aws.state().lost_answers = 1;
    api.dispatch().await;
    assert_eq!(api.aws.desired(BOX)["changeId"], new);
    hint(&api).await;
    // And who read the shadow before that comes late.
    api.aws.state().shadows.insert(BOX.to_owned(), old);
    hint(&api).await;

    assert_eq!(count(&api, "shadow.desired_foreign").await, 0);
    assert_eq!(api.state(&id).await, "applied");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_stands_there_until_a_change_is_written_is_not_foreign(db: PgPool) {
    let (api, _) = applied(db).await;
    let new = api.wish(BOX, "192.168.10.30/24", json!({})).await;
    // It is marked as handed over, and somebody else is always faster.
    api.aws.state().races = usize::MAX;
    assert_eq!(api.dispatch().await, 0);
    assert_ne!(api.aws.desired(BOX)["changeId"], new);

    hint(&api).await;

    assert_eq!(count(&api, "shadow.desired_foreign").await, 0);
    assert_eq!(device(&api).await["foreignDesiredAt"], Value::Null);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_about_to_be_written_over_a_foreign_wish_is_not_asked_for_twice(db: PgPool) {
    let (api, id) = applied(db).await;
    let new = api.wish(BOX, "192.168.10.30/24", json!({})).await;
    api.aws.desire(BOX, foreign());

    hint(&api).await;

    assert_eq!(count(&api, "shadow.desired_foreign").await, 1);
    assert_eq!(api.dispatch().await, 1);
    assert_eq!(api.aws.desired(BOX)["changeId"], new);
    let known = api.get(&format!("/v1/changes?thing={BOX}")).await.expect(200);
    let known: Vec<_> = known["items"].as_array().unwrap().iter().map(|change| &change["changeId"]).collect();
    assert_eq!(known, [&json!(new), &json!(id)]);
}
