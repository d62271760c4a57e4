//! A change of the share, from the API to the receipt computer that finds the box again.

use serde_json::{Value, json};
use testbed::{lab::settings::Settings, wait::until};

use crate::{
    lab_topology::has_address,
    support::{BOUND, bed, database_text, ended, folder_bytes, holds, lab, save, uploads},
};

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

#[tokio::test]
async fn a_session_of_the_receipt_computer_is_enough_without_a_file() {
    let Some(mut lab) = lab(1).await else { return };
    let pharmacy = &mut lab.pharmacies[0];
    has_address(pharmacy).await;
    let path = format!("/v1/devices/{}/lan", pharmacy.hub.one.thing);
    let wish =
        json!({"lan": {"mode": "dhcp"}, "reason": "another name", "share": {"name": "rx2", "user": "rece"}});
    let change = lab.bed.api.put(&path, &wish).await.unwrap()["changeId"].as_str().unwrap().to_owned();
    let story = ended(&lab.bed, &change).await;
    assert_eq!(story["state"], "applied", "{story:#}");
    sight(&lab.bed, &change, "unconfirmed").await;

    "rx2".clone_into(&mut pharmacy.hub.one.share.name);
    let settings = Settings::of(&pharmacy.hub).await.unwrap();
    let address = settings.address().unwrap().split('/').next().unwrap().to_owned();
    // Who stays for as long as it takes: smbclient waits for the file to come that is never written.
    let stay = format!(
        "mkfifo /run/never; exec smbclient //{address}/rx2 -U 'rece%{}' -m SMB3 < /run/never & \
        exec 3> /run/never; for i in $(seq 600); do sleep 0.1; test -e /run/over && exit 0; done",
        pharmacy.hub.one.share.password
    );
    let space = pharmacy.receipt_computer.space();
    let look = async {
        let seen = sight(&lab.bed, &change, "confirmed").await;
        space.run("touch /run/over").await.unwrap();
        seen
    };
    let (stayed, seen) = tokio::join!(space.run(&stay), look);

    stayed.unwrap();
    assert!(seen["at"].is_string(), "{seen}");
    let uploads = lab.bed.api.get(&format!("/v1/uploads?thing={}", pharmacy.hub.one.thing)).await.unwrap();
    assert_eq!(uploads["items"], json!([]), "no file was needed");
    lab.stop().await.unwrap();
}

/// Whether the receipt computer has found the box, once that is so.
async fn sight(bed: &testbed::Testbed, change: &str, state: &str) -> Value {
    let path = format!("/v1/changes/{change}");
    until(&format!("the receipt computer is {state}"), BOUND, || async {
        let sight = bed.api.get(&path).await?["receiptComputer"].clone();
        Ok((sight["state"] == state).then_some(sight))
    })
    .await
    .unwrap()
}
