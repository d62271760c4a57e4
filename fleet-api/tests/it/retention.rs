//! Partitions of the log are made ahead and dropped when they are old, below a checkpoint; old uploads go in
//! bounded bites. Nothing younger than the law allows goes.

use chrono::TimeDelta;
use fleet_api::{
    fleet::audit::{
        keeping::{Kept, keep},
        verify::Fault,
    },
    store::retention,
};
use sqlx::PgPool;

use crate::{
    audit::{checkpoint, entries, report},
    support::{TestApi, Upload},
};

/// Small partitions in place of those that the migration made.
async fn small_partitions(db: &PgPool, ahead: i32) {
    let mut tx = db.begin().await.unwrap();
    for statement in [
        "alter table audit_entries detach partition audit_entries_1",
        "drop table audit_entries_1000001, audit_entries_2000001, audit_entries_1",
        "drop table audit_chain_1, audit_chain_1000001",
        "delete from audit_partitions",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    retention::make_ahead(&mut tx, 100, ahead).await.unwrap();
    tx.commit().await.unwrap();
}

async fn years_ago(db: PgPool, years: i64) -> TestApi {
    small_partitions(&db, 5).await;
    let api = TestApi::new(db).await;
    let now = api.fleet.clock().now();
    api.wait(-TimeDelta::days(366 * years));
    entries(&api, 297).await;
    api.chain().await;
    api.wait(now - api.fleet.clock().now());
    api
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn room_is_made_before_it_is_needed(db: PgPool) {
    small_partitions(&db, 3).await;
    let api = TestApi::new(db).await;

    for _ in 0..5 {
        entries(&api, 100).await;
        api.chain().await;
        keep(&api.fleet, 100).await.unwrap();
    }

    assert_eq!(keep(&api.fleet, 100).await.unwrap(), Kept::default(), "there is enough now");
    assert_eq!(report(&api).await.rows, 503);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn an_old_partition_goes_below_a_checkpoint_and_the_rest_still_verifies(db: PgPool) {
    let api = years_ago(db, 6).await;
    checkpoint(&api).await;

    let mut dropped = Vec::new();
    for _ in 0..6 {
        dropped.extend(keep(&api.fleet, 100).await.unwrap().dropped);
    }

    // The first rows are the tokens' entries, of today; but they were chained six years ago, as was the rest.
    // The last partition is full, and nothing stands behind it yet: it stays.
    assert_eq!(dropped.first().map(String::as_str), Some("audit_chain_1"));
    assert!(dropped.contains(&"audit_chain_101".to_owned()), "{dropped:?}");
    assert!(!dropped.contains(&"audit_chain_201".to_owned()), "{dropped:?}");
    let told = report(&api).await;
    assert!(told.intact, "{told}");
    assert_eq!((told.first, told.last, told.checkpoint), (Some(201), Some(300), Some(300)));
    assert!(api.aws.state().checkpoints.contains_key(&200));
    // Without the checkpoint that it stands on, what is left proves nothing.
    api.aws.state().checkpoints.remove(&200);
    assert_eq!(report(&api).await.fault, Some(Fault::Missing { seq: 1 }));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_is_younger_than_the_retention_stays(db: PgPool) {
    let api = years_ago(db, 4).await;
    checkpoint(&api).await;

    assert_eq!(keep(&api.fleet, 100).await.unwrap().dropped, None);
    // Nor does the schema give away what the law wants kept, whoever asks.
    let tomorrow = api.fleet.clock().now() + TimeDelta::days(1);
    let api = {
        api.wait(TimeDelta::zero());
        api
    };
    let mut db = api.db.acquire().await.unwrap();
    sqlx::query(
        "insert into audit_checkpoints select seq, hash, now(), '', '' from audit_chain where seq = 100",
    )
    .execute(&mut *db)
    .await
    .unwrap();
    assert_eq!(retention::drop_one(&mut db, tomorrow).await.unwrap().as_deref(), Some("audit_chain_1"));
    sqlx::query(
        "insert into audit_checkpoints select seq, hash, now(), '', '' from audit_chain where seq = 200",
    )
    .execute(&mut *db)
    .await
    .unwrap();
    sqlx::query("set session_replication_role = replica").execute(&mut *db).await.unwrap();
    sqlx::query("update audit_chain set chained_at = now() - interval '2 years' where seq = 150")
        .execute(&mut *db)
        .await
        .unwrap();
    assert_eq!(retention::drop_one(&mut db, tomorrow).await.unwrap(), None);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_partition_without_a_checkpoint_stays_however_old_it_is(db: PgPool) {
    let api = years_ago(db, 6).await;
    let now = api.fleet.clock().now();

    let dropped = retention::drop_one(&mut api.db.acquire().await.unwrap(), now).await.unwrap();

    assert_eq!(dropped, None);
    // And with S3 away no checkpoint is made, so nothing goes.
    api.aws.state().down = true;
    assert!(keep(&api.fleet, 100).await.is_err());
    assert_eq!(report_count(&api).await, 300);
}

async fn report_count(api: &TestApi) -> i64 {
    api.count("audit_chain").await
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn old_uploads_are_forgotten_in_bites_and_young_ones_stay(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let token = api.session("tenpo-0042", "box-token").await;
    for (sequence, path) in (1..).zip(["a", "b", "c", "d"]) {
        let rx = Upload { thing: "tenpo-0042", path, content: b"x", sequence };
        rx.send(&api, &token).await.expect(201);
    }
    for statement in [
        "update uploads set received_at = now() - interval '6 years' where object_key in
             (select object_key from uploads order by upload_id limit 3)",
        "update uploads set received_at = now() - interval '2 years' where object_key not in
             (select object_key from uploads order by upload_id limit 3)",
    ] {
        sqlx::query(statement).execute(&api.db).await.unwrap();
    }
    let tomorrow = api.fleet.clock().now() + TimeDelta::days(1);
    let mut db = api.db.acquire().await.unwrap();

    assert_eq!(retention::forget_uploads(&mut db, tomorrow, 2).await.unwrap(), 2);
    assert_eq!(retention::forget_uploads(&mut db, tomorrow, 2).await.unwrap(), 1);
    assert_eq!(retention::forget_uploads(&mut db, tomorrow, 2).await.unwrap(), 0, "the law wants it kept");

    assert_eq!((api.count("uploads").await, api.count("observations").await), (1, 1));
    // Nobody else takes an observation away, the owner included.
    assert!(sqlx::query("delete from observations").execute(&mut *db).await.is_err());
}
