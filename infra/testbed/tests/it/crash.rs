//! The fleet API is killed at every step of a change and of an upload: before each write, and after one
//! whose answer is lost. Started again, it brings the story to its true end, once.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Testbed, wait::until};

use crate::support::{
    BOUND, Bucket, bed, ended, save,
    sql_gate::{Side, SqlGate},
    states, uploads,
};

/// What a change writes on its way, each told by a part of its statement; an upload's is one statement.
const OF_A_CHANGE: [&str; 10] = [
    "insert into lan_changes",
    "insert into change_steps",
    "insert into audit_entries",
    "set dispatched_until = now()",
    "set handed_over_at",
    "set shadow_version",
    "set dispatched_until = null",
    "set reported",
    "lan_changes set state",
    "insert into change_sights",
];
const OF_AN_UPLOAD: [&str; 1] = ["insert into uploads"];

#[tokio::test]
async fn a_change_ends_truly_wherever_the_api_was_killed() {
    let (mut bed, gate) = gated_bed().await;
    change(&bed, "record", 10).await.unwrap();
    let points = points(&gate, &OF_A_CHANGE, "COMMIT");

    for (number, (statement, side)) in points.iter().enumerate() {
        let name = format!("{side:?} {statement}");
        let (key, host) = (format!("kill-{number}"), 20 + number % 200);
        gate.stop_at(statement, *side);
        tokio::select! {
            story = change(&bed, &key, host) => panic!("{name} was not asked for: {story:#?}"),
            () = gate.reached() => bed.kill_api().await.unwrap(),
        }
        bed.start_api().await.unwrap();
        let story = change(&bed, &key, host).await.unwrap();
        assert_eq!(story["state"], "applied", "{name}: {story:#}");
        let steps: Vec<_> = states(&story).into_iter().filter(|state| *state != "trying").collect();
        assert_eq!(steps, ["queued", "sent", "applied"], "{name}");
        assert_entries(&bed, &story, &name).await;
    }
    // One change a wish, whatever was asked twice.
    let changes = bed.api.get("/v1/changes?limit=200").await.unwrap();
    assert_eq!(changes["items"].as_array().unwrap().len(), points.len() + 1);
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_prescription_is_received_once_wherever_the_api_was_killed() {
    let (mut bed, gate) = gated_bed().await;
    gate.take_seen();
    save(&bed.boxes[0], "0.txt", b"prescription 0").await;
    let thing = bed.boxes[0].thing.clone();
    uploads(&bed, &thing, 1).await;
    let points = points(&gate, &OF_AN_UPLOAD, OF_AN_UPLOAD[0]);

    for (number, (statement, side)) in (1..).zip(&points) {
        gate.stop_at(statement, *side);
        save(&bed.boxes[0], &format!("{number}.txt"), format!("prescription {number}").as_bytes()).await;
        tokio::select! {
            _ = uploads(&bed, &thing, number + 1) => panic!("{side:?} {statement} was not asked for"),
            () = gate.reached() => bed.kill_api().await.unwrap(),
        }
        bed.start_api().await.unwrap();
        uploads(&bed, &thing, number + 1).await;
    }
    let mut listed: Vec<String> = uploads(&bed, &thing, points.len() + 1)
        .await
        .iter()
        .map(|upload| upload["objectKey"].as_str().unwrap().to_owned())
        .collect();
    let mut kept = Bucket::of(&bed).keys().await;
    listed.sort();
    kept.sort();
    assert_eq!(listed, kept, "the ledger is what the bucket is");
    bed.stop().await.unwrap();
}

/// A running system whose API reaches Postgres through a gate.
async fn gated_bed() -> (Testbed, SqlGate) {
    let mut bed = bed(1).await;
    let gate = SqlGate::before(&bed.database_url()).await.unwrap();
    let url = gate.url(&bed.database_url());
    // What the cloud's rules hint at while the API is dead is lost.
    let settings = [("DATABASE_URL", &*url), ("RECEHUB_RECONCILE_SECONDS", "1")];
    bed.restart_api_with(&settings).await.unwrap();
    (bed, gate)
}

/// Where to kill: before each of these writes (who dies before a reading dies after what was written before
/// it), and after one whose answer is lost.
fn points(gate: &SqlGate, writes: &[&str], lost: &str) -> Vec<(String, Side)> {
    let seen = gate.take_seen();
    let find = |part: &str| {
        let found = seen.iter().find(|statement| statement.contains(part));
        found.unwrap_or_else(|| panic!("no `{part}` among {seen:#?}")).clone()
    };
    let before = writes.iter().map(|part| (find(part), Side::Before));
    before.chain([(find(lost), Side::After)]).collect()
}

/// Asks for a change as a client does that does not give up, and waits for its end. None: the API died.
async fn change(bed: &Testbed, key: &str, host: usize) -> Option<Value> {
    let path = format!("/v1/devices/{}/lan", bed.boxes[0].thing);
    let wish =
        json!({"lan": {"mode": "static", "address": format!("192.168.10.{host}/24")}, "reason": "test"});
    let accepted = until("the wish is taken", BOUND, || async {
        let put = bed.api.request(reqwest::Method::PUT, &path).header("idempotency-key", key).json(&wish);
        let answer = put.timeout(Duration::from_secs(10)).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(Some(answer.json::<Value>().await?)),
            _ => Ok(None),
        }
    })
    .await
    .ok()?;
    Some(ended(bed, accepted["changeId"].as_str()?).await)
}

async fn assert_entries(bed: &Testbed, story: &Value, name: &str) {
    let id = story["changeId"].as_str().unwrap();
    let audit = bed.api.get(&format!("/v1/audit?changeId={id}&limit=100")).await.unwrap();
    let mut actions: Vec<&str> =
        audit["items"].as_array().unwrap().iter().filter_map(|entry| entry["action"].as_str()).collect();
    actions.sort_unstable();
    let mut expected: Vec<String> = states(story).iter().map(|state| format!("change.{state}")).collect();
    expected.sort();
    assert_eq!(actions, expected, "{name}");
}
