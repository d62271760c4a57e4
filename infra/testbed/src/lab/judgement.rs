//! What must hold after every change, whatever went wrong: the box is on exactly the old or exactly the new
//! settings, as its verdict says, on disk too; it is reached from both sides; its way out is its own line.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    boxes::ApiClient,
    lab::{
        case::Story,
        pharmacy::Pharmacy,
        settings::{Settings, unsaved, way_out},
    },
    wait::until,
};

/// As often as a change may be on the interface.
const MOST_ATTEMPTS: usize = 3;
/// A box that was just switched on asks for its address first.
const BOUND: Duration = Duration::from_mins(1);

pub async fn judge(
    story: &Story,
    lan: &Value,
    before: &Settings,
    pharmacy: &Pharmacy,
    api: &ApiClient,
) -> Result<()> {
    let hub = &pharmacy.hub;
    let is_applied = story.state == "applied";
    ensure!(
        is_applied || story.state == "rolled_back" || story.state == "refused",
        "a change nobody withdrew is {}",
        story.state
    );
    ensure!(is_applied != story.code.is_some(), "{} goes with the code {:?}", story.state, story.code);
    ensure!(story.attempts <= MOST_ATTEMPTS, "{} attempts", story.attempts);
    let mut now = Settings::of(hub).await?;
    let settled = until("the settings are what the verdict says", BOUND, || async {
        let settings = Settings::of(hub).await?;
        let fits = if is_applied { is_as_asked(&settings, lan) } else { is_as_before(&settings, before) };
        Ok(fits.then_some(settings))
    });
    match settled.await {
        Ok(settings) => now = settings,
        Err(error) => ensure!(false, "{error}: {lan} was {}; before {before:#?}, now {now:#?}", story.state),
    }
    let unsaved = unsaved(hub).await?;
    ensure!(unsaved.is_empty(), "a power cut would take {unsaved:?} away");
    let way_out = way_out(hub).await?;
    ensure!(way_out == "wan0", "the box's way out is {way_out:?}");
    let address = now.address().unwrap_or_default();
    pharmacy.receipt_computer.smbclient(hub, address, "exit")?.output().await?;
    let path = format!("/v1/devices/{}/lan", hub.one.thing);
    let known = |reported: Value| {
        ensure!(!is_applied || reports(&reported, lan), "{lan} is applied, and the box reports {reported}");
        Ok(Some(()))
    };
    api.until("what the box reports is known", BOUND, &path, known).await
}

fn is_as_asked(settings: &Settings, lan: &Value) -> bool {
    match lan["address"].as_str() {
        Some(address) => {
            let only = settings.addresses.len() == 1;
            only && settings.addresses.contains(address) && is_saved(settings, address)
        }
        None => has_lease(settings),
    }
}

/// A DHCP server may hand out another address than it did before.
fn is_as_before(settings: &Settings, before: &Settings) -> bool {
    let is_dhcp = before.saved.values().any(|profile| profile.contains("method=auto"));
    let same_address = if is_dhcp { has_lease(settings) } else { settings.addresses == before.addresses };
    let now = Settings { addresses: before.addresses.clone(), ..settings.clone() };
    same_address && now == *before
}

/// What the router hands out.
fn has_lease(settings: &Settings) -> bool {
    let only = settings.addresses.len() == 1;
    only && settings.addresses.iter().any(|address| address.starts_with("192.168.10.1"))
}

fn is_saved(settings: &Settings, address: &str) -> bool {
    settings.saved.len() == 1 && settings.saved.values().all(|profile| profile.contains(address))
}

/// Whether a box reports these settings for its own.
pub fn reports(shadow: &Value, lan: &Value) -> bool {
    let reported = &shadow["reported"]["lan"];
    lan.as_object().is_some_and(|lan| lan.iter().all(|(key, value)| reported[key] == *value))
}
