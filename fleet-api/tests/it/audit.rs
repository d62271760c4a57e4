//! The audit log: a chain that a leader appends to, checkpoints that vouch for it, and the log as a file.

use axum::{body::Body, http::Method};
use chrono::{TimeDelta, Utc};
use fleet_api::{
    fleet::audit::{Entry, chain::Chainer, checkpoint, export, keeping, verify::Report},
    store::{audit_entries, leadership},
};
use futures::TryStreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::support::{TestApi, Upload, request};

/// Long enough for a machine under load; nothing waits for it to pass.
const BOUND: std::time::Duration = std::time::Duration::from_secs(30);

/// Entries beside those of the tokens that each test has.
pub async fn entries(api: &TestApi, count: usize) {
    let by = fleet_api::fleet::actor::Actor::system();
    let mut db = api.db.acquire().await.unwrap();
    for number in 0..count {
        let mut entry = Entry::new(api.fleet.clock().now(), &by, "test.happened");
        (entry.after, entry.reason) = (Some(json!({"number": number, "name": "はな"})), Some("because"));
        audit_entries::add(&mut db, &entry).await.unwrap();
    }
}

pub async fn checkpoint(api: &TestApi) -> bool {
    checkpoint::pass(&api.fleet, TimeDelta::zero()).await.unwrap()
}

pub async fn report(api: &TestApi) -> Report {
    api.fleet.verify_audit().await.unwrap()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn every_entry_gets_its_place_and_the_log_verifies(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    api.wish("tenpo-0042", "192.168.10.9/24", json!({"ticket": "T-1"})).await;

    let chained = api.chain().await;
    assert!(checkpoint(&api).await);

    let all = api.count("audit_entries").await;
    assert_eq!((i64::try_from(chained).unwrap(), api.count("audit_pending").await), (all, 0));
    let told = api.get("/v1/audit/verify").await.expect(200);
    assert_eq!(told["intact"], true, "{told}");
    assert_eq!((&told["first"], &told["last"], &told["checkpoint"]), (&json!(1), &json!(all), &json!(all)));
    let page = api.get("/v1/audit?thing=tenpo-0042").await.expect(200);
    let entry = page["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&entry["action"], &entry["ticket"]), (&json!("change.queued"), &json!("T-1")));
    assert_eq!(entry["hash"].as_str().unwrap().len(), 64);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_chain_is_kept_up_without_anyone_asking(db: PgPool) {
    let api = TestApi::new(db).await;
    let stop = CancellationToken::new();
    let keeping = keeping::run(api.fleet.clone(), stop.clone());
    let story = async {
        entries(&api, 5).await;
        let since = std::time::Instant::now();
        while api.count("audit_pending").await > 0 {
            tokio::task::yield_now().await;
            assert!(since.elapsed() < BOUND, "nobody chains");
        }
        stop.cancel();
    };

    let (kept, ()) = tokio::join!(keeping, story);

    kept.unwrap();
    assert!(report(&api).await.intact);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn an_entry_whose_number_was_given_earlier_and_that_ends_later_is_not_left_out(db: PgPool) {
    let api = TestApi::new(db).await;
    let by = fleet_api::fleet::actor::Actor::system();
    let mut slow = api.db.begin().await.unwrap();
    audit_entries::add(&mut slow, &Entry::new(api.fleet.clock().now(), &by, "test.slow")).await.unwrap();
    entries(&api, 3).await;
    api.chain().await;

    slow.commit().await.unwrap();

    assert_eq!(api.chain().await, 1);
    let report = report(&api).await;
    assert!(report.intact, "{report}");
    assert_eq!(report.rows, api.count("audit_entries").await);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn one_replica_chains_at_a_time(db: PgPool) {
    let api = TestApi::new(db).await;
    let mut other = api.db.begin().await.unwrap();
    assert!(leadership::lead(&mut other, leadership::AUDIT_CHAIN).await.unwrap());

    assert_eq!(api.chain().await, 0);
    other.rollback().await.unwrap();

    assert!(api.chain().await > 0);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn replicas_that_chain_at_once_make_one_chain(db: PgPool) {
    let api = TestApi::new(db).await;
    let replica = async {
        let mut chainer = Chainer::default();
        for _ in 0..20 {
            api.fleet.chain_audit(&mut chainer).await.unwrap();
        }
    };
    tokio::join!(replica, entries(&api, 60), async {
        for _ in 0..20 {
            api.chain().await;
        }
    });
    api.chain().await;

    let report = report(&api).await;

    assert!(report.intact, "{report}");
    assert_eq!((report.rows, report.waiting), (api.count("audit_entries").await, 0));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_checkpoint_is_made_when_it_is_due_and_only_if_the_log_went_on(db: PgPool) {
    let api = TestApi::new(db).await;
    let every = TimeDelta::minutes(5);
    assert!(!checkpoint::pass(&api.fleet, every).await.unwrap(), "nothing is chained yet");
    api.chain().await;
    assert!(checkpoint::pass(&api.fleet, every).await.unwrap());
    api.wait(every);
    assert!(!checkpoint::pass(&api.fleet, every).await.unwrap(), "the log did not go on");
    entries(&api, 1).await;
    api.chain().await;
    assert!(checkpoint::pass(&api.fleet, every).await.unwrap());
    entries(&api, 1).await;
    api.chain().await;
    assert!(!checkpoint::pass(&api.fleet, every).await.unwrap(), "it is not due");

    let state = api.aws.state();
    let text = String::from_utf8(state.checkpoints[&3].0.clone()).unwrap();
    assert_eq!(state.checkpoints.len(), 2);
    assert!(text.starts_with(r#"{"version":1,"seq":3,"hash":""#), "{text}");
    let five_years = api.fleet.clock().now() + TimeDelta::days(5 * 365);
    assert!(state.checkpoints.values().all(|(_, until)| *until > five_years));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn a_checkpoint_that_the_bucket_has_and_the_database_lost_is_taken_up(db: PgPool) {
    let api = TestApi::new(db).await;
    api.chain().await;
    checkpoint(&api).await;
    let known = api.aws.state().checkpoints.clone();
    // As if the crash had come between the two.
    let mut tx = api.db.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    sqlx::query("delete from audit_checkpoints").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    api.wait(TimeDelta::minutes(1));

    assert!(checkpoint(&api).await);

    assert_eq!(api.aws.state().checkpoints, known);
    let at: chrono::DateTime<Utc> =
        sqlx::query_scalar("select signed_at from audit_checkpoints").fetch_one(&api.db).await.unwrap();
    assert_eq!(at, api.fleet.clock().now() - TimeDelta::minutes(1));
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_list_goes_by_place_and_shows_what_waits_behind_its_last_page(db: PgPool) {
    let api = TestApi::new(db).await;
    entries(&api, 4).await;
    api.chain().await;
    let first = api.get("/v1/audit?limit=5").await.expect(200);
    entries(&api, 2).await;

    assert_eq!(api.get("/v1/audit?limit=5").await.expect(200), first, "an earlier page never changes");
    let cursor = first["next"].as_str().unwrap().to_owned();
    let second = api.get(&format!("/v1/audit?limit=5&cursor={cursor}")).await.expect(200);

    let seqs = |page: &Value| -> Vec<Value> {
        page["items"].as_array().unwrap().iter().map(|it| it["seq"].clone()).collect()
    };
    assert_eq!(seqs(&first), [1, 2, 3, 4, 5].map(Value::from));
    assert_eq!(seqs(&second), [json!(6), json!(7), Value::Null, Value::Null]);
    assert_eq!(second["next"], Value::Null);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn the_log_comes_as_csv_and_as_json_lines(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let reason = "comma, \"quote\"\nline はな";
    api.wish("tenpo-0042", "192.168.10.9/24", json!({"reason": reason})).await;
    api.chain().await;

    let lines = file(&api, "jsonl&thing=tenpo-0042", "application/jsonl").await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let table = file(&api, "csv&thing=tenpo-0042", "text/csv; charset=utf-8; header=present").await;
    let mut table = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<std::collections::HashMap<String, String>> =
        table.deserialize().collect::<Result<_, _>>().unwrap();

    assert_eq!(rows.len(), lines.len());
    let (last, row) = (lines.last().unwrap(), rows.last().unwrap());
    assert_eq!((&last["action"], &last["reason"]), (&json!("change.queued"), &json!(reason)));
    assert_eq!((&*row["action"], &*row["reason"]), ("change.queued", reason));
    assert_eq!(row["hash"], last["hash"].as_str().unwrap());
    assert_eq!(serde_json::from_str::<Value>(&row["after"]).unwrap(), last["after"]);
    // Who took the log away stands in it too.
    api.chain().await;
    let taken = api.get("/v1/audit?limit=200").await.expect(200);
    let taken: Vec<&Value> =
        taken["items"].as_array().unwrap().iter().filter(|it| it["action"] == "audit.exported").collect();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[1]["actor"], "token:reader");
}

async fn file(api: &TestApi, what: &str, kind: &str) -> String {
    let path = format!("/v1/audit/export?format={what}");
    let app = fleet_api::router::router(api.fleet.clone(), axum::Router::new());
    let request: axum::http::Request<Body> = request(Method::GET, &path, Some(&api.reader), &Value::Null);
    let answer = app.oneshot(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &kind.parse().unwrap()));
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn an_export_of_many_pages_leaves_nothing_out(db: PgPool) {
    let api = TestApi::new(db).await;
    let insert = "insert into audit_entries (at, actor, actor_proof, origin, action)
        select now(), 'a', 'system', 'system', 'test.happened' from generate_series(1, 2500)";
    sqlx::query(insert).execute(&api.db).await.unwrap();
    let all = api.chain().await;

    let pieces = export::pieces(api.db.clone(), export::Format::Jsonl, export::Filter::default());
    let pieces: Vec<bytes::Bytes> = pieces.try_collect().await.unwrap();

    let text = String::from_utf8(pieces.concat()).unwrap();
    let seqs: Vec<i64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=i64::try_from(all).unwrap()).collect::<Vec<_>>());
    assert_eq!(pieces.len(), 3);
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn whoever_looks_at_what_is_known_of_prescriptions_stands_in_the_log(db: PgPool) {
    let api = TestApi::new(db).await;
    api.register("tenpo-0042").await;
    let token = api.session("tenpo-0042", "box-token").await;
    let rx = Upload { thing: "tenpo-0042", path: "山田.csv", content: b"x", sequence: 1 };
    rx.send(&api, &token).await.expect(201);

    api.get("/v1/uploads?thing=tenpo-0042").await.expect(200);
    api.get(&format!("/v1/uploads/{}", rx.id())).await.expect(200);

    let log = api.get("/v1/audit?thing=tenpo-0042").await.expect(200);
    let items = log["items"].as_array().unwrap();
    let of = |action: &str| items.iter().find(|it| it["action"] == action).unwrap();
    for action in ["uploads.listed", "upload.read"] {
        assert_eq!(of(action)["actor"], "token:reader");
        assert_eq!(of(action)["pharmacy"], "P-tenpo-0042");
    }
    assert_eq!(of("uploads.listed")["after"], json!({"thing": "tenpo-0042", "pharmacy": null, "uploads": 1}));
    assert_eq!(of("upload.read")["after"], json!({"uploadId": rx.id()}));
    assert!(!log.to_string().contains("山田"));
}
