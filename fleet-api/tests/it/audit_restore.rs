//! After a restore of the database the log goes on, and says what was lost.

use chrono::TimeDelta;
use fleet_api::fleet::{
    actor::Actor,
    audit::{
        chain::Chainer,
        checkpoint,
        verify::{Fault, Lost},
    },
};
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    audit::{checkpoint, entries, report},
    support::TestApi,
};

/// Puts the database back to where it was at row `seq`, the checkpoints in the bucket aside.
pub async fn restore_to(api: &TestApi, seq: i64) {
    let mut tx = api.db.begin().await.unwrap();
    for statement in [
        "set local session_replication_role = replica".to_owned(),
        format!(
            "delete from audit_entries where entry_id in (select entry_id from audit_chain where seq > {seq})"
        ),
        format!("delete from audit_chain where seq > {seq}"),
        format!("delete from audit_checkpoints where seq > {seq}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// A log of ten rows whose database was restored to row six.
async fn restored(db: PgPool) -> TestApi {
    let api = TestApi::new(db).await;
    entries(&api, 3).await;
    api.chain().await;
    checkpoint(&api).await;
    entries(&api, 4).await;
    api.chain().await;
    checkpoint(&api).await;
    restore_to(&api, 6).await;
    api
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_signed_record_names_what_was_lost_and_the_log_goes_on(db: PgPool) {
    let api = restored(db).await;
    entries(&api, 2).await;
    assert!(
        api.fleet.chain_audit(&mut Chainer::default()).await.is_err(),
        "nobody has said that it was a restore"
    );
    assert_eq!(report(&api).await.fault, Some(Fault::Truncated { seq: 7, checkpoint: 10 }));

    let lost = api.fleet.restored(&Actor::cli(), "backup of 3 o'clock").await.unwrap().unwrap();

    assert_eq!((lost.lost_from, lost.lost_to), (7, 10));
    assert_eq!(api.chain().await, 2);
    let told = report(&api).await;
    assert!(told.intact, "{told}");
    assert_eq!(told.lost, [Lost { from: 7, to: 10 }]);
    assert_eq!(
        (told.last, told.checkpoint),
        (Some(13), Some(6)),
        "the lost rows' checkpoint vouches for nothing"
    );
    assert!(checkpoint(&api).await);
    let told = report(&api).await;
    assert_eq!((told.intact, told.checkpoint), (true, Some(13)), "{told}");
    assert_eq!(api.fleet.restored(&Actor::cli(), "again").await.unwrap(), None, "once is enough");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_gap_that_no_record_of_ours_names_is_a_fault(db: PgPool) {
    let api = restored(db).await;
    api.fleet.restored(&Actor::cli(), "backup").await.unwrap().unwrap();
    // Somebody takes away one more row and says that the restore did it.
    restore_away(&api, 6).await;

    assert_eq!(report(&api).await.fault, Some(Fault::Missing { seq: 6 }));
}

async fn restore_away(api: &TestApi, seq: i64) {
    let mut tx = api.db.begin().await.unwrap();
    for statement in [
        "set local session_replication_role = replica".to_owned(),
        format!(
            "delete from audit_entries where entry_id in (select entry_id from audit_chain where seq = {seq})"
        ),
        format!("delete from audit_chain where seq = {seq}"),
        r#"update audit_entries set after = after || '{"lostFrom": 6}' where action = 'audit.restored'"#
            .to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_process_that_runs_on_notices_that_its_database_was_put_back(db: PgPool) {
    let api = TestApi::new(db).await;
    let mut chainer = Chainer::default();
    entries(&api, 5).await;
    api.fleet.chain_audit(&mut chainer).await.unwrap();
    checkpoint(&api).await;
    restore_to(&api, 4).await;
    entries(&api, 1).await;

    assert!(api.fleet.chain_audit(&mut chainer).await.is_err());

    assert_eq!(report(&api).await.fault, Some(Fault::Truncated { seq: 5, checkpoint: 8 }));
    api.wait(TimeDelta::hours(1));
    assert!(checkpoint::pass(&api.fleet, TimeDelta::zero()).await.is_ok());
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_log_of_which_nothing_is_left_goes_on_too(db: PgPool) {
    let api = restored(db).await;
    restore_to(&api, 0).await;

    let lost = api.fleet.restored(&Actor::cli(), "no backup").await.unwrap().unwrap();

    assert_eq!((lost.lost_from, lost.lost_to), (1, 10));
    let told = report(&api).await;
    assert!(told.intact, "{told}");
    assert_eq!(told.first, Some(11));
}
