//! Pharmacies in network namespaces, beside the whole system: boxes with real NetworkManager and smbd, a
//! switch with DHCP and DNS, a receipt computer, and a line of the box's own to the cloud.
//!
//! Nothing of it is in the machine's own network, and nothing of it outlives who made it.

pub mod case;
pub mod cloud_side;
pub mod disk;
pub mod fault;
pub mod hub;
pub mod judgement;
pub mod owner;
pub mod pharmacy;
pub mod rogue;
pub mod router;
pub mod settings;
pub mod space;
pub mod stand;

use std::fs;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use rustix::process::geteuid;

use crate::{
    Options, Testbed,
    lab::{
        cloud_side::CloudSide,
        owner::{FOLDER_PREFIX, owner, sweep},
        pharmacy::Pharmacy,
    },
};

pub struct Lab {
    // In the order in which they go: the boxes before what they stand on.
    pub pharmacies: Vec<Pharmacy>,
    pub cloud: CloudSide,
    pub bed: Box<Testbed>,
    /// Held as long as this lives, if it is a test's.
    scratch: Option<tempfile::TempDir>,
}

/// Only root can make one.
pub fn is_possible() -> bool {
    geteuid().is_root()
}

impl Lab {
    /// A system of its own with so many pharmacies, for one test; the boxes are switched on.
    pub async fn for_test(pharmacies: usize) -> Result<Self> {
        let prefix = format!("{FOLDER_PREFIX}{}-", owner()?);
        let scratch = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let options = Options { agents: false, ..Options::of(scratch.path(), 0) };
        let mut this = Self::start(&options, pharmacies, |step| println!("starting {step}")).await?;
        this.scratch = Some(scratch);
        Ok(this)
    }

    pub async fn start(options: &Options, pharmacies: usize, tell: impl Fn(&str)) -> Result<Self> {
        ensure!(is_possible(), "only root can make networks");
        sweep()?;
        let bed = Box::new(Testbed::start(options, &tell).await?);
        tell("pharmacies");
        let folder = bed.folder.join("lab");
        fs::create_dir_all(&folder)?;
        let cloud = CloudSide::build(&bed, &bed.folder.join("log")).await?;
        let open = (1..=pharmacies).map(|number| Pharmacy::open(&bed, &cloud, number));
        let pharmacies = try_join_all(open).await?;
        Ok(Self { pharmacies, cloud, bed, scratch: None })
    }

    pub async fn stop(self) -> Result<()> {
        let mut outcome = Ok(());
        for pharmacy in self.pharmacies {
            outcome = outcome.and(pharmacy.close().await);
        }
        outcome.and(self.bed.stop().await)
    }
}
