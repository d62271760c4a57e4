//! A box that is away, or that dies at any step: the change waits, and its story ends truthfully.

use serde_json::{Value, json};
use testbed::{Testbed, boxes::RecehubBox};

use crate::support::{bed, ended, reaches, states};

#[tokio::test]
async fn a_change_waits_for_a_box_that_is_away() {
    let mut bed = bed(1).await;
    bed.boxes[0].stop_agent().await.unwrap();

    let change = change_lan(&bed, "192.168.10.9/24").await;
    let waiting = reaches(&bed, &change, "sent").await;
    assert_eq!(waiting["state"], "sent");
    assert_eq!(running(&bed.boxes[0])["mode"], "dhcp");
    bed.boxes[0].start_agent().unwrap();

    let story = ended(&bed, &change).await;
    assert_eq!(story["state"], "applied");
    assert_eq!(running(&bed.boxes[0])["address"], "192.168.10.9/24");
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_box_killed_at_any_step_tells_the_truth_afterwards() {
    let mut bed = bed(1).await;
    for (number, step) in ["staged", "trying", "committing"].into_iter().enumerate() {
        let address = format!("192.168.10.{}/24", 20 + number);
        bed.boxes[0].hold_at(step).unwrap();
        let change = change_lan(&bed, &address).await;
        bed.boxes[0].held_at(step).await.unwrap();

        bed.boxes[0].kill_agent().await.unwrap();
        bed.boxes[0].release(step).unwrap();
        bed.boxes[0].start_agent().unwrap();

        let story = ended(&bed, &change).await;
        assert_eq!(story["state"], "applied", "killed at {step}: {story:#}");
        assert_eq!(running(&bed.boxes[0])["address"], address.as_str(), "killed at {step}");
        assert_eq!(saved(&bed.boxes[0]), running(&bed.boxes[0]), "killed at {step}");
    }
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_box_killed_while_rolling_back_ends_on_the_old_settings() {
    let mut bed = bed(1).await;
    let before = running(&bed.boxes[0]);
    std::fs::create_dir_all(bed.boxes[0].lan()).unwrap();
    std::fs::File::create(bed.boxes[0].lan().join("probe-fault"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"GATEWAY_SILENT"))
        .unwrap();
    bed.boxes[0].hold_at("rollingBack").unwrap();

    let change = change_lan(&bed, "192.168.10.30/24").await;
    bed.boxes[0].held_at("rollingBack").await.unwrap();
    bed.boxes[0].kill_agent().await.unwrap();
    bed.boxes[0].release("rollingBack").unwrap();
    bed.boxes[0].start_agent().unwrap();

    let story = ended(&bed, &change).await;
    assert_eq!(story["state"], "rolled_back");
    let last = story["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!(last["code"], "GATEWAY_SILENT");
    assert!(last["deviceAt"].is_string() && last["clock"].is_string());
    assert!(!states(&story).contains(&"applied"));
    assert_eq!(running(&bed.boxes[0]), before);
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn a_change_survives_a_crash_of_the_api() {
    let mut bed = bed(1).await;
    bed.boxes[0].hold_at("trying").unwrap();
    let change = change_lan(&bed, "192.168.10.40/24").await;
    bed.boxes[0].held_at("trying").await.unwrap();

    bed.kill_api().await.unwrap();
    bed.boxes[0].release("trying").unwrap();
    bed.start_api().await.unwrap();

    assert_eq!(ended(&bed, &change).await["state"], "applied");
    bed.stop().await.unwrap();
}

async fn change_lan(bed: &Testbed, address: &str) -> String {
    let thing = &bed.boxes[0].thing;
    let wish =
        json!({"lan": {"mode": "static", "address": address, "gateway": "192.168.10.1"}, "reason": "test"});
    let answer = bed.api.put(&format!("/v1/devices/{thing}/lan"), &wish).await.unwrap();
    answer["changeId"].as_str().unwrap().to_owned()
}

/// What is on the box's interface now.
fn running(one: &RecehubBox) -> Value {
    lan(one, "running.json")
}

/// What would be on it after a power cut.
fn saved(one: &RecehubBox) -> Value {
    lan(one, "saved.json")
}

/// A box that has never been told anything takes its address by DHCP.
fn lan(one: &RecehubBox, file: &str) -> Value {
    match std::fs::read_to_string(one.lan().join(file)) {
        Ok(text) => {
            let state: Value = serde_json::from_str(&text).unwrap();
            state.get("lan").cloned().unwrap_or(state)
        }
        Err(_) => json!({"mode": "dhcp"}),
    }
}
