//! The lab itself: a box in a pharmacy of its own, out of reach of this machine's network.

use std::{fs, net::Ipv4Addr};

use testbed::{
    lab::{
        cloud_side::Wan,
        hub::Hub,
        owner::{MARK, sweep},
        pharmacy::Pharmacy,
        rogue::{Answer, Lease},
        router::Dhcp,
        settings::{Settings, way_out},
    },
    process::Program,
    wait::until,
};

use crate::support::{BOUND, lab, uploads};

#[tokio::test]
async fn a_box_is_reached_by_the_receipt_computer_and_reaches_the_cloud_over_its_own_line_only() {
    let machine = interfaces();
    let Some(mut lab) = lab(1).await else { return };
    let pharmacy = &mut lab.pharmacies[0];
    let thing = pharmacy.hub.one.thing.clone();

    has_address(pharmacy).await;
    assert_eq!(way_out(&pharmacy.hub).await.unwrap(), "wan0");
    save(pharmacy, "first.csv").await;
    uploads(&lab.bed, &thing, 1).await;

    let call = lab.cloud.call();
    for wan in [Wan::Silent, Wan::Unplugged] {
        lab.cloud.set(1, wan).await.unwrap();
        assert!(pharmacy.hub.space().unwrap().run(&call).await.is_err(), "{wan:?}");
        lab.cloud.set(1, Wan::Up).await.unwrap();
        // A link that was just plugged in takes a moment.
        let space = pharmacy.hub.space().unwrap();
        until("the line is back", BOUND, || async { Ok(space.run(&call).await.ok()) }).await.unwrap();
    }
    assert_eq!(interfaces(), machine);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_power_cut_takes_what_was_not_synced_and_gives_another_boot() {
    let Some(mut lab) = lab(1).await else { return };
    let pharmacy = &mut lab.pharmacies[0];
    has_address(pharmacy).await;
    let before = (boot_id(&pharmacy.hub).await, Settings::of(&pharmacy.hub).await.unwrap());
    let home = pharmacy.hub.one.home.display().to_string();
    let write = format!("cd {home}; echo 1 > kept; sync -f kept; echo 1 > lost; touch /run/lost");
    pharmacy.hub.space().unwrap().run(&write).await.unwrap();

    pharmacy.cut_power(&lab.cloud).await.unwrap();

    has_address(pharmacy).await;
    assert_ne!(boot_id(&pharmacy.hub).await, before.0);
    assert_eq!(Settings::of(&pharmacy.hub).await.unwrap(), before.1);
    // Somebody else's sync may have taken its name along, not its content.
    let look = format!("cd {home}; test -s kept; test ! -s lost; test ! -e /run/lost");
    pharmacy.hub.space().unwrap().run(&look).await.unwrap();
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_router_hands_out_addresses_refuses_to_or_misleads_as_it_is_told() {
    let Some(mut lab) = lab(1).await else { return };
    let pharmacy = &mut lab.pharmacies[0];
    has_address(pharmacy).await;
    let up = |patience: u32| {
        format!("nmcli connection modify lan ipv4.dhcp-timeout {patience}; nmcli connection up lan")
    };
    let foreign = Lease {
        address: Ipv4Addr::new(198, 51, 100, 77),
        prefix: 24,
        router: Ipv4Addr::new(198, 51, 100, 1),
        takes_all: false,
    };

    for dhcp in [Dhcp::Silent, Dhcp::Rogue(Answer::Nak)] {
        pharmacy.router.set_dhcp(dhcp).await.unwrap();
        assert!(pharmacy.hub.space().unwrap().run(&up(2)).await.is_err(), "{dhcp:?}");
    }
    pharmacy.router.set_dhcp(Dhcp::Rogue(Answer::Lease(foreign))).await.unwrap();
    pharmacy.hub.space().unwrap().run(&up(45)).await.unwrap();
    let misled = Settings::of(&pharmacy.hub).await.unwrap();
    pharmacy.router.set_dhcp(Dhcp::Good).await.unwrap();
    pharmacy.hub.space().unwrap().run(&up(45)).await.unwrap();
    let good = Settings::of(&pharmacy.hub).await.unwrap();

    assert_eq!(misled.address(), Some("198.51.100.77"));
    assert!(good.address().unwrap().starts_with("192.168.10.1"), "{good:?}");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_run_left_behind_is_swept_and_nothing_else() {
    let logs = tempfile::tempdir().unwrap();
    let sleep =
        |name: &str, mark: &str| Program::new(name, "sleep").arg("100").env(MARK, mark).start(logs.path());
    let mut left = sleep("left", "1.1").unwrap();
    let mut ours = sleep("ours", &testbed::lab::owner::owner().unwrap()).unwrap();
    let marked = |pid: u32| fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"sleep\n");
    let pids = [left.pid().unwrap(), ours.pid().unwrap()];
    until("both run", BOUND, || async { Ok(pids.iter().all(|&pid| marked(pid)).then_some(())) })
        .await
        .unwrap();

    sweep().unwrap();

    until("it has ended", BOUND, || {
        let ended = left.ended();
        async move { Ok(ended?.map(drop)) }
    })
    .await
    .unwrap();
    ours.ensure_alive().unwrap();
}

/// The box as NetworkManager has it without the agent's help.
async fn has_address(pharmacy: &Pharmacy) {
    let space = pharmacy.hub.space().unwrap();
    let add = "nmcli connection show lan >/dev/null 2>&1 || nmcli connection add type ethernet ifname lan0 \
        con-name lan ipv4.method auto ipv4.never-default yes ipv6.method disabled; nmcli connection up lan";
    space.run(add).await.unwrap();
}

async fn save(pharmacy: &Pharmacy, name: &str) {
    let local = tempfile::NamedTempFile::new().unwrap();
    fs::copy("/etc/hostname", local.path()).unwrap();
    let settings = Settings::of(&pharmacy.hub).await.unwrap();
    let put = format!("put {} {name}", local.path().display());
    let address = settings.address().unwrap();
    pharmacy.receipt_computer.smbclient(&pharmacy.hub, address, &put).unwrap().output().await.unwrap();
}

async fn boot_id(hub: &Hub) -> String {
    hub.space().unwrap().run("cat /proc/sys/kernel/random/boot_id").await.unwrap()
}

/// Of this machine.
fn interfaces() -> Vec<String> {
    let names = fs::read_dir("/sys/class/net").unwrap().flatten();
    let mut names: Vec<String> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
