//! The interface as NetworkManager has it: what runs on it, and putting a profile on it.

use std::time::Duration;

use device_model::outcome::code;
use futures::StreamExt;
use tokio::time::timeout;
use zbus::OwnedObjectPath;

use crate::lan::{
    Fault,
    network_manager::{
        bus::{self, Bus, Groups},
        settings::{self, Entry},
        stored::Stored,
    },
    probe::Place,
};

const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";

/// `NMDeviceState`.
mod state {
    pub const UNMANAGED: u32 = 10;
    pub const UNAVAILABLE: u32 = 20;
    pub const DISCONNECTED: u32 = 30;
    pub const PREPARE: u32 = 40;
    pub const ACTIVATED: u32 = 100;
    pub const DEACTIVATING: u32 = 110;
    pub const FAILED: u32 = 120;
}

/// `NMDeviceStateReason`: something newer takes the place.
const NEW_ACTIVATION: u32 = 60;

pub struct Device<'a> {
    bus: &'a Bus,
    pub path: OwnedObjectPath,
}

/// Why a profile did not come up.
#[derive(Debug, PartialEq, Eq)]
pub enum Stuck {
    Failed {
        reason: u32,
    },
    /// There is no link, or no management, any more.
    Lost,
    TimedOut,
}

impl<'a> Device<'a> {
    pub async fn find(bus: &'a Bus, name: &str) -> Result<Self, Fault> {
        let path = bus.call(bus::ROOT, bus::NAME, "GetDeviceByIpIface", &name).await;
        let path = path.map_err(|_| {
            Fault::new(code::APPLY_FAILED, &format!("NetworkManager knows no interface {name}"))
        })?;
        let device = Self { bus, path };
        if device.state().await? == state::UNMANAGED {
            let detail = format!("NetworkManager is told to leave {name} alone");
            return Err(Fault::new(code::APPLY_FAILED, &detail));
        }
        Ok(device)
    }

    async fn state(&self) -> Result<u32, Fault> {
        self.bus.property(&self.path, DEVICE, "State").await
    }

    pub async fn is_up(&self) -> Result<bool, Fault> {
        Ok(self.state().await? == state::ACTIVATED)
    }

    /// True while something comes up or goes down.
    pub async fn is_moving(&self) -> Result<bool, Fault> {
        let now = self.state().await?;
        Ok((state::PREPARE..state::ACTIVATED).contains(&now) || now == state::DEACTIVATING)
    }

    /// What it is run by now, which may differ from the profile that it came from.
    pub async fn applied(&self) -> Result<Stored, Fault> {
        let (groups, _): (Groups, u64) =
            self.bus.call(&self.path, DEVICE, "GetAppliedConnection", &0_u32).await?;
        Ok(settings::read(&groups))
    }

    /// The profile that is on it.
    pub async fn profile(&self) -> Result<Option<OwnedObjectPath>, Fault> {
        let active: OwnedObjectPath = self.bus.property(&self.path, DEVICE, "ActiveConnection").await?;
        if bus::is_none(&active) {
            return Ok(None);
        }
        self.bus.property(&active, ACTIVE, "Connection").await.map(Some)
    }

    /// What a DHCP server gave.
    pub async fn lease(&self) -> Result<Option<Place>, Fault> {
        let path: OwnedObjectPath = self.bus.property(&self.path, DEVICE, "Dhcp4Config").await?;
        if bus::is_none(&path) {
            return Ok(None);
        }
        let interface = "org.freedesktop.NetworkManager.DHCP4Config";
        let options: Entry = self.bus.property(&path, interface, "Options").await?;
        Ok(settings::lease(&options))
    }

    /// Puts a profile on and waits until it runs.
    pub async fn put_on(
        &self,
        profile: &OwnedObjectPath,
        patience: Duration,
    ) -> Result<Result<(), Stuck>, Fault> {
        let mut changes = self.bus.signals_of(&self.path, DEVICE, "StateChanged").await?;
        let nothing = "/";
        let path = |text: &str| zbus::ObjectPath::try_from(text.to_owned()).unwrap_or_default();
        let _: OwnedObjectPath = self
            .bus
            .call(bus::ROOT, bus::NAME, "ActivateConnection", &(profile, &self.path, path(nothing)))
            .await?;
        let ended = async {
            let mut began = false;
            while let Some(Ok(change)) = changes.next().await {
                let Ok((now, _, reason)) = change.body().deserialize::<(u32, u32, u32)>() else { continue };
                match now {
                    // Without ours having begun it is another activation that was under way.
                    state::ACTIVATED if began => return Ok(()),
                    state::FAILED => return Err(Stuck::Failed { reason }),
                    state::UNMANAGED | state::UNAVAILABLE => return Err(Stuck::Lost),
                    state::DISCONNECTED if began && reason != NEW_ACTIVATION => {
                        return Err(Stuck::Failed { reason });
                    }
                    state::PREPARE => began = true,
                    _ => {}
                }
            }
            Err(Stuck::Lost)
        };
        Ok(timeout(patience, ended).await.unwrap_or(Err(Stuck::TimedOut)))
    }
}
