//! Whether new settings work. What did not work before them is not their fault, so it is looked at first.

mod arp;
mod dns;
pub mod kernel;
pub mod share;

use std::{net::Ipv4Addr, time::Duration};

use device_model::{
    lan::{Addressing, LanDraft, LanSettings, ReservedRanges},
    outcome::code,
    shadow::ShareProbe,
};
use ipnet::Ipv4Net;

use crate::{
    lan::{
        Fault,
        probe::{kernel::Link, share::ShareLogin},
        state::{Profile, Wish},
    },
    shadow::round_trip::RoundTrip,
};

/// Somebody who has the address already says so at once (RFC 5227 waits as long).
const CONFLICT_PATIENCE: Duration = Duration::from_secs(1);
/// A switch may take its time after the link came up.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(10);
/// What worked before is looked at with less patience: the pharmacy waits.
const BASELINE_PATIENCE: Duration = Duration::from_secs(3);
/// Who stands in front of a box whose line is down does not wait for that for long.
const BASELINE_CLOUD_PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for a line that flaps to come back, and for a connection of its own.
const CLOUD_PATIENCE: Duration = Duration::from_mins(1);

pub struct Probes {
    /// The pharmacy's side.
    pub interface: String,
    /// The box's own line.
    pub wan: String,
    pub reserved: ReservedRanges,
    pub share: ShareLogin,
    pub cloud: RoundTrip,
}

/// Where the box stands on the pharmacy's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub address: Ipv4Net,
    pub gateway: Option<Ipv4Addr>,
}

/// What worked before a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    way_out: Option<u32>,
    was_a_way_out: bool,
    silent_gateway: Option<Ipv4Addr>,
    /// If none of these answered.
    silent_dns: Vec<Ipv4Addr>,
    /// How a login at the share failed.
    share: Option<String>,
    /// The box is not to be told from afar anyhow: somebody stands in front of it, and its line is down.
    silent_cloud: bool,
}

impl Probes {
    /// What works now, under `running`. A fault tells why this cannot be tried at all.
    pub async fn baseline(
        &self,
        wish: &Wish,
        running: &Profile,
        place: Option<Place>,
    ) -> Result<Baseline, Fault> {
        let profile = &wish.profile;
        let link = self.link().await?;
        let way_out = kernel::way_out().await?;
        self.refuse_overlaps(&profile.lan).await?;
        if let Some(address) = profile.lan.address() {
            self.refuse_conflict(&link, address.addr()).await?;
        }
        let gateway = async {
            let gateway = place.and_then(|place| place.gateway)?;
            let own = place.map(|place| place.address.addr());
            let found = arp::who_has(&link, own, gateway, BASELINE_PATIENCE).await;
            found.ok().flatten().is_none().then_some(gateway)
        };
        let dns = async {
            let servers = running.lan.dns();
            if dns::any_answers(&self.interface, servers).await { Vec::new() } else { servers.to_vec() }
        };
        let share = async {
            // Other settings for the share have to work, whatever became of the old ones.
            let is_same = profile.share.is_none() || profile.share == running.share;
            let place = place.filter(|_| self.share.is_hosted() && is_same)?;
            self.share.works(place.address.addr(), share_name(running)).await.err()
        };
        // A change from afar begins only once the cloud has answered, and must leave it that way.
        let silent_cloud = async { wish.local && !self.cloud.make(BASELINE_CLOUD_PATIENCE).await };
        let (silent_gateway, silent_dns, share, silent_cloud) =
            tokio::join!(gateway, dns, share, silent_cloud);
        let was_a_way_out = link.is_a_way_out;
        Ok(Baseline { way_out, was_a_way_out, silent_gateway, silent_dns, share, silent_cloud })
    }

    /// Whether these settings, which are on the interface, work as well. `lease` is what a DHCP server gave.
    pub async fn run(
        &self,
        profile: &Profile,
        baseline: &Baseline,
        lease: Option<Place>,
    ) -> Result<(), Fault> {
        let link = self.link().await?;
        let place = self.address(profile, lease, &link).await?;
        self.way_out(baseline, &link).await?;
        let others = async {
            self.gateway(baseline, &link, place).await?;
            self.dns(profile, baseline).await?;
            self.share(profile, baseline, place).await?;
            self.cloud(baseline).await
        };
        tokio::try_join!(self.refuse_conflict(&link, place.address.addr()), others)?;
        // All that took its time, and it is the one thing that must not be wrong.
        self.way_out(baseline, &self.link().await?).await
    }

    /// The interface, which is plugged in.
    async fn link(&self) -> Result<Link, Fault> {
        let missing =
            || Fault::new(code::APPLY_FAILED, &format!("there is no network interface {}", self.interface));
        let link = kernel::link(&self.interface).await?.ok_or_else(missing)?;
        if link.has_carrier {
            return Ok(link);
        }
        let detail = format!("there is no link on {}: the cable or the switch", self.interface);
        Err(Fault::new(code::NO_CARRIER, &detail))
    }

    /// 1: address and routes as asked; of a DHCP server, as it could have been asked.
    async fn address(&self, profile: &Profile, lease: Option<Place>, link: &Link) -> Result<Place, Fault> {
        let lan = &profile.lan;
        let place = match lan.addressing() {
            Addressing::Static { address, gateway } => Place { address: *address, gateway: *gateway },
            Addressing::Dhcp => {
                let none = || Fault::new(code::NO_LEASE, "no DHCP server gave an address");
                let lease = lease.ok_or_else(none)?;
                self.judge_lease(lease).await?;
                lease
            }
        };
        let not_set = |detail: String| Err(Fault::new(code::ADDRESS_NOT_SET, &detail));
        if link.addresses != [place.address] {
            let has: Vec<_> = link.addresses.iter().map(ToString::to_string).collect();
            return not_set(format!("{} has {} and not {}", self.interface, has.join(", "), place.address));
        }
        if let Some(route) = lan.routes().iter().find(|route| !link.routes.contains(route)) {
            return not_set(format!("the route to {} by {} is not there", route.to, route.via));
        }
        if let Some(mtu) = lan.mtu()
            && u32::from(mtu) != link.mtu
        {
            return not_set(format!("the MTU is {} and not {mtu}", link.mtu));
        }
        Ok(place)
    }

    async fn judge_lease(&self, lease: Place) -> Result<(), Fault> {
        let refused = |why: String| {
            let detail = format!("the DHCP server gave {}: {why}", lease.address);
            Err(Fault::new(code::LEASE_REFUSED, &detail))
        };
        let draft = LanDraft {
            mode: Some("static".to_owned()),
            address: Some(lease.address.to_string()),
            gateway: lease.gateway.map(|gateway| gateway.to_string()),
            ..LanDraft::default()
        };
        match LanSettings::parse(draft, &self.reserved) {
            Ok(lan) => match self.overlap(&lan).await? {
                Some(overlap) => refused(overlap),
                None => Ok(()),
            },
            Err(faults) => refused(faults.to_string()),
        }
    }

    /// What the settings would take away from the box's own line as it is now.
    async fn overlap(&self, lan: &LanSettings) -> Result<Option<String>, Fault> {
        let wan = &self.wan;
        // A line that is not there has nothing to lose.
        let Some(link) = kernel::link(wan).await? else { return Ok(None) };
        let ours = lan.address().map(|address| address.trunc());
        let ours = ours.into_iter().chain(lan.routes().iter().map(|route| route.to));
        Ok(ours.into_iter().find_map(|network| {
            let taken =
                link.reached.iter().find(|taken| taken.contains(&network) || network.contains(*taken))?;
            Some(format!("{network} lies over {taken}, which is reached by {wan}"))
        }))
    }

    async fn refuse_overlaps(&self, lan: &LanSettings) -> Result<(), Fault> {
        match self.overlap(lan).await? {
            Some(overlap) => Err(Fault::new(code::OVERLAPS_WAN, &overlap)),
            None => Ok(()),
        }
    }

    /// 2: nobody else has the address.
    pub async fn refuse_conflict(&self, link: &Link, address: Ipv4Addr) -> Result<(), Fault> {
        match arp::who_has(link, None, address, CONFLICT_PATIENCE).await? {
            Some(mac) => {
                let mac: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                let detail =
                    format!("{address} is used by the machine with the MAC address {}", mac.join(":"));
                Err(Fault::new(code::ADDRESS_IN_USE, &detail))
            }
            None => Ok(()),
        }
    }

    /// 3: the internet is still reached by the box's own line.
    async fn way_out(&self, baseline: &Baseline, link: &Link) -> Result<(), Fault> {
        let moved = |detail: String| Err(Fault::new(code::DEFAULT_ROUTE_MOVED, &detail));
        if link.is_a_way_out && !baseline.was_a_way_out {
            return moved(format!("a default route leads through {}", self.interface));
        }
        let now = kernel::way_out().await?;
        if now == Some(link.index) && baseline.way_out != now {
            return moved(format!("the internet would be reached by {}", self.interface));
        }
        Ok(())
    }

    /// 4: the pharmacy's router is there.
    async fn gateway(&self, baseline: &Baseline, link: &Link, place: Place) -> Result<(), Fault> {
        let Some(gateway) = place.gateway else { return Ok(()) };
        let own = Some(place.address.addr());
        if arp::who_has(link, own, gateway, GATEWAY_PATIENCE).await?.is_some() {
            return Ok(());
        }
        if baseline.silent_gateway == Some(gateway) {
            tracing::warn!("the gateway is silent, as it was before the change");
            return Ok(());
        }
        let seconds = GATEWAY_PATIENCE.as_secs();
        Err(Fault::new(code::GATEWAY_SILENT, &format!("{gateway} did not answer ARP for {seconds} s")))
    }

    /// 5: a name server of the pharmacy's is there.
    async fn dns(&self, profile: &Profile, baseline: &Baseline) -> Result<(), Fault> {
        let servers = profile.lan.dns();
        if servers.is_empty() || dns::any_answers(&self.interface, servers).await {
            return Ok(());
        }
        if servers.iter().all(|server| baseline.silent_dns.contains(server)) {
            tracing::warn!("no name server answers, and none did before the change");
            return Ok(());
        }
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        Err(Fault::new(code::DNS_SILENT, &format!("no answer from {}", servers.join(", "))))
    }

    /// 6: the receipt computer could save its files.
    async fn share(&self, profile: &Profile, baseline: &Baseline, place: Place) -> Result<(), Fault> {
        if !self.share.is_hosted() {
            return Ok(());
        }
        let Err(why) = self.share.works(place.address.addr(), share_name(profile)).await else {
            return Ok(());
        };
        if profile.probe.share == ShareProbe::Warn {
            tracing::warn!(error = why, "no login at the share; the change goes on, as was asked");
            return Ok(());
        }
        if baseline.share.as_ref() == Some(&why) {
            tracing::warn!(error = why, "no login at the share, as before the change");
            return Ok(());
        }
        Err(Fault::new(code::SHARE_LOGIN, &format!("login at {}: {why}", place.address.addr())))
    }

    /// 7: the box can be told to go back.
    async fn cloud(&self, baseline: &Baseline) -> Result<(), Fault> {
        if baseline.silent_cloud {
            tracing::warn!("the cloud did not answer before the change either");
            return Ok(());
        }
        if self.cloud.make(CLOUD_PATIENCE).await {
            return Ok(());
        }
        let seconds = CLOUD_PATIENCE.as_secs();
        let detail = format!("the shadow did not answer for {seconds} s");
        Err(Fault::new(code::CLOUD_UNREACHABLE, &detail))
    }
}

fn share_name(profile: &Profile) -> Option<&str> {
    profile.share.as_ref().map(|share| share.name.as_str())
}
