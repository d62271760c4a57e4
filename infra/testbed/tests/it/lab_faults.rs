//! No box is lost to a setting: a change through the fleet API while something goes wrong in the pharmacy,
//! and what its timeline says of it. After each the box is on exactly the old or the new settings, and is
//! reached from both sides (`testbed::lab::judgement`).

use std::fs;

use device_model::shadow::TrialPhase::{Committing, RollingBack, Staged, Trying};
use futures::future::join_all;
use testbed::lab::{
    Lab,
    case::{
        Case,
        Wish::{self, Dhcp, Static},
    },
    fault::Fault,
    pharmacy::Pharmacy,
};

use crate::support::{lab, uploads};

/// The address of the last, good change of each pharmacy.
const LAST: u8 = 66;

#[tokio::test]
async fn neither_dhcp_nor_a_line_that_drops_costs_a_box() {
    let dhcp =
        [Fault::DhcpSilent, Fault::DhcpRefuses, Fault::DhcpOfForeignNetwork, Fault::DhcpTakesAllTraffic];
    let line = [Staged, Trying, Committing, RollingBack].map(Fault::LineDrops);
    all_hold([each(&dhcp, Dhcp), each(&line, Static(31))].concat()).await;
}

#[tokio::test]
async fn settings_that_work_are_applied_and_those_that_do_not_are_undone_with_the_reason() {
    let good = [Static(31), Static(32), Dhcp].map(|wish| Case::of(Fault::Nothing, wish));
    let pharmacy =
        [Fault::AddressTaken, Fault::GatewayDead, Fault::DnsHangs, Fault::OverlapsWithLine, Fault::NoCarrier];
    let share = [Fault::ShareOff, Fault::ShareRefusesLogin, Fault::ShareHangs, Fault::DefaultRouteHijacked];
    let bad = [each(&pharmacy, Static(31)), each(&share, Static(31))].concat();
    all_hold([vec![good.to_vec()], bad].concat()).await;
}

#[tokio::test]
async fn whoever_dies_in_whichever_phase_the_box_is_on_the_old_or_the_new_settings() {
    let phases = [Staged, Trying, Committing, RollingBack];
    let of = |phase| {
        let faults = [Fault::AgentKilled(phase), Fault::NetworkManagerKilled(phase)];
        faults.map(|fault| Case::of(fault, Static(31))).to_vec()
    };
    let power = phases.map(Fault::PowerCut);
    all_hold([phases.map(of).to_vec(), each(&power, Static(31))].concat()).await;
}

/// A pharmacy for each fault.
fn each(faults: &[Fault], wish: Wish) -> Vec<Vec<Case>> {
    faults.iter().map(|&fault| vec![Case::of(fault, wish)]).collect()
}

/// Carries out the cases, a list in each pharmacy, side by side; and at the end a good change in each, to
/// whose address the receipt computer then saves a prescription.
async fn all_hold(lists: Vec<Vec<Case>>) {
    let Some(mut lab) = lab(lists.len()).await else { return };
    let Lab { pharmacies, cloud, bed, .. } = &mut lab;
    let (bed, cloud) = (&*bed, &*cloud);
    let in_turn = pharmacies.iter_mut().zip(lists).map(async |(pharmacy, cases)| {
        for case in cases.into_iter().chain([Case::of(Fault::Nothing, Static(LAST))]) {
            let story = case.run(pharmacy, cloud, &bed.api).await?.as_expected()?;
            println!("{story}");
        }
        save(pharmacy).await?;
        uploads(bed, &pharmacy.hub.one.thing, 1).await;
        anyhow::Ok(())
    });
    let outcomes = join_all(in_turn).await;
    let broken: Vec<String> =
        outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    lab.stop().await.unwrap();
}

async fn save(pharmacy: &Pharmacy) -> anyhow::Result<()> {
    let local = tempfile::NamedTempFile::new()?;
    fs::copy("/etc/hostname", local.path())?;
    let put = format!("put {} rx.csv", local.path().display());
    let address = format!("192.168.10.{LAST}");
    pharmacy.receipt_computer.smbclient(&pharmacy.hub, &address, &put)?.output().await.map(drop)
}
