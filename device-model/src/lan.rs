//! LAN settings: as typed ([`LanDraft`]) and as a box can apply them ([`LanSettings`]).
//!
//! One code judges them for the API, for Slack's modal and for the box, and names every fault at once.

mod judge;

use std::{net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{draft::Fields, fault::Faults, lan::judge::judged};

pub const MAX_DNS: usize = 3;
pub const MAX_ROUTES: usize = 8;
/// RFC 791 asks every host to take 576 bytes; Ethernet carries 1500.
pub const MTU: std::ops::RangeInclusive<i64> = 576..=1500;
pub const PREFIX: std::ops::RangeInclusive<u8> = 8..=30;

/// Settings as typed: any text, the form they have in JSON everywhere. Any JSON reads as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LanDraft {
    /// `dhcp` or `static`.
    pub mode: Option<String>,
    /// Address and prefix length, e.g. `192.168.10.9/24`; only with `static`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The pharmacy's router; only with `static`, and there optional.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteDraft>>,
    /// What could not be read. Fields that nobody here knows are refused when typed, and ignored by a
    /// box that is older than the cloud.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub misfits: Faults,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RouteDraft {
    /// The network, e.g. `192.168.20.0/24`.
    pub to: String,
    /// The host that leads there.
    pub via: String,
}

/// Settings that a box can apply. A bad one cannot exist, not even off the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LanDraft", into = "LanDraft")]
pub struct LanSettings {
    addressing: Addressing,
    dns: Vec<Ipv4Addr>,
    mtu: Option<u16>,
    routes: Vec<Route>,
}

/// Where the box's address comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    Dhcp,
    Static { address: Ipv4Net, gateway: Option<Ipv4Addr> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub to: Ipv4Net,
    pub via: Ipv4Addr,
}

/// Networks that belong to the box's own line and may not appear on the pharmacy's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedRanges(Vec<Ipv4Net>);

impl LanSettings {
    /// Settings that take everything from the pharmacy's DHCP server: what a new box starts with.
    pub fn dhcp() -> Self {
        Self { addressing: Addressing::Dhcp, dns: Vec::new(), mtu: None, routes: Vec::new() }
    }

    /// Judges a draft by every rule there is, fields that nobody knows included.
    pub fn parse(mut draft: LanDraft, reserved: &ReservedRanges) -> Result<Self, Faults> {
        judged_beside(std::mem::take(&mut draft.misfits), &draft, reserved)
    }

    /// What would be wrong with these settings next to an address that a DHCP server gave: it has to
    /// obey the same rules as one that was typed.
    pub fn faults_under_lease(&self, lease: Ipv4Net, reserved: &ReservedRanges) -> Faults {
        let addressing = Addressing::Static { address: lease, gateway: None };
        reserved.faults_of(&Self { addressing, ..self.clone() })
    }

    pub fn addressing(&self) -> &Addressing {
        &self.addressing
    }

    pub fn dns(&self) -> &[Ipv4Addr] {
        &self.dns
    }

    pub fn mtu(&self) -> Option<u16> {
        self.mtu
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The static address, if there is one.
    pub fn address(&self) -> Option<Ipv4Net> {
        match self.addressing {
            Addressing::Static { address, .. } => Some(address),
            Addressing::Dhcp => None,
        }
    }
}

impl ReservedRanges {
    pub fn new(ranges: Vec<Ipv4Net>) -> Self {
        Self(ranges)
    }

    pub fn networks(&self) -> &[Ipv4Net] {
        &self.0
    }

    /// Where the settings lie over the box's own line.
    pub fn faults_of(&self, settings: &LanSettings) -> Faults {
        judged(&LanDraft::from(settings.clone()), self).err().unwrap_or_default()
    }

    fn overlaps(&self, network: Ipv4Net) -> bool {
        self.0.iter().any(|range| range.contains(&network) || network.contains(range))
    }
}

impl Default for ReservedRanges {
    /// Shared address space (RFC 6598) and the device subnet of the SORACOM line.
    fn default() -> Self {
        let net = |a, b, prefix| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix);
        Self(vec![net(100, 64, 10), net(10, 128, 9)])
    }
}

impl FromStr for ReservedRanges {
    type Err = ipnet::AddrParseError;

    /// Reads `100.64.0.0/10,10.128.0.0/9`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let networks = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        networks
            .map(|part| part.parse::<Ipv4Net>().map(|net| net.trunc()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl TryFrom<LanDraft> for LanSettings {
    type Error = Faults;

    /// Off the wire: fields that nobody here knows are let by.
    fn try_from(draft: LanDraft) -> Result<Self, Faults> {
        let misfits = draft.misfits.clone().without_unknown_fields();
        // Which ranges are reserved is configuration: whoever applies settings asks for that.
        judged_beside(misfits, &draft, &ReservedRanges(Vec::new()))
    }
}

/// What could be read is judged, beside what could not.
fn judged_beside(
    mut misfits: Faults,
    draft: &LanDraft,
    reserved: &ReservedRanges,
) -> Result<LanSettings, Faults> {
    match judged(draft, reserved) {
        Ok(settings) => misfits.unless_any(settings),
        Err(more) => {
            misfits.extend_elsewhere(more);
            Err(misfits)
        }
    }
}

impl From<Value> for LanDraft {
    fn from(value: Value) -> Self {
        let mut fields = Fields::of(value);
        let route = |fields: &mut Fields| RouteDraft {
            to: fields.text("to").unwrap_or_default(),
            via: fields.text("via").unwrap_or_default(),
        };
        Self {
            mode: fields.text("mode"),
            address: fields.text("address"),
            gateway: fields.text("gateway"),
            dns: fields.texts("dns"),
            mtu: fields.whole_number("mtu"),
            routes: fields.objects("routes", route),
            misfits: fields.finish(),
        }
    }
}

impl<'de> Deserialize<'de> for LanDraft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

impl From<LanSettings> for LanDraft {
    fn from(settings: LanSettings) -> Self {
        let (mode, address, gateway) = match settings.addressing {
            Addressing::Dhcp => ("dhcp", None, None),
            Addressing::Static { address, gateway } => ("static", Some(address), gateway),
        };
        let some = |dns: Vec<String>| (!dns.is_empty()).then_some(dns);
        let route = |route: &Route| RouteDraft { to: route.to.to_string(), via: route.via.to_string() };
        Self {
            mode: Some(mode.to_owned()),
            address: address.map(|address| address.to_string()),
            gateway: gateway.map(|gateway| gateway.to_string()),
            dns: some(settings.dns.iter().map(ToString::to_string).collect()),
            mtu: settings.mtu.map(i64::from),
            routes: (!settings.routes.is_empty()).then(|| settings.routes.iter().map(route).collect()),
            misfits: Faults::default(),
        }
    }
}

#[cfg(test)]
#[path = "lan_tests.rs"]
mod tests;
