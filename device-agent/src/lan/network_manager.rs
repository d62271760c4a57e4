//! The pharmacy's interface by way of NetworkManager: a trial lives in memory under a checkpoint of that
//! interface alone, so whoever dies, the old settings come back; only a commit is written to disk.
//!
//! Nothing is remembered here between two calls. What there is, NetworkManager, its files and the kernel
//! are asked anew each time: they tell the same to an agent that was started a moment ago.

mod bus;
pub mod check;
mod checkpoint;
mod device;
mod disk;
mod keyfile;
mod profiles;
mod settings;
mod stored;

use std::{fs, time::Duration};

use device_model::{
    lan::{Addressing, LanSettings},
    outcome::code,
    shadow::{Effective, ProbePolicy, TrialPhase},
};
use tokio::time::{Instant, sleep};
use zbus::OwnedObjectPath;

use crate::{
    backoff::Backoff,
    lan::{
        Fault, LanInterface,
        network_manager::{
            bus::Bus,
            checkpoint::{Checkpoint, HARD_CAP},
            device::{Device, Stuck},
        },
        probe::{Baseline, Place, Probes, kernel},
        state::{Profile, Wish},
    },
};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What an address takes that nobody else has.
const STATIC_PATIENCE: Duration = Duration::from_secs(20);
/// What a DHCP server takes at most.
const DHCP_PATIENCE: Duration = Duration::from_secs(45);
/// What coming back may take besides.
const ROLLBACK: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);
const ROUND_TRIP: Duration = Duration::from_secs(20);
const WAIT_FIRST: Duration = Duration::from_secs(2);
const WAIT_MOST: Duration = Duration::from_secs(30);

pub struct NetworkManager {
    probes: Probes,
}

impl NetworkManager {
    pub fn new(probes: Probes) -> Self {
        Self { probes }
    }

    fn name(&self) -> &str {
        &self.probes.interface
    }

    /// The profile that the interface comes up with after a power cut: ours, or before there is one,
    /// whichever somebody made. A box without any asks the pharmacy's DHCP server.
    async fn profile_of_now(
        &self,
        bus: &Bus,
        device: &Device<'_>,
    ) -> Result<(OwnedObjectPath, Profile), Fault> {
        if let Some(stored) = disk::saved()? {
            let lost = || Fault::new(code::APPLY_FAILED, "NetworkManager does not know the saved profile");
            return Ok((profiles::ours(bus).await?.ok_or_else(lost)?.path, stored.profile()?));
        }
        if let Some(other) = profiles::others(bus, self.name(), device.profile().await?).await? {
            return Ok((other.path.clone(), other.stored().profile()?));
        }
        let first = Profile { lan: LanSettings::dhcp(), share: None, probe: ProbePolicy::default() };
        let path = self.write(bus, &first).await?;
        tracing::info!("{} has no profile yet: it takes an address of a DHCP server", self.name());
        Ok((path, first))
    }

    /// Has the profile on disk, whole, durably, and as asked.
    async fn write(&self, bus: &Bus, profile: &Profile) -> Result<OwnedObjectPath, Fault> {
        let (path, file) = profiles::save(bus, &settings::of(profile, self.name())).await?;
        disk::sync(&file)?;
        if disk::read(&file)?.profile()? == *profile && disk::saved()?.is_some() {
            return Ok(path);
        }
        Err(Fault::new(code::APPLY_FAILED, "the profile on disk is not what was asked for"))
    }

    /// The LAN alone: a change of the share need not disturb the network.
    async fn runs(&self, device: &Device<'_>, profile: &Profile) -> Result<bool, Fault> {
        let applied = if device.is_up().await? { device.applied().await?.profile().ok() } else { None };
        if applied.is_none_or(|applied| applied.lan != profile.lan) {
            return Ok(false);
        }
        // A NetworkManager that took over from a dead one may have left an address of its.
        let link = kernel::link(self.name()).await?.unwrap_or_default();
        Ok(profile.lan.address().is_none_or(|address| link.addresses == [address]))
    }

    async fn bring_up(
        &self,
        device: &Device<'_>,
        path: &OwnedObjectPath,
        profile: &Profile,
    ) -> Result<(), Fault> {
        let is_dhcp = *profile.lan.addressing() == Addressing::Dhcp;
        let patience = if is_dhcp { DHCP_PATIENCE } else { STATIC_PATIENCE };
        let Err(stuck) = device.put_on(path, patience).await? else {
            return Ok(());
        };
        let name = self.name();
        let link = kernel::link(name).await?.unwrap_or_default();
        if stuck == Stuck::Lost || !link.has_carrier {
            return Err(Fault::new(code::NO_CARRIER, &format!("the link on {name} went away")));
        }
        if is_dhcp {
            let seconds = DHCP_PATIENCE.as_secs();
            let detail = format!("no DHCP server gave an address within {seconds} s");
            return Err(Fault::new(code::NO_LEASE, &detail));
        }
        if let Some(address) = profile.lan.address() {
            // NetworkManager does not tell this from other reasons.
            self.probes.refuse_conflict(&link, address.addr()).await?;
        }
        Err(Fault::new(code::APPLY_FAILED, &format!("{name} does not come up: {stuck:?}")))
    }

    /// Waits until NetworkManager has done what it does of itself.
    async fn settled(&self, device: &Device<'_>) -> Result<(), Fault> {
        let deadline = Instant::now() + STATIC_PATIENCE;
        while device.is_moving().await? && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Has these run; if the pharmacy's network does not let them, NetworkManager goes on trying.
    async fn have_run(
        &self,
        device: &Device<'_>,
        path: &OwnedObjectPath,
        profile: &Profile,
    ) -> Result<(), Fault> {
        self.settled(device).await?;
        if self.runs(device, profile).await? {
            return Ok(());
        }
        if let Err(fault) = self.bring_up(device, path, profile).await {
            tracing::warn!(error = %fault, "the saved settings do not come up now; NetworkManager goes on trying");
        }
        Ok(())
    }
}

impl LanInterface for NetworkManager {
    type Baseline = Baseline;

    async fn reached(&self, _: TrialPhase) {}

    fn boot_id(&self) -> String {
        fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
    }

    async fn saved(&self) -> Result<Profile, Fault> {
        // The file says it, whether NetworkManager is there or not.
        if let Some(stored) = disk::saved()? {
            return stored.profile();
        }
        let bus = Bus::connect().await?;
        let device = Device::find(&bus, self.name()).await?;
        Ok(self.profile_of_now(&bus, &device).await?.1)
    }

    async fn effective(&self) -> Option<Effective> {
        let bus = Bus::connect().await.ok()?;
        let device = Device::find(&bus, self.name()).await.ok()?;
        let source = if device.applied().await.ok()?.method == "auto" { "dhcp" } else { "static" };
        let link = kernel::link(self.name()).await.ok()??;
        Some(Effective {
            address: link.addresses.first().map(ToString::to_string),
            source: source.to_owned(),
        })
    }

    async fn judgeable(&self) {
        let mut backoff = Backoff::new(WAIT_FIRST, WAIT_MOST);
        while !self.probes.cloud.make(ROUND_TRIP).await {
            tracing::warn!("the cloud does not answer: a change of the LAN waits for it");
            sleep(backoff.next_wait()).await;
        }
    }

    async fn baseline(&self, wish: &Wish) -> Result<Baseline, Fault> {
        let bus = Bus::connect().await?;
        let device = Device::find(&bus, self.name()).await?;
        let (_, running) = self.profile_of_now(&bus, &device).await?;
        let place = match running.lan.addressing() {
            Addressing::Static { address, gateway } => Some(Place { address: *address, gateway: *gateway }),
            Addressing::Dhcp => device.lease().await?,
        };
        self.probes.baseline(wish, &running, place).await
    }

    async fn try_on(&self, profile: &Profile) -> Result<(), Fault> {
        let bus = Bus::connect().await?;
        let device = Device::find(&bus, self.name()).await?;
        bus.while_there(async {
            if let Some(left) = Checkpoint::find(&bus, &device).await? {
                left.roll_back().await?;
                self.settled(&device).await?;
            }
            let (_, running) = self.profile_of_now(&bus, &device).await?;
            Checkpoint::create(&bus, &device, disk::saved()?.is_none()).await?;
            let path = profiles::try_on(&bus, &settings::of(profile, self.name())).await?;
            if running.lan == profile.lan && self.runs(&device, &running).await? {
                return Ok(());
            }
            self.bring_up(&device, &path, profile).await
        })
        .await
    }

    async fn probe(&self, profile: &Profile, baseline: &Baseline) -> Result<(), Fault> {
        let bus = Bus::connect().await?;
        let device = Device::find(&bus, self.name()).await?;
        let checkpoint = Checkpoint::find(&bus, &device).await?.ok_or_else(Checkpoint::gone)?;
        let lease = device.lease().await?;
        let probes = Box::pin(self.probes.run(profile, baseline, lease));
        bus.while_there(checkpoint.hold(probes)).await
    }

    async fn commit(&self, profile: &Profile) -> Result<(), Fault> {
        let bus = Bus::connect().await?;
        let device = Device::find(&bus, self.name()).await?;
        let checkpoint = Checkpoint::find(&bus, &device).await?;
        if let Some(checkpoint) = &checkpoint {
            // It shall not fire in the middle. If it has, all of it is written below all the same.
            drop(checkpoint.extend().await);
        }
        let path = self.write(&bus, profile).await?;
        if let Some(checkpoint) = checkpoint {
            checkpoint.destroy().await?;
        }
        self.have_run(&device, &path, profile).await
    }

    async fn roll_back(&self, previous: &Profile) -> Result<(), Fault> {
        let bus = match Bus::connect().await {
            Ok(bus) => bus,
            Err(fault) => {
                // The next NetworkManager shall not find what the dead one left.
                disk::drop_trial()?;
                return Err(fault);
            }
        };
        let device = Device::find(&bus, self.name()).await?;
        if let Some(checkpoint) = Checkpoint::find(&bus, &device).await? {
            checkpoint.roll_back().await?;
            self.settled(&device).await?;
        }
        // Whoever put the old settings back, they may still be in memory only, or not there at all if
        // NetworkManager died: from here on what is on disk counts.
        if disk::drop_trial()? {
            profiles::reload(&bus).await?;
        }
        let had_one = disk::saved()?.is_some();
        let (path, saved) = self.profile_of_now(&bus, &device).await?;
        if !had_one && saved != *previous {
            tracing::warn!("the profile from before the change is gone; another one is on disk");
        }
        self.have_run(&device, &path, &saved).await
    }

    fn longest_trial(&self) -> Duration {
        HARD_CAP + ROLLBACK
    }
}
