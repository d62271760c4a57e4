//! Uploads under the log's seal: one Merkle root a batch, and each is proved by it.

use fleet_api::fleet::audit::{
    Audit,
    keys::Keys,
    seal::{self, Proof, Unproved},
};
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    audit::{checkpoint, entries, report},
    support::{TestApi, Upload},
};

const BOX: &str = "tenpo-0042";

async fn with_uploads(db: PgPool, count: u8) -> (TestApi, Vec<String>) {
    let api = TestApi::new(db).await;
    api.register(BOX).await;
    let token = api.session(BOX, "box-token").await;
    let mut ids = Vec::new();
    for number in 0..count {
        let path = format!("{number}.csv");
        let rx = Upload { thing: BOX, path: &path, content: &[number], sequence: u64::from(number) + 1 };
        rx.send(&api, &token).await.expect(201);
        ids.push(rx.id().to_string());
    }
    (api, ids)
}

async fn prove(api: &TestApi, id: &str) -> Result<Proof, Unproved> {
    let audit = Audit {
        keys: Keys::new(&[5; 32], &[]).unwrap(),
        checkpoints: std::sync::Arc::new(api.aws.clone()),
        checkpoint_every: chrono::TimeDelta::minutes(5),
        retention: chrono::TimeDelta::days(5 * 366),
    };
    seal::prove(&audit, &mut api.db.acquire().await.unwrap(), id).await.unwrap()
}

async fn tamper(api: &TestApi, statement: &str) {
    let mut tx = api.db.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn every_upload_of_a_batch_is_proved_by_one_root(db: PgPool) {
    let (api, ids) = with_uploads(db, 7).await;
    assert_eq!(prove(&api, &ids[0]).await, Err(Unproved::NotYet));

    assert_eq!(seal::pass(&api.fleet).await.unwrap(), 7);
    assert_eq!(seal::pass(&api.fleet).await.unwrap(), 0, "sealed once");
    api.chain().await;
    assert_eq!(prove(&api, &ids[0]).await, Err(Unproved::NotYet), "nobody has signed it");
    entries(&api, 3).await;
    api.chain().await;
    checkpoint(&api).await;

    let mut roots = std::collections::BTreeSet::new();
    for id in &ids {
        let proof = prove(&api, id).await.unwrap();
        assert_eq!((proof.leaves, proof.path.len() <= 3), (7, true));
        roots.insert(proof.root);
    }
    assert_eq!(roots.len(), 1);
    let sealed = api.get("/v1/audit?limit=200").await.expect(200);
    let sealed = sealed["items"].as_array().unwrap().iter().filter(|it| it["action"] == "uploads.sealed");
    assert_eq!(sealed.count(), 1);
    assert_eq!(prove(&api, &"0".repeat(64)).await, Err(Unproved::Unknown));
    assert!(report(&api).await.intact);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn whatever_is_altered_between_the_ledger_and_the_signature_is_told(db: PgPool) {
    let (api, ids) = with_uploads(db, 5).await;
    seal::pass(&api.fleet).await.unwrap();
    entries(&api, 2).await;
    api.chain().await;
    checkpoint(&api).await;
    let seq = prove(&api, &ids[2]).await.unwrap().seq;

    // Undone after each: the next one begins from a log that is whole.
    for (statement, undo, told) in [
        (
            "update uploads set sha256 = reverse(sha256)",
            "update uploads set sha256 = reverse(sha256)",
            Unproved::Altered,
        ),
        (
            "update uploads set received_at = received_at + interval '1 second'",
            "update uploads set received_at = received_at - interval '1 second'",
            Unproved::Altered,
        ),
        (
            "update upload_seals set position = 10 - position",
            "update upload_seals set position = 10 - position",
            Unproved::OtherRoot,
        ),
        (
            "update audit_entries set reason = 'x' where action = 'uploads.sealed'",
            "update audit_entries set reason = null where action = 'uploads.sealed'",
            Unproved::BrokenChain(seq),
        ),
        (
            "update audit_entries set reason = 'x' where action = 'test.happened'",
            "update audit_entries set reason = 'because' where action = 'test.happened'",
            Unproved::BrokenChain(seq + 1),
        ),
    ] {
        tamper(&api, statement).await;
        assert_eq!(prove(&api, &ids[2]).await, Err(told), "{statement}");
        tamper(&api, undo).await;
        prove(&api, &ids[2]).await.unwrap();
    }
    tamper(&api, "update upload_seals set leaf = sha256(leaf) where upload_id <> (select min(upload_id) from upload_seals)")
        .await;
    let first = ids.iter().min().unwrap();
    assert_eq!(prove(&api, first).await, Err(Unproved::OtherRoot));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_seal_in_a_log_that_was_written_anew_proves_nothing(db: PgPool) {
    let (api, ids) = with_uploads(db, 2).await;
    seal::pass(&api.fleet).await.unwrap();
    entries(&api, 1).await;
    api.chain().await;
    checkpoint(&api).await;
    let proof = prove(&api, &ids[0]).await.unwrap();

    // Everything from the seal on is chained anew, and all hashes fit each other.
    for statement in [
        "update audit_entries set reason = 'x' where action = 'test.happened'",
        &format!("insert into audit_pending select entry_id from audit_chain where seq >= {}", proof.seq),
        &format!("delete from audit_chain where seq >= {}", proof.seq),
    ] {
        tamper(&api, statement).await;
    }
    let checkpoints = std::mem::take(&mut api.aws.state().checkpoints);
    api.chain().await;
    api.aws.state().checkpoints = checkpoints;

    assert_eq!(prove(&api, &ids[0]).await, Err(Unproved::BrokenCheckpoint(proof.checkpoint)));
}
