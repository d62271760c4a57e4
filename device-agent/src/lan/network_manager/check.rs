//! Whether the interface could be changed at all, for `check-config`: each fault as a sentence.

use std::{fs, process::Stdio};

use tokio::process::Command;

use crate::{
    config::lan::RealLan,
    lan::{
        network_manager::{bus::Bus, device::Device, disk},
        probe::kernel,
    },
};

pub async fn faults(lan: &RealLan) -> Vec<String> {
    let mut faults = Vec::new();
    let name = &lan.interface;
    match kernel::link(name).await {
        Ok(Some(_)) => match Bus::connect().await {
            Ok(bus) => faults.extend(Device::find(&bus, name).await.err().map(|fault| fault.detail)),
            Err(fault) => faults.push(fault.detail),
        },
        Ok(None) => faults.push(format!("RECEHUB_LAN_INTERFACE: there is no network interface {name}")),
        Err(fault) => faults.push(fault.detail),
    }
    if let Err(error) = fs::read_dir(disk::FOR_GOOD) {
        faults.push(format!("NetworkManager's profiles in {} cannot be read: {error}", disk::FOR_GOOD));
    }
    let mut smbclient = Command::new(&lan.smbclient);
    let runs = smbclient.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    if let Err(error) = runs {
        faults.push(format!("RECEHUB_SMBCLIENT: {} cannot be started: {error}", lan.smbclient.display()));
    }
    faults
}
