//! Several replicas of the fleet API side by side: each takes wishes, one is killed, and every story ends
//! as if there were one.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Testbed, boxes::ApiClient, wait::until};

use crate::support::{BOUND, bed, ended, states};

const BOXES: usize = 3;
const ROUNDS: usize = 4;

#[tokio::test]
async fn three_replicas_do_each_thing_once_though_one_is_killed() {
    let mut bed = bed(BOXES).await;
    let mut second = bed.start_replica().await.unwrap();
    let mut third = bed.start_replica().await.unwrap();
    let doors = [bed.fleet_api.clone(), second.url.clone(), third.url.clone()];

    let mut changes = Vec::new();
    for round in 0..ROUNDS {
        let mut asked = Vec::new();
        for number in 0..BOXES {
            // Each box's wish by another door every time.
            asked.push(wish(&bed, &doors, number, round).await);
        }
        if round == 1 {
            // In the middle of things: its leases, its leadership and its transactions end with it.
            second.process.kill().await.unwrap();
            second = bed.start_replica_at(&second.url).await.unwrap();
        }
        if round == 2 {
            bed.kill_api().await.unwrap();
        }
        for change in asked {
            changes.push(ended_by(&doors, &bed, &change).await);
        }
        if round == 2 {
            bed.start_api().await.unwrap();
        }
    }

    for story in &changes {
        assert_eq!(story["state"], "applied", "{story:#}");
        let steps: Vec<_> = states(story).into_iter().filter(|state| *state != "trying").collect();
        assert_eq!(steps, ["queued", "sent", "applied"]);
        let id = story["changeId"].as_str().unwrap();
        let audit = bed.api.get(&format!("/v1/audit?changeId={id}&limit=100")).await.unwrap();
        assert_eq!(audit["items"].as_array().unwrap().len(), states(story).len(), "{audit:#}");
    }
    assert_eq!(ended(&bed, changes[0]["changeId"].as_str().unwrap()).await, changes[0]);
    third.process.ensure_alive().unwrap();
    third.process.stop().await.unwrap();
    second.process.stop().await.unwrap();
    bed.stop().await.unwrap();
}

/// Asks for it at one door, and at the next if that one does not answer.
async fn wish(bed: &Testbed, doors: &[String], number: usize, round: usize) -> String {
    let path = format!("/v1/devices/{}/lan", bed.boxes[number].thing);
    let lan = json!({"mode": "static", "address": format!("192.168.10.{}/24", 20 + round)});
    let wish = json!({"lan": lan, "reason": "test"});
    let mut at = number + round;
    let accepted = until("some replica takes the wish", BOUND, || {
        at += 1;
        let client = ApiClient::new(&doors[at % doors.len()], &bed.api_token).unwrap();
        let put = client.request(reqwest::Method::PUT, &path).json(&wish);
        let put = put.header("idempotency-key", format!("{number}-{round}")).timeout(Duration::from_secs(10));
        async move {
            match put.send().await {
                Ok(answer) if answer.status().is_success() => Ok(Some(answer.json::<Value>().await?)),
                _ => Ok(None),
            }
        }
    });
    accepted.await.unwrap()["changeId"].as_str().unwrap().to_owned()
}

/// As any replica that lives tells it.
async fn ended_by(doors: &[String], bed: &Testbed, change: &str) -> Value {
    let mut at = 0;
    let story = until("the change has ended", BOUND, || {
        at += 1;
        let client = ApiClient::new(&doors[at % doors.len()], &bed.api_token).unwrap();
        let path = format!("/v1/changes/{change}");
        async move {
            let Ok(story) = client.get(&path).await else { return Ok(None) };
            let is_open = ["queued", "sent", "trying"].iter().any(|state| story["state"] == *state);
            Ok((!is_open).then_some(story))
        }
    });
    story.await.unwrap()
}
