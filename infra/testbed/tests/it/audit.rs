//! The audit log, end to end: what a change leaves behind is chained and signed, an intruder's hand in it is
//! named, and after a restore log and ledger go on.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use aws_sdk_s3::{
    primitives::{ByteStream, DateTime},
    types::ObjectLockMode,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testbed::{Testbed, aws, process::Program, wait::until};

use crate::support::{BOUND, Bucket, bed, box_client::BoxClient, ended, uploads};

/// What the program says of the log, and whether it ended well.
async fn verify(bed: &Testbed) -> (bool, Value) {
    let (ended_well, told) = run(&bed.api_program().arg("audit").arg("verify").arg("--json")).await;
    (ended_well, serde_json::from_str(&told).unwrap())
}

async fn run(program: &Program) -> (bool, String) {
    let output = program.ended().await.unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// The report, once all that there is is chained and signed.
async fn signed(bed: &Testbed) -> Value {
    until("the whole log is signed", BOUND, || async {
        let report = bed.api.get("/v1/audit/verify").await?;
        let whole = report["waiting"] == 0 && report["last"] == report["checkpoint"];
        Ok((whole || report["intact"] == false).then_some(report))
    })
    .await
    .unwrap()
}

async fn as_superuser(bed: &Testbed, statement: &str) {
    let mut db = PgConnection::connect(&bed.superuser_url()).await.unwrap();
    sqlx::query("set session_replication_role = replica").execute(&mut db).await.unwrap();
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut db).await.unwrap();
}

#[tokio::test]
async fn a_change_is_chained_and_signed_and_an_altered_row_is_named() {
    let bed = bed(1).await;
    let thing = bed.boxes[0].thing.clone();
    let wish = json!({"lan": {"mode": "static", "address": "192.168.10.9/24"}, "reason": "new router"});
    let path = format!("/v1/devices/{thing}/lan");
    let change = bed.api.put(&path, &wish).await.unwrap()["changeId"].as_str().unwrap().to_owned();
    assert_eq!(ended(&bed, &change).await["state"], "applied");

    let report = signed(&bed).await;
    assert_eq!(report["intact"], true, "{report}");
    let (ended_well, told) = verify(&bed).await;
    assert!(ended_well, "{told}");
    let log = bed.api.get(&format!("/v1/audit?changeId={change}")).await.unwrap();
    let applied =
        log["items"].as_array().unwrap().iter().find(|it| it["action"] == "change.applied").unwrap();
    let seq = applied["seq"].as_i64().expect("it has its place");

    // The API's own role cannot do it; a superuser can, and is found out.
    let mut api_role = PgConnection::connect(&bed.database_url()).await.unwrap();
    let forge = format!("update audit_entries set actor = 'nobody' where entry_id = {}", applied["entryId"]);
    let refused = sqlx::query(AssertSqlSafe(forge.clone())).execute(&mut api_role).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied for table audit_entries"), "{refused}");
    as_superuser(&bed, &forge).await;

    let (ended_well, told) = verify(&bed).await;
    assert!(!ended_well);
    assert_eq!((&told["fault"]["kind"], &told["fault"]["seq"]), (&json!("altered"), &json!(seq)), "{told}");
    assert_eq!(bed.api.get("/v1/audit/verify").await.unwrap()["fault"], told["fault"]);
    let (ended_well, words) = run(&bed.api_program().arg("audit").arg("verify")).await;
    assert!(!ended_well && words.starts_with(&format!("row {seq} ")), "{words}");
    checkpoints_stay(&bed).await;
    bed.stop().await.unwrap();
}

/// Nobody puts one that could be taken back, and nobody takes back one that was put.
async fn checkpoints_stay(bed: &Testbed) {
    let (s3, bucket) = (aws::s3_as_admin(bed), bed.cloud.output("BucketName").unwrap());
    let put = |key: &str| s3.put_object().bucket(bucket).key(key).body(ByteStream::from_static(b"{}"));
    let until = |days: u64| DateTime::from(SystemTime::now() + Duration::from_hours(24 * days));
    let key = "audit/checkpoints/99999999999999999999.json";
    assert!(put(key).send().await.is_err(), "without a lock");
    let lock = |mode, days| put(key).object_lock_mode(mode).object_lock_retain_until_date(until(days));
    assert!(lock(ObjectLockMode::Governance, 2000).send().await.is_err(), "a lock that can be lifted");
    assert!(lock(ObjectLockMode::Compliance, 30).send().await.is_err(), "a lock for a month");
    let found = s3.list_object_versions().bucket(bucket).prefix("audit/checkpoints/").send().await.unwrap();
    let version = found.versions().first().expect("a checkpoint");
    let delete = s3.delete_object().bucket(bucket).key(version.key().unwrap());
    assert!(delete.version_id(version.version_id().unwrap()).send().await.is_err(), "it was taken back");
}

#[tokio::test]
async fn after_a_restore_the_ledger_is_what_the_bucket_has_and_the_log_says_what_was_lost() {
    let mut bed = bed(1).await;
    bed.boxes[0].stop_agent().await.unwrap();
    let thing = bed.boxes[0].thing.clone();
    let bucket = Bucket::of(&bed);
    send(&bed, &["a.csv"]).await;
    let backup = bed.folder.join("backup");
    bed.back_up(&backup).await.unwrap();
    send(&bed, &["山田.csv", "c.csv"]).await;
    let ids = ids(&uploads(&bed, &thing, 3).await);
    let before = signed(&bed).await;
    let lost_to = before["checkpoint"].as_i64().unwrap();

    bed.kill_api().await.unwrap();
    bed.restore(&backup).await.unwrap();
    let (ended_well, told) = verify(&bed).await;
    assert_eq!((ended_well, &told["fault"]["kind"]), (false, &json!("truncated")), "{told}");
    let lost_from = told["fault"]["seq"].clone();
    bed.start_api().await.unwrap();
    assert_eq!(uploads(&bed, &thing, 1).await.len(), 1);

    let rebuild =
        |program: Program| program.arg("ledger").arg("rebuild").flag("--since", "2026-01-01T00:00:00Z");
    // The API's own role cannot read what it needs for that.
    assert!(!run(&rebuild(bed.api_program())).await.0);
    let key = &bed.secrets.restore_key;
    let allowed =
        bed.api_program().env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret);
    let (ended_well, words) = run(&rebuild(allowed)).await;
    assert_eq!((ended_well, words.trim()), (true, "2 rows restored, 1 were there"));
    let restored = bed.api_program().arg("audit").arg("restored").flag("--reason", "backup of this morning");
    let (ended_well, words) = run(&restored).await;
    assert!(ended_well && words.starts_with(&format!("rows {lost_from} to {lost_to} were lost")), "{words}");

    let rows = uploads(&bed, &thing, 3).await;
    assert_eq!(self::ids(&rows), ids);
    let keys: BTreeSet<String> =
        rows.iter().map(|row| row["objectKey"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, bucket.keys().await.into_iter().collect());
    let after = until("the log goes on", BOUND, || async {
        let report = bed.api.get("/v1/audit/verify").await?;
        let signed = report["checkpoint"].as_i64().is_some_and(|seq| seq > lost_to + 1);
        Ok((signed || report["fault"]["kind"] == "altered").then_some(report))
    })
    .await
    .unwrap();
    assert_eq!(after["intact"], true, "{after}");
    assert_eq!(after["lost"], json!([{"from": lost_from, "to": lost_to}]));
    for id in &ids {
        proved(&bed, id).await.unwrap();
    }
    bed.stop().await.unwrap();
}

/// Waits until the upload is proved by the log.
async fn proved(bed: &Testbed, id: &str) -> Result<()> {
    until("the upload is proved", BOUND, || async {
        let (ended_well, told) = run(&bed.api_program().arg("audit").arg("verify-upload").arg(id)).await;
        anyhow::ensure!(ended_well || told.contains("ask again"), "{told}");
        Ok(ended_well.then_some(()))
    })
    .await
}

async fn send(bed: &Testbed, paths: &[&str]) {
    let client = BoxClient::of(bed, &bed.boxes[0]);
    let token = client.log_in().await.unwrap();
    for path in paths {
        let sent = client.upload(&token, path.as_bytes(), path.as_bytes()).send().await.unwrap();
        assert!(sent.status().is_success(), "{}", sent.status());
    }
}

fn ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| row["uploadId"].as_str().unwrap().to_owned()).collect()
}
