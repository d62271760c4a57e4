//! A change of the share, from the API to the receipt computer that finds the box again.

use serde_json::{Value, json};
use testbed::wait::until;

use crate::support::{BOUND, bed, database_text, ended, folder_bytes, holds, save, uploads};

#[tokio::test]
async fn a_share_gets_another_name_and_password_and_the_receipt_computer_finds_it() {
    let mut bed = bed(1).await;
    let thing = bed.boxes[0].thing.clone();
    let path = format!("/v1/devices/{thing}/lan");
    save(&bed.boxes[0], "first.csv", b"1").await;
    uploads(&bed, &thing, 1).await;

    let wish = json!({"lan": {"mode": "static", "address": "192.168.10.9/24"}, "reason": "new receipt computer",
        "share": {"name": "処方", "user": "rececom", "password": "himitsu-4711"}});
    let change = bed.api.put(&path, &wish).await.unwrap()["changeId"].as_str().unwrap().to_owned();
    let story = ended(&bed, &change).await;
    assert_eq!(story["state"], "applied", "{story:#}");
    assert_eq!(sight(&bed, &change, "unconfirmed").await, json!({"state": "unconfirmed"}));
    let reported = bed.api.get(&path).await.unwrap()["reported"].clone();
    assert_eq!(reported["share"], json!({"name": "処方", "user": "rececom", "workgroup": "WORKGROUP"}));

    // Who was not told of the new share gets in no more.
    assert!(bed.boxes[0].share.client("ls").output().await.is_err());
    let share = &mut bed.boxes[0].share;
    "処方".clone_into(&mut share.name);
    "rececom".clone_into(&mut share.user);
    "himitsu-4711".clone_into(&mut share.password);
    save(&bed.boxes[0], "second.csv", b"2").await;
    uploads(&bed, &thing, 2).await;
    let sight = sight(&bed, &change, "confirmed").await;
    assert!(sight["at"].is_string() && sight["deviceAt"].is_string(), "{sight}");

    assert!(!database_text(&bed).await.contains("himitsu-4711"));
    let logs = folder_bytes(&bed.folder.join("log"));
    assert!(!holds(&logs, b"himitsu-4711") && !holds(&logs, b"second.csv"));
    bed.stop().await.unwrap();
}

#[tokio::test]
async fn settings_that_do_not_work_leave_the_share_as_it_was() {
    let bed = bed(1).await;
    let thing = bed.boxes[0].thing.clone();
    let path = format!("/v1/devices/{thing}/lan");
    let fault = bed.boxes[0].lan().join("probe-fault");
    until("the agent has made its folder", BOUND, || async { Ok(bed.boxes[0].lan().exists().then_some(())) })
        .await
        .unwrap();
    std::io::Write::write_all(&mut std::fs::File::create(&fault).unwrap(), b"ADDRESS_IN_USE").unwrap();

    let wish = json!({"lan": {"mode": "static", "address": "192.168.10.9/24"}, "reason": "new receipt computer",
        "share": {"name": "rx2", "user": "rececom", "password": "himitsu-4711"}});
    let change = bed.api.put(&path, &wish).await.unwrap()["changeId"].as_str().unwrap().to_owned();
    let story = ended(&bed, &change).await;

    assert_eq!(story["state"], "rolled_back", "{story:#}");
    assert_eq!(story.get("receiptComputer"), None, "nothing was applied");
    save(&bed.boxes[0], "as-before.csv", b"1").await;
    uploads(&bed, &thing, 1).await;
    bed.stop().await.unwrap();
}

/// Whether the receipt computer has found the box, once that is so.
async fn sight(bed: &testbed::Testbed, change: &str, state: &str) -> Value {
    let path = format!("/v1/changes/{change}");
    let seen = |mut story: Value| {
        let sight = story["receiptComputer"].take();
        Ok((sight["state"] == state).then_some(sight))
    };
    bed.api.until(&format!("the receipt computer is {state}"), BOUND, &path, seen).await.unwrap()
}
