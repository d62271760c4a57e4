//! What a trial under NetworkManager promises beyond the faults of `lab_faults`: somebody else's hands on the
//! box, and somebody who is not there.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{
    boxes::ApiClient,
    lab::{
        Lab, case,
        cloud_side::Wan,
        fault::NOBODY,
        pharmacy::{Pharmacy, ROUTER},
        settings::{Settings, unsaved, way_out},
    },
    wait::until,
};

use crate::support::{BOUND, lab};

/// Three attempts with a gateway that is silent each time.
const STORY: Duration = Duration::from_mins(3);
const BUS: &str = "busctl --system --json=short";
const NM: &str =
    "org.freedesktop.NetworkManager /org/freedesktop/NetworkManager org.freedesktop.NetworkManager";

#[tokio::test]
async fn a_trial_whose_agent_hangs_is_undone_by_networkmanager_alone() {
    let Some(mut lab) = lab(1).await else { return };
    let Lab { pharmacies, bed, .. } = &mut lab;
    let pharmacy = &mut pharmacies[0];
    let before = with_an_address(pharmacy).await;
    let change = ask(&bed.api, pharmacy, "192.168.10.31/24", NOBODY).await;
    is_tried(pharmacy, "192.168.10.31").await;

    pharmacy.hub.suspend_agent().unwrap();
    // It would take two minutes of itself.
    let fire = format!(
        "checkpoint=$({BUS} get-property {NM} Checkpoints | sed 's/.*\\[\"//; s/\".*//')\n\
         {BUS} call {NM} CheckpointAdjustRollbackTimeout ou \"$checkpoint\" 1"
    );
    pharmacy.hub.space().unwrap().run(&fire).await.unwrap();

    is_as(pharmacy, &before).await;
    assert_eq!(way_out(&pharmacy.hub).await.unwrap(), "wan0");
    is_found(pharmacy, &before).await;
    pharmacy.hub.resume_agent().unwrap();
    let story = ended(&bed.api, &change).await;
    assert_eq!(story["state"], "rolled_back", "{story:#}");
    is_as(pharmacy, &before).await;
    assert_eq!(unsaved(&pharmacy.hub).await.unwrap(), Vec::<String>::new());
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_trial_whose_agent_and_networkmanager_both_die_is_undone_and_made_again() {
    let Some(mut lab) = lab(1).await else { return };
    let Lab { pharmacies, bed, .. } = &mut lab;
    let pharmacy = &mut pharmacies[0];
    with_an_address(pharmacy).await;
    let change = ask(&bed.api, pharmacy, "192.168.10.32/24", NOBODY).await;
    is_tried(pharmacy, "192.168.10.32").await;

    pharmacy.hub.suspend_agent().unwrap();
    pharmacy.hub.kill_network_manager().await.unwrap();
    pharmacy.hub.one.kill_agent().await.unwrap();
    // The pharmacy has got its gateway meanwhile.
    pharmacy.receipt_computer.take_address(NOBODY).await.unwrap();
    // The agent is there first, and has to wait for the other.
    pharmacy.hub.one.start_agent().unwrap();
    pharmacy.hub.start_network_manager().await.unwrap();

    let story = ended(&bed.api, &change).await;
    assert_eq!(story["state"], "applied", "{story:#}");
    let now = Settings::of(&pharmacy.hub).await.unwrap();
    assert_eq!((now.address(), now.addresses.len()), (Some("192.168.10.32"), 1));
    assert_eq!(unsaved(&pharmacy.hub).await.unwrap(), Vec::<String>::new());
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_profile_that_was_made_by_hand_holds_until_a_change_is_committed_and_is_left_as_it_is() {
    let Some(mut lab) = lab(1).await else { return };
    let Lab { pharmacies, cloud, bed, .. } = &mut lab;
    let pharmacy = &mut pharmacies[0];
    with_an_address(pharmacy).await;
    pharmacy.hub.one.kill_agent().await.unwrap();
    // A box of another hand, on which the agent is new.
    let state = pharmacy.hub.one.home.join("state");
    let by_hand = format!(
        "rm -f '{state}'/agent.db*\nnmcli connection delete recehub-lan0\n\
         nmcli connection add type ethernet ifname lan0 con-name hand ipv4.method manual \
         ipv4.addresses 192.168.10.33/24 ipv4.gateway {ROUTER} ipv4.never-default no ipv4.route-metric 900\n\
         sync -f /etc/NetworkManager/system-connections '{state}'",
        state = state.display()
    );
    pharmacy.hub.space().unwrap().run(&by_hand).await.unwrap();
    let before = with_an_address(pharmacy).await;
    pharmacy.hub.one.start_agent().unwrap();
    until("the box reports what somebody set up", BOUND, || async {
        let lan = reported(&bed.api, pharmacy).await?;
        Ok((lan["address"] == "192.168.10.33/24" && lan["gateway"] == ROUTER).then_some(()))
    })
    .await
    .unwrap();

    let bad = ask(&bed.api, pharmacy, "192.168.10.34/24", NOBODY).await;
    assert_eq!(ended(&bed.api, &bad).await["state"], "rolled_back");
    is_as(pharmacy, &before).await;
    let good = ask(&bed.api, pharmacy, "192.168.10.34/24", ROUTER).await;
    assert_eq!(ended(&bed.api, &good).await["state"], "applied");
    pharmacy.cut_power(cloud).await.unwrap();

    let after = with_an_address(pharmacy).await;
    assert_eq!((after.address(), after.addresses.len()), (Some("192.168.10.34"), 1));
    assert_eq!(after.saved["hand.nmconnection"], before.saved["hand.nmconnection"]);
    assert_eq!(way_out(&pharmacy.hub).await.unwrap(), "wan0");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_power_cut_takes_the_trial_along_and_the_box_boots_on_its_old_settings() {
    let Some(mut lab) = lab(1).await else { return };
    let Lab { pharmacies, cloud, bed, .. } = &mut lab;
    let pharmacy = &mut pharmacies[0];
    let before = with_an_address(pharmacy).await;
    let change = ask(&bed.api, pharmacy, "192.168.10.35/24", NOBODY).await;
    is_tried(pharmacy, "192.168.10.35").await;
    pharmacy.hub.suspend_agent().unwrap();
    let tried = Settings::of(&pharmacy.hub).await.unwrap();
    assert_eq!(tried.saved, before.saved, "a trial stands on the disk");
    assert_ne!(unsaved(&pharmacy.hub).await.unwrap(), Vec::<String>::new());
    // Nobody can judge a second attempt until the line is back.
    cloud.set(1, Wan::Silent).await.unwrap();

    pharmacy.cut_power(cloud).await.unwrap();

    is_as(pharmacy, &before).await;
    assert_eq!(unsaved(&pharmacy.hub).await.unwrap(), Vec::<String>::new());
    assert_eq!(way_out(&pharmacy.hub).await.unwrap(), "wan0");
    is_found(pharmacy, &before).await;
    // The pharmacy has got its gateway meanwhile.
    pharmacy.receipt_computer.take_address(NOBODY).await.unwrap();
    cloud.set(1, Wan::Up).await.unwrap();
    let story = ended(&bed.api, &change).await;
    assert_eq!(story["state"], "applied", "{story:#}");
    assert_eq!(with_an_address(pharmacy).await.address(), Some("192.168.10.35"));
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_trial_that_takes_too_long_is_not_put_off_any_more() {
    let Some(mut lab) = lab(1).await else { return };
    let Lab { pharmacies, bed, .. } = &mut lab;
    let pharmacy = &mut pharmacies[0];
    let before = with_an_address(pharmacy).await;
    pharmacy.hub.one.kill_agent().await.unwrap();
    // An agent for which all began five minutes earlier than for NetworkManager.
    let late = pharmacy.hub.one.agent_program().clone();
    pharmacy.hub.one.start_agent_as(&late.behind("unshare", &["--time", "--boottime", "301"])).unwrap();

    let change = ask(&bed.api, pharmacy, "192.168.10.36/24", ROUTER).await;

    let story = ended(&bed.api, &change).await;
    let last = story["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["state"], &last["code"]), (&json!("rolled_back"), &json!("INTERRUPTED")), "{story:#}");
    assert_eq!(last["detail"], "the trial took longer than 300s");
    is_as(pharmacy, &before).await;
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn who_stands_in_front_of_a_box_without_a_line_goes_back_beside_an_agent_and_without_one() {
    let Some(mut lab) = lab(1).await else { return };
    let Lab { pharmacies, cloud, bed, .. } = &mut lab;
    let pharmacy = &mut pharmacies[0];
    with_an_address(pharmacy).await;
    for address in ["192.168.10.37/24", "192.168.10.38/24"] {
        let change = ask(&bed.api, pharmacy, address, ROUTER).await;
        assert_eq!(ended(&bed.api, &change).await["state"], "applied");
    }
    cloud.set(1, Wan::Silent).await.unwrap();
    let revert = pharmacy.hub.one.agent_program().clone().arg("lan").arg("revert");

    let beside = revert.output().await.unwrap();
    assert!(beside.ends_with("applied\n"), "{beside}");
    assert_eq!(with_an_address(pharmacy).await.address(), Some("192.168.10.37"));
    pharmacy.hub.one.kill_agent().await.unwrap();
    let alone = revert.output().await.unwrap();
    assert!(alone.ends_with("applied\n"), "{alone}");
    assert_eq!(with_an_address(pharmacy).await.address(), Some("192.168.10.38"));
    assert_eq!(unsaved(&pharmacy.hub).await.unwrap(), Vec::<String>::new());

    pharmacy.hub.one.start_agent().unwrap();
    cloud.set(1, Wan::Up).await.unwrap();
    let path = format!("/v1/devices/{}/lan", pharmacy.hub.one.thing);
    let told = |lan: Value| {
        let last = lan["reported"]["verdicts"][1]["changeId"].as_str().unwrap_or_default();
        Ok(last.starts_with("local-").then_some(()))
    };
    bed.api.until("the cloud is told", BOUND, &path, told).await.unwrap();
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_share_goes_with_the_address_and_comes_back_with_it() {
    let Some(mut lab) = lab(1).await else { return };
    let Lab { pharmacies, cloud, bed, .. } = &mut lab;
    let pharmacy = &mut pharmacies[0];
    with_an_address(pharmacy).await;
    let wish = |address: &str, gateway: &str, name: &str, password: &str| {
        json!({"lan": {"mode": "static", "address": address, "gateway": gateway}, "reason": "a test",
            "share": {"name": name, "user": "rececom", "password": password}})
    };

    let good = wish("192.168.10.39/24", ROUTER, "rx2", "himitsu-2");
    let story = ended(&bed.api, &put(&bed.api, pharmacy, &good).await).await;
    assert_eq!(story["state"], "applied", "{story:#}");
    let bad = wish("192.168.10.40/24", NOBODY, "rx3", "himitsu-3");
    let story = ended(&bed.api, &put(&bed.api, pharmacy, &bad).await).await;
    assert_eq!(story["state"], "rolled_back", "{story:#}");
    assert!(lets_in(pharmacy, "rx2", "himitsu-2").await);
    assert!(!lets_in(pharmacy, "rx3", "himitsu-3").await);
    // Of a change that says nothing of it the share notices nothing.
    let change = ask(&bed.api, pharmacy, "192.168.10.41/24", ROUTER).await;
    assert_eq!(ended(&bed.api, &change).await["state"], "applied");
    pharmacy.cut_power(cloud).await.unwrap();

    assert_eq!(with_an_address(pharmacy).await.address(), Some("192.168.10.41"));
    assert!(lets_in(pharmacy, "rx2", "himitsu-2").await);
    let device = format!("/v1/devices/{}", pharmacy.hub.one.thing);
    assert_eq!(bed.api.get(&device).await.unwrap()["driftSince"], Value::Null);
    lab.stop().await.unwrap();
}

/// The box's settings, as soon as it has an address and its profile is kept.
async fn with_an_address(pharmacy: &Pharmacy) -> Settings {
    until("the box has an address", BOUND, || async {
        let settings = Settings::of(&pharmacy.hub).await.ok();
        Ok(settings.filter(|settings| settings.address().is_some() && !settings.saved.is_empty()))
    })
    .await
    .unwrap()
}

async fn is_as(pharmacy: &Pharmacy, wanted: &Settings) {
    until("the old settings are back", BOUND, || async {
        Ok(Settings::of(&pharmacy.hub).await.ok().filter(|now| now == wanted))
    })
    .await
    .unwrap();
}

/// The receipt computer gets at its share there.
async fn is_found(pharmacy: &Pharmacy, settings: &Settings) {
    let address = settings.address().unwrap();
    pharmacy.receipt_computer.smbclient(&pharmacy.hub, address, "exit").unwrap().output().await.unwrap();
}

/// Whether the receipt computer gets at that share, wherever the box is.
async fn lets_in(pharmacy: &Pharmacy, name: &str, password: &str) -> bool {
    let settings = with_an_address(pharmacy).await;
    let mut share = pharmacy.hub.share().clone();
    name.clone_into(&mut share.name);
    "rececom".clone_into(&mut share.user);
    password.clone_into(&mut share.password);
    let login = share.client_at(settings.address().unwrap(), "exit");
    pharmacy.receipt_computer.space().inside(&login).unwrap().output().await.is_ok()
}

async fn is_tried(pharmacy: &Pharmacy, address: &str) {
    until("it is tried", BOUND, || async {
        let now = Settings::of(&pharmacy.hub).await.ok();
        Ok(now.filter(|now| now.address() == Some(address)))
    })
    .await
    .unwrap();
}

async fn ask(api: &ApiClient, pharmacy: &Pharmacy, address: &str, gateway: &str) -> String {
    let lan = json!({"mode": "static", "address": address, "gateway": gateway});
    put(api, pharmacy, &json!({"lan": lan, "reason": "a test"})).await
}

async fn put(api: &ApiClient, pharmacy: &Pharmacy, wish: &Value) -> String {
    let path = format!("/v1/devices/{}/lan", pharmacy.hub.one.thing);
    let change = api.put(&path, wish).await.unwrap();
    change["changeId"].as_str().unwrap().to_owned()
}

async fn ended(api: &ApiClient, change: &str) -> Value {
    case::ended(api, change, STORY).await.unwrap()
}

async fn reported(api: &ApiClient, pharmacy: &Pharmacy) -> anyhow::Result<Value> {
    let lan = api.get(&format!("/v1/devices/{}/lan", pharmacy.hub.one.thing)).await?;
    Ok(lan["reported"]["lan"].clone())
}
