//! The checkpoint that puts the old settings back if nobody is left to say otherwise: a third process
//! does that, so it works even if the agent hangs.

use std::{collections::HashMap, time::Duration};

use device_model::outcome::code;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;
use zbus::OwnedObjectPath;

use crate::lan::{
    Fault,
    network_manager::{
        bus::{self, Bus},
        device::Device,
    },
};

const CHECKPOINT: &str = "org.freedesktop.NetworkManager.Checkpoint";
/// After this it fires, unless it is told to wait.
const FUSE: Duration = Duration::from_mins(2);
/// However long the probes take, after this nobody makes it wait any more.
pub const HARD_CAP: Duration = Duration::from_mins(5);
const EXTEND_EVERY: Duration = Duration::from_secs(30);

/// `NMCheckpointCreateFlags`: profiles made since then go.
const DELETE_NEW_CONNECTIONS: u32 = 0x2;

pub struct Checkpoint<'a> {
    bus: &'a Bus,
    path: OwnedObjectPath,
}

impl<'a> Checkpoint<'a> {
    /// Holds the present state of this device, and of no other: the box's own line stays out of it.
    pub async fn create(bus: &'a Bus, device: &Device<'_>, is_first: bool) -> Result<Self, Fault> {
        // A trial of the first profile of ours leaves none behind.
        let flags = if is_first { DELETE_NEW_CONNECTIONS } else { 0 };
        let what = (vec![&device.path], seconds(FUSE), flags);
        let path = bus.call(bus::ROOT, bus::NAME, "CheckpointCreate", &what).await?;
        Ok(Self { bus, path })
    }

    /// The one that there is for the device, whoever made it: there can be only one.
    pub async fn find(bus: &'a Bus, device: &Device<'_>) -> Result<Option<Self>, Fault> {
        let all: Vec<OwnedObjectPath> = bus.property(bus::ROOT, bus::NAME, "Checkpoints").await?;
        for path in all {
            let devices: Vec<OwnedObjectPath> =
                bus.property(&path, CHECKPOINT, "Devices").await.unwrap_or_default();
            if devices.contains(&device.path) {
                return Ok(Some(Self { bus, path }));
            }
        }
        Ok(None)
    }

    pub async fn roll_back(self) -> Result<(), Fault> {
        let results: HashMap<String, u32> =
            self.bus.call(bus::ROOT, bus::NAME, "CheckpointRollback", &self.path).await?;
        if results.values().any(|result| *result != 0) {
            tracing::warn!("the checkpoint did not bring everything back; mending it");
        }
        Ok(())
    }

    pub async fn destroy(self) -> Result<(), Fault> {
        self.bus.call(bus::ROOT, bus::NAME, "CheckpointDestroy", &self.path).await
    }

    /// Makes it wait as long as the work goes on, within the cap.
    pub async fn hold<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let waiting = async {
            loop {
                if let Err(fault) = self.extend().await {
                    return fault;
                }
                sleep(EXTEND_EVERY).await;
            }
        };
        tokio::select! {
            done = work => done,
            fault = waiting => Err(fault),
        }
    }

    pub async fn extend(&self) -> Result<(), Fault> {
        let created: i64 = self.bus.property(&self.path, CHECKPOINT, "Created").await?;
        let age = since_boot().saturating_sub(Duration::from_millis(u64::try_from(created).unwrap_or(0)));
        let left = HARD_CAP.saturating_sub(age);
        if left < Duration::from_secs(1) {
            return Err(Fault::new(code::INTERRUPTED, &format!("the trial took longer than {HARD_CAP:?}")));
        }
        let how_long = (&self.path, seconds(left.min(FUSE)));
        let waits = self.bus.call(bus::ROOT, bus::NAME, "CheckpointAdjustRollbackTimeout", &how_long).await;
        waits.map_err(|_: Fault| Self::gone())
    }

    /// NetworkManager has put the old settings back by itself.
    pub fn gone() -> Fault {
        Fault::new(code::INTERRUPTED, "NetworkManager has let go of the trial")
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
