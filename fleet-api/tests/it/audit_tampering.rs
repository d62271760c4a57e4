//! Whatever somebody with every right in the database does to the log, verifying names the first row it is
//! wrong at.

use chrono::TimeDelta;
use fleet_api::fleet::audit::{
    Audit,
    keys::Keys,
    verify::{Fault, Report, verify},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::{
    audit::{checkpoint, entries, report},
    support::TestApi,
};

/// Rows of the log that is tampered with.
const ROWS: i64 = 40;
const CASES: usize = 200;

#[derive(Debug, Clone)]
enum Tampering {
    /// A field of the entry at that row.
    Alter(i64, usize),
    AlterHash(i64),
    AlterTime(i64),
    DeleteEntry(i64),
    DeleteRow(i64),
    CutOff(i64),
    /// The entries of two rows change places.
    Swap(i64, i64),
    /// A row is put in before that one, and the others move up.
    Insert(i64),
    /// An entry of somebody's making stands behind the last row.
    Append,
    /// An entry is put in that has no row.
    Slip,
}

const FIELDS: [&str; 10] = [
    "actor = 'token:other'",
    "actor_proof = 'forged'",
    "origin = 'forged'",
    "ip = '192.0.2.1'",
    "action = 'test.else'",
    "at = at + interval '1 microsecond'",
    "after = after || '{\"number\": -1}'",
    "before = 'null'",
    // What has no reason gets an empty one, and what has one loses it.
    "reason = case when reason is null then '' end",
    "change_id = ''",
];

fn tampering() -> impl Strategy<Value = Tampering> {
    let row = || 1..=ROWS;
    prop_oneof![
        (row(), 0..FIELDS.len()).prop_map(|(row, field)| Tampering::Alter(row, field)),
        row().prop_map(Tampering::AlterHash),
        row().prop_map(Tampering::AlterTime),
        row().prop_map(Tampering::DeleteEntry),
        row().prop_map(Tampering::DeleteRow),
        row().prop_map(Tampering::CutOff),
        (1..ROWS, 1..ROWS).prop_map(|(a, b)| Tampering::Swap(a.min(b), a.max(b) + 1)),
        row().prop_map(Tampering::Insert),
        Just(Tampering::Append),
        Just(Tampering::Slip),
    ]
}

impl Tampering {
    fn statements(&self) -> Vec<String> {
        let entry = |row: &i64| format!("(select entry_id from audit_chain where seq = {row})");
        match self {
            Self::Alter(row, field) => {
                vec![format!("update audit_entries set {} where entry_id = {}", FIELDS[*field], entry(row))]
            }
            Self::AlterHash(row) => {
                vec![format!("update audit_chain set hash = sha256(hash) where seq = {row}")]
            }
            Self::AlterTime(row) => {
                vec![format!(
                    "update audit_chain set chained_at = chained_at + interval '1 ms' where seq = {row}"
                )]
            }
            Self::DeleteEntry(row) => {
                vec![format!("delete from audit_entries where entry_id = {}", entry(row))]
            }
            // Its entry as well, or that would be found too.
            Self::DeleteRow(row) => vec![
                format!("delete from audit_entries where entry_id = {}", entry(row)),
                format!("delete from audit_chain where seq = {row}"),
            ],
            Self::CutOff(row) => vec![
                format!(
                    "delete from audit_entries where entry_id in (select entry_id from audit_chain where seq >= {row})"
                ),
                format!("delete from audit_chain where seq >= {row}"),
                // And whoever does that forgets the checkpoints that the database knows of.
                "delete from audit_checkpoints".to_owned(),
            ],
            Self::Swap(a, b) => vec![format!(
                "update audit_chain set entry_id = case seq when {a} then {} else {} end where seq in ({a}, {b})",
                entry(b),
                entry(a)
            )],
            Self::Insert(row) => vec![
                format!("update audit_chain set seq = seq + 1000 where seq >= {row}"),
                "update audit_chain set seq = seq - 999 where seq > 1000".to_owned(),
                FORGED.to_owned(),
                format!(
                    "insert into audit_chain select {row}, max(entry_id), now(), sha256('x') from audit_entries"
                ),
            ],
            Self::Append => vec![
                FORGED.to_owned(),
                format!(
                    "insert into audit_chain select {}, max(entry_id), now(), sha256('x') from audit_entries",
                    ROWS + 1
                ),
            ],
            Self::Slip => vec![FORGED.to_owned()],
        }
    }

    /// The first row that is wrong. None: there is no such row, only an entry.
    fn first_bad(&self) -> Option<i64> {
        match self {
            Self::Alter(row, _)
            | Self::AlterHash(row)
            | Self::AlterTime(row)
            | Self::DeleteEntry(row)
            | Self::DeleteRow(row)
            | Self::CutOff(row)
            | Self::Swap(row, _)
            | Self::Insert(row) => Some(*row),
            Self::Append => Some(ROWS + 1),
            Self::Slip => None,
        }
    }
}

const FORGED: &str = "insert into audit_entries (at, actor, actor_proof, origin, action)
    values (now(), 'token:forged', 'api_token', 'api', 'test.forged')";

/// What verifying says once `statements` were run with every right and no trigger; nothing of it stays.
async fn after(db: &mut PgConnection, audit: &Audit, statements: &[String]) -> Report {
    let mut tx = db.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *tx).await.unwrap();
    }
    let report = verify(audit, &mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    report
}

async fn log(db: PgPool) -> (TestApi, Audit) {
    let api = TestApi::new(db).await;
    let others = api.count("audit_entries").await;
    let half = usize::try_from(ROWS / 2).unwrap();
    entries(&api, half).await;
    api.chain().await;
    checkpoint(&api).await;
    entries(&api, half - usize::try_from(others).unwrap()).await;
    api.chain().await;
    checkpoint(&api).await;
    let audit = Audit {
        keys: Keys::new(&[5; 32], &[]).unwrap(),
        checkpoints: std::sync::Arc::new(api.aws.clone()),
        checkpoint_every: TimeDelta::minutes(5),
        retention: TimeDelta::days(5 * 366),
    };
    (api, audit)
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_first_bad_row_is_always_named(db: PgPool) {
    let (api, audit) = log(db).await;
    let mut db = api.db.acquire().await.unwrap();
    assert!(after(&mut db, &audit, &[]).await.intact);
    let mut runner = TestRunner::default();

    for _ in 0..CASES {
        let tampering = tampering().new_tree(&mut runner).unwrap().current();
        let report = after(&mut db, &audit, &tampering.statements()).await;
        let fault = report.fault.unwrap_or_else(|| panic!("{tampering:?} was not noticed"));
        assert_eq!(fault.seq(), tampering.first_bad(), "{tampering:?}: {fault:?}");
    }
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_log_that_was_written_anew_whole_is_told_by_the_checkpoints_around_it(db: PgPool) {
    let (api, audit) = log(db).await;
    // From row 30 on, behind the checkpoint of row 20, everything is chained anew over other entries.
    let mut tx = api.db.begin().await.unwrap();
    for statement in [
        "set local session_replication_role = replica",
        "update audit_entries set actor = 'token:other'
             where entry_id = (select entry_id from audit_chain where seq = 30)",
        "insert into audit_pending select entry_id from audit_chain where seq >= 30",
        "delete from audit_chain where seq >= 30",
        "delete from audit_checkpoints where seq > 30",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let checkpoints = std::mem::take(&mut api.aws.state().checkpoints);
    api.chain().await;
    api.aws.state().checkpoints = checkpoints;

    let report = verify(&audit, &mut api.db.acquire().await.unwrap()).await.unwrap();

    let seen = *api.aws.state().checkpoints.first_key_value().unwrap().0;
    assert_eq!(report.fault, Some(Fault::Rewritten { seq: seen + 1, until: ROWS }), "{report}");
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_checkpoint_that_nobody_of_ours_signed_is_no_proof(db: PgPool) {
    let (api, audit) = log(db).await;
    let foreign = Audit { keys: Keys::new(&[6; 32], &[]).unwrap(), ..audit };

    let report = verify(&foreign, &mut api.db.acquire().await.unwrap()).await.unwrap();

    assert_eq!(report.fault, Some(Fault::Forged { seq: ROWS }));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn what_was_cut_off_is_not_chained_over(db: PgPool) {
    let (api, _) = log(db).await;
    let mut tx = api.db.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    for statement in Tampering::CutOff(35).statements() {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    entries(&api, 1).await;

    let chained = api.fleet.chain_audit(&mut fleet_api::fleet::audit::chain::Chainer::default()).await;

    let told = chained.unwrap_err().to_string();
    assert!(told.contains("ends at row 34") && told.contains("row 40"), "{told}");
    assert_eq!(report(&api).await.fault, Some(Fault::Truncated { seq: 35, checkpoint: ROWS }));
}
