//! The ledger rebuilt from the bucket, after the database was put back to an older backup.

use chrono::{DateTime, Utc};
use fleet_api::fleet::{
    ledger::{self, Rebuilt},
    sealing::PathKeys,
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, Upload};

const BOX: &str = "tenpo-0042";

async fn rebuild(api: &TestApi, since: &str) -> Rebuilt {
    let (keys, now) = (PathKeys::derive(&[7; 32]), api.fleet.clock().now());
    ledger::rebuild(&api.db, &api.aws, &keys, since.parse().unwrap(), now).await.unwrap()
}

fn rx(path: &str, sequence: u64) -> Upload<'_> {
    Upload { thing: BOX, path, content: path.as_bytes(), sequence }
}

/// What the API shows, the times aside, which are the bucket's after a rebuild.
async fn ledger(api: &TestApi) -> Vec<Value> {
    let all = api.get("/v1/uploads?limit=200").await.expect(200);
    let mut items = all["items"].as_array().unwrap().clone();
    for item in &mut items {
        item.as_object_mut().unwrap().remove("receivedAt");
    }
    items.sort_by_key(|item| item["uploadId"].as_str().unwrap().to_owned());
    items
}

/// As if the database came from a backup that knew only what is at `kept`.
async fn restore(api: &TestApi, kept: &str) {
    let mut tx = api.db.begin().await.unwrap();
    for statement in [
        "set local session_replication_role = replica",
        "delete from observations where upload_id <> $1",
        "delete from uploads where upload_id <> $1",
        "delete from uploads_unsealed",
    ] {
        let query = sqlx::query(statement);
        let query = if statement.contains("$1") { query.bind(kept) } else { query };
        query.execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn after_a_rebuild_the_ledger_is_what_the_bucket_has(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let token = api.session(BOX, "box-token").await;
    for (number, path) in ["a.csv", "山田.csv", "b.csv", "c.csv", "d.csv"].iter().enumerate() {
        rx(path, number as u64 + 1).send(&api, &token).await.expect(201);
    }
    let now = api.fleet.clock().now();
    let keys: Vec<String> = api.aws.state().objects.keys().cloned().collect();
    api.aws.state().stored_at.extend(keys.into_iter().map(|key| (key, now)));
    let before = ledger(&api).await;
    restore(&api, &rx("a.csv", 1).id().to_string()).await;
    assert_eq!(ledger(&api).await.len(), 1);

    let rebuilt = rebuild(&api, "2026-11-21T00:00:00Z").await;

    assert_eq!(rebuilt, Rebuilt { restored: 4, present: 1, unusable: Vec::new() });
    assert_eq!(ledger(&api).await, before);
    assert_eq!(rebuild(&api, "2026-11-21T00:00:00Z").await, Rebuilt { present: 5, ..Rebuilt::default() });
    // The box goes on above what it used, and what was restored is sealed anew.
    assert_eq!(api.count("uploads_unsealed").await, 4);
    rx("山田.csv", 2).send(&api, &token).await.expect(200);
    let log = api.get("/v1/audit?limit=200").await.expect(200);
    let entry = log["items"].as_array().unwrap().iter().find(|it| it["action"] == "ledger.rebuilt").unwrap();
    assert_eq!(entry["after"]["restored"], json!(4));
    assert!(!log.to_string().contains("山田"));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_older_than_asked_for_or_does_not_fit_its_key_is_no_row(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let token = api.session(BOX, "box-token").await;
    for (sequence, path) in (1..).zip(["old.csv", "new.csv", "odd.csv", "mixed.csv"]) {
        rx(path, sequence).send(&api, &token).await.expect(201);
    }
    let key = |path: &str| format!("rx/{BOX}/{}", rx(path, 1).id());
    let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    {
        let mut state = api.aws.state();
        state.stored_at.insert(key("old.csv"), time("2026-11-20T00:00:00Z"));
        state.stored_at.insert(key("new.csv"), time("2026-11-22T00:00:00Z"));
        state.stored_at.insert(key("odd.csv"), time("2026-11-22T00:00:00Z"));
        // Another upload's metadata.
        let other = state.objects[&key("new.csv")].1.clone();
        // And a hash that is not the one of which the key was made.
        state.stored_at.insert(key("mixed.csv"), time("2026-11-22T00:00:00Z"));
        let hash = other.iter().find(|(name, _)| *name == "sha256").unwrap().clone();
        let mixed = &mut state.objects.get_mut(&key("mixed.csv")).unwrap().1;
        *mixed.iter_mut().find(|(name, _)| *name == "sha256").unwrap() = hash;
        state.objects.get_mut(&key("odd.csv")).unwrap().1 = other;
    }
    restore(&api, "").await;

    let mut rebuilt = rebuild(&api, "2026-11-21T00:00:00Z").await;

    rebuilt.unusable.sort();
    let mut unusable = vec![key("odd.csv"), key("mixed.csv")];
    unusable.sort();
    assert_eq!(rebuilt, Rebuilt { restored: 1, present: 0, unusable });
    let rows = ledger(&api).await;
    assert_eq!((rows.len(), &rows[0]["uploadId"]), (1, &json!(rx("new.csv", 2).id())));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_box_that_the_backup_did_not_know_comes_back_with_its_uploads(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let token = api.session(BOX, "box-token").await;
    rx("a.csv", 1).send(&api, &token).await.expect(201);
    let now = api.fleet.clock().now();
    api.aws.state().stored_at.insert(format!("rx/{BOX}/{}", rx("a.csv", 1).id()), now);
    restore(&api, "").await;
    for table in ["sessions", "certificates", "enrolment_codes", "assignments", "things"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table}"))).execute(&api.db).await.unwrap();
    }

    assert_eq!(rebuild(&api, "2026-11-21T00:00:00Z").await.restored, 1);

    assert_eq!(ledger(&api).await[0]["thing"], BOX);
    api.get(&format!("/v1/devices/{BOX}")).await.expect(200);
}
