//! A pharmacy: its switch and router, the receipt computer, the box.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{
    Testbed,
    lab::{cloud_side::CloudSide, hub::Hub, router::Router, space::Space},
    process::Program,
};

/// Where the pharmacy's router and its receipt computer are.
pub const ROUTER: &str = "192.168.10.1";
pub const RECEIPT_COMPUTER: &str = "192.168.10.20";

pub struct Pharmacy {
    /// Counted from 1.
    pub number: usize,
    pub hub: Hub,
    pub receipt_computer: ReceiptComputer,
    pub router: Router,
}

/// The computer that saves prescriptions on the box's share.
pub struct ReceiptComputer {
    space: Space,
}

impl Pharmacy {
    /// Opens it, with its box switched on.
    pub async fn open(bed: &Testbed, cloud: &CloudSide, number: usize) -> Result<Self> {
        let (name, logs) = (format!("pharmacy-{number}"), bed.folder.join("log"));
        let folder = bed.folder.join("lab").join(&name);
        fs::create_dir_all(&folder)?;
        let router = Router::build(&folder, &logs, &name).await?;
        let receipt_computer = ReceiptComputer::connect(&router, &logs, &name).await?;
        let mut hub = Hub::make(bed, number, &folder).await?;
        hub.boot(&router, cloud).await?;
        Ok(Self { number, hub, receipt_computer, router })
    }

    /// The box loses its power and gets it back.
    pub async fn cut_power(&mut self, cloud: &CloudSide) -> Result<()> {
        self.hub.cut_power().await?;
        self.hub.boot(&self.router, cloud).await
    }

    pub async fn close(self) -> Result<()> {
        self.hub.one.stop().await
    }
}

impl ReceiptComputer {
    async fn connect(router: &Router, logs: &Path, name: &str) -> Result<Self> {
        let space = Space::open(&format!("{name}-receipt-computer"), logs, "ip link set lo up").await?;
        router.plug("pc", "eth0", &space).await?;
        let setup = format!(
            "ip addr add {RECEIPT_COMPUTER}/24 dev eth0\nip link set eth0 up\nip route add default via {ROUTER}"
        );
        space.run(&setup).await?;
        Ok(Self { space })
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    /// `smbclient` on the box's share at that address, with a command of its own language.
    pub fn smbclient(&self, hub: &Hub, address: &str, command: &str) -> Result<Program> {
        self.space.inside(&hub.share().client_at(address, command))
    }

    /// Has this computer have one more address, as a device does that was set up by hand.
    pub async fn take_address(&self, address: &str) -> Result<()> {
        self.space.run(&format!("ip addr add {address}/24 dev eth0")).await.map(drop)
    }

    pub async fn give_up_address(&self, address: &str) -> Result<()> {
        self.space.run(&format!("ip addr del {address}/24 dev eth0")).await.map(drop)
    }
}
