//! LAN settings: as typed ([`LanDraft`]) and as a box can apply them ([`LanSettings`]).
//!
//! One code judges them for the API, for Slack's modal and for the box, and names every fault at once.

use std::{net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    draft::Fields,
    fault::{FaultCode, Faults},
};

pub const MAX_DNS: usize = 3;
pub const MAX_ROUTES: usize = 8;
/// RFC 791 asks every host to take 576 bytes; Ethernet carries 1500.
pub const MTU: std::ops::RangeInclusive<i64> = 576..=1500;
pub const PREFIX: std::ops::RangeInclusive<u8> = 8..=30;
const MODES: &str = "dhcp, static";

/// Settings as typed: any text, the form they have in JSON everywhere. Any JSON reads as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
    pub misfits: Faults,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
        let mut faults = std::mem::take(&mut draft.misfits);
        match judged(&draft) {
            Ok(settings) => {
                faults.extend_elsewhere(reserved.faults_of(&settings));
                faults.unless_any(settings)
            }
            Err(more) => {
                faults.extend_elsewhere(more);
                Err(faults)
            }
        }
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

    /// Where the settings lie over the box's own line.
    pub fn faults_of(&self, settings: &LanSettings) -> Faults {
        let mut faults = Faults::default();
        if settings.address().is_some_and(|address| self.overlaps(address.trunc())) {
            faults.add("address", FaultCode::OverlapsWan);
        }
        for (index, route) in settings.routes.iter().enumerate() {
            if self.overlaps(route.to) {
                faults.add(format!("routes[{index}].to"), FaultCode::OverlapsWan);
            }
        }
        faults
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
        let mut faults = draft.misfits.clone().without_unknown_fields();
        match judged(&draft) {
            Ok(settings) => faults.unless_any(settings),
            Err(more) => {
                faults.extend_elsewhere(more);
                Err(faults)
            }
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

/// Judges what could be read of a draft.
fn judged(draft: &LanDraft) -> Result<LanSettings, Faults> {
    let mut faults = Faults::default();
    let addressing = faulting_addressing(draft, &mut faults);
    let dns = faulting_dns(draft, &mut faults);
    let mtu = draft.mtu.and_then(|mtu| faults.take("mtu", parse_mtu(mtu)));
    let routes = faulting_routes(draft, addressing.as_ref(), &mut faults);
    match addressing {
        Some(addressing) => faults.unless_any(LanSettings { addressing, dns, mtu, routes }),
        None => Err(faults),
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

fn faulting_addressing(draft: &LanDraft, faults: &mut Faults) -> Option<Addressing> {
    match draft.mode.as_deref() {
        Some("dhcp") => {
            for (field, value) in [("address", &draft.address), ("gateway", &draft.gateway)] {
                if value.is_some() {
                    faults.add(field, FaultCode::NotAllowedHere);
                }
            }
            Some(Addressing::Dhcp)
        }
        Some("static") => {
            let address = draft.address.as_deref().ok_or(FaultCode::Required).and_then(parse_host);
            let address = faults.take("address", address);
            let gateway = draft.gateway.as_deref().map(|text| {
                let gateway = parse_private(text)?;
                address.map_or(Ok(gateway), |own| neighbour(own, gateway))
            });
            let gateway = gateway.and_then(|gateway| faults.take("gateway", gateway));
            address.map(|address| Addressing::Static { address, gateway })
        }
        given => {
            let code = given.map_or(FaultCode::Required, |_| FaultCode::UnknownValue { allowed: MODES });
            faults.add("mode", code);
            None
        }
    }
}

fn faulting_dns(draft: &LanDraft, faults: &mut Faults) -> Vec<Ipv4Addr> {
    let typed = draft.dns.as_deref().unwrap_or_default();
    if typed.len() > MAX_DNS {
        faults.add("dns", FaultCode::TooMany { max: MAX_DNS });
    }
    let mut servers = Vec::new();
    for (index, text) in typed.iter().enumerate() {
        let server = parse_private(text).and_then(|server| {
            if servers.contains(&server) { Err(FaultCode::Duplicate) } else { Ok(server) }
        });
        servers.extend(faults.take(&format!("dns[{index}]"), server));
    }
    servers
}

fn faulting_routes(draft: &LanDraft, addressing: Option<&Addressing>, faults: &mut Faults) -> Vec<Route> {
    let typed = draft.routes.as_deref().unwrap_or_default();
    if typed.len() > MAX_ROUTES {
        faults.add("routes", FaultCode::TooMany { max: MAX_ROUTES });
    }
    let mut routes: Vec<Route> = Vec::new();
    for (index, draft) in typed.iter().enumerate() {
        let to = parse_network(&draft.to).and_then(|to| {
            if routes.iter().any(|other| other.to == to) { Err(FaultCode::Duplicate) } else { Ok(to) }
        });
        let via = parse_private(&draft.via).and_then(|via| match addressing {
            Some(Addressing::Static { address, .. }) => neighbour(*address, via),
            _ => Ok(via),
        });
        let to = faults.take(&format!("routes[{index}].to"), to);
        let via = faults.take(&format!("routes[{index}].via"), via);
        routes.extend(to.zip(via).map(|(to, via)| Route { to, via }));
    }
    routes
}

fn parse_host(text: &str) -> Result<Ipv4Net, FaultCode> {
    let net = parse_cidr(text)?;
    if net.addr() == net.network() {
        return Err(FaultCode::NetworkAddress);
    }
    if net.addr() == net.broadcast() {
        return Err(FaultCode::BroadcastAddress);
    }
    Ok(net)
}

fn parse_network(text: &str) -> Result<Ipv4Net, FaultCode> {
    let net: Ipv4Net = text.trim().parse().map_err(|_| FaultCode::NotACidr)?;
    if net.prefix_len() == 0 {
        return Err(FaultCode::DefaultRoute);
    }
    if net != net.trunc() {
        return Err(FaultCode::HostBits);
    }
    if is_private(net) { Ok(net) } else { Err(FaultCode::NotPrivate) }
}

fn parse_cidr(text: &str) -> Result<Ipv4Net, FaultCode> {
    let net: Ipv4Net = text.trim().parse().map_err(|_| FaultCode::NotACidr)?;
    if !PREFIX.contains(&net.prefix_len()) {
        return Err(FaultCode::PrefixOutOfRange { min: *PREFIX.start(), max: *PREFIX.end() });
    }
    if is_private(net.trunc()) { Ok(net) } else { Err(FaultCode::NotPrivate) }
}

fn parse_private(text: &str) -> Result<Ipv4Addr, FaultCode> {
    let address: Ipv4Addr = text.trim().parse().map_err(|_| FaultCode::NotAnIpv4Address)?;
    if address.is_private() { Ok(address) } else { Err(FaultCode::NotPrivate) }
}

/// True if the whole network is private, not only its first address.
fn is_private(network: Ipv4Net) -> bool {
    let ranges = [(10, 0, 8), (172, 16, 12), (192, 168, 16)];
    ranges
        .iter()
        .any(|&(a, b, prefix)| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix).contains(&network))
}

/// Another host of the box's own subnet.
fn neighbour(own: Ipv4Net, other: Ipv4Addr) -> Result<Ipv4Addr, FaultCode> {
    if other == own.addr() {
        Err(FaultCode::OwnAddress)
    } else if !own.contains(&other) {
        Err(FaultCode::OutsideSubnet)
    } else if other == own.network() {
        Err(FaultCode::NetworkAddress)
    } else if other == own.broadcast() {
        Err(FaultCode::BroadcastAddress)
    } else {
        Ok(other)
    }
}

fn parse_mtu(mtu: i64) -> Result<u16, FaultCode> {
    let fault = FaultCode::OutOfRange { min: *MTU.start(), max: *MTU.end() };
    if MTU.contains(&mtu) { u16::try_from(mtu).map_err(|_| fault) } else { Err(fault) }
}

#[cfg(test)]
#[path = "lan_tests.rs"]
mod tests;
