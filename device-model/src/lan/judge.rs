//! Judges a draft of LAN settings field by field: a fault at one does not keep the others from being told.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{
    fault::{FaultCode, Faults},
    lan::{
        Addressing, LanDraft, LanSettings, MAX_DNS, MAX_ROUTES, MTU, PREFIX, ReservedRanges, Route,
        RouteDraft,
    },
};

const MODES: &str = "dhcp, static";

/// The settings, or everything that is wrong with what could be read of the draft.
pub fn judged(draft: &LanDraft, reserved: &ReservedRanges) -> Result<LanSettings, Faults> {
    let mut judge = Judge { reserved, faults: Faults::default() };
    let address = judge.address(draft);
    let gateway = judge.gateway(draft, address);
    let dns = judge.dns(draft.dns.as_deref().unwrap_or_default());
    let mtu = draft.mtu.and_then(|mtu| judge.faults.take("mtu", parse_mtu(mtu)));
    let routes = judge.routes(draft.routes.as_deref().unwrap_or_default(), address);
    let addressing = match address {
        Some(address) => Addressing::Static { address, gateway },
        None => Addressing::Dhcp,
    };
    judge.faults.unless_any(LanSettings { addressing, dns, mtu, routes })
}

struct Judge<'a> {
    reserved: &'a ReservedRanges,
    faults: Faults,
}

impl Judge<'_> {
    /// The static address, if there is to be one. Even one that no host may have tells the subnet that
    /// the other fields are judged by. The mode is judged too.
    fn address(&mut self, draft: &LanDraft) -> Option<Ipv4Net> {
        match draft.mode.as_deref() {
            Some("dhcp") => {
                for (field, value) in [("address", &draft.address), ("gateway", &draft.gateway)] {
                    if value.is_some() {
                        self.faults.add(field, FaultCode::NotAllowedHere);
                    }
                }
                return None;
            }
            Some("static") if draft.address.is_none() => self.faults.add("address", FaultCode::Required),
            Some("static") => {}
            Some(_) => self.faults.add("mode", FaultCode::UnknownValue { allowed: MODES }),
            None => self.faults.add("mode", FaultCode::Required),
        }
        let own = self.faults.take("address", parse_subnet(draft.address.as_deref()?))?;
        let host = host_of(own).and_then(|()| self.off_the_line(own.trunc()));
        self.faults.take("address", host);
        Some(own)
    }

    fn gateway(&mut self, draft: &LanDraft, own: Option<Ipv4Net>) -> Option<Ipv4Addr> {
        let text = draft.gateway.as_deref().filter(|_| draft.mode.as_deref() != Some("dhcp"))?;
        let gateway = self.neighbour(text, own);
        self.faults.take("gateway", gateway)
    }

    fn dns(&mut self, typed: &[String]) -> Vec<Ipv4Addr> {
        if typed.len() > MAX_DNS {
            self.faults.add("dns", FaultCode::TooMany { max: MAX_DNS });
        }
        let mut servers = Vec::new();
        for (index, text) in typed.iter().enumerate() {
            let server = self.private(text);
            let server = server.and_then(|server| unless_there(&servers, server));
            servers.extend(self.faults.take(&format!("dns[{index}]"), server));
        }
        servers
    }

    fn routes(&mut self, typed: &[RouteDraft], own: Option<Ipv4Net>) -> Vec<Route> {
        if typed.len() > MAX_ROUTES {
            self.faults.add("routes", FaultCode::TooMany { max: MAX_ROUTES });
        }
        let (mut networks, mut routes) = (Vec::new(), Vec::new());
        for (index, draft) in typed.iter().enumerate() {
            let to = parse_network(&draft.to).and_then(|to| self.off_the_line(to).map(|()| to));
            let to = to.and_then(|to| unless_there(&networks, to));
            let to = self.faults.take(&format!("routes[{index}].to"), to);
            networks.extend(to);
            let via = self.neighbour(&draft.via, own);
            let via = self.faults.take(&format!("routes[{index}].via"), via);
            routes.extend(to.zip(via).map(|(to, via)| Route { to, via }));
        }
        routes
    }

    /// Another host of the box's own subnet; without one any that may be there.
    fn neighbour(&self, text: &str, own: Option<Ipv4Net>) -> Result<Ipv4Addr, FaultCode> {
        let other = self.private(text)?;
        let Some(own) = own else {
            return Ok(other);
        };
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

    fn private(&self, text: &str) -> Result<Ipv4Addr, FaultCode> {
        let address: Ipv4Addr = text.trim().parse().map_err(|_| FaultCode::NotAnIpv4Address)?;
        if !address.is_private() {
            return Err(FaultCode::NotPrivate);
        }
        self.off_the_line(address.into()).map(|()| address)
    }

    fn off_the_line(&self, network: Ipv4Net) -> Result<(), FaultCode> {
        if self.reserved.overlaps(network) { Err(FaultCode::OverlapsWan) } else { Ok(()) }
    }
}

fn unless_there<T: PartialEq>(there: &[T], new: T) -> Result<T, FaultCode> {
    if there.contains(&new) { Err(FaultCode::Duplicate) } else { Ok(new) }
}

/// An address with the prefix length of its subnet.
fn parse_subnet(text: &str) -> Result<Ipv4Net, FaultCode> {
    let net = parse_cidr(text)?;
    if !PREFIX.contains(&net.prefix_len()) {
        return Err(FaultCode::PrefixOutOfRange { min: *PREFIX.start(), max: *PREFIX.end() });
    }
    if is_private(net.trunc()) { Ok(net) } else { Err(FaultCode::NotPrivate) }
}

fn host_of(subnet: Ipv4Net) -> Result<(), FaultCode> {
    if subnet.addr() == subnet.network() {
        Err(FaultCode::NetworkAddress)
    } else if subnet.addr() == subnet.broadcast() {
        Err(FaultCode::BroadcastAddress)
    } else {
        Ok(())
    }
}

fn parse_network(text: &str) -> Result<Ipv4Net, FaultCode> {
    let net = parse_cidr(text)?;
    if net.prefix_len() == 0 {
        return Err(FaultCode::DefaultRoute);
    }
    if net != net.trunc() {
        return Err(FaultCode::HostBits);
    }
    if is_private(net) { Ok(net) } else { Err(FaultCode::NotPrivate) }
}

/// `010` is eight to some and ten to others, so it is no number here; `ipnet` would take it.
fn parse_cidr(text: &str) -> Result<Ipv4Net, FaultCode> {
    let (address, prefix) = text.trim().split_once('/').ok_or(FaultCode::NotACidr)?;
    let address = address.parse().map_err(|_| FaultCode::NotACidr)?;
    if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FaultCode::NotACidr);
    }
    let prefix = prefix.parse().map_err(|_| FaultCode::NotACidr)?;
    Ipv4Net::new(address, prefix).map_err(|_| FaultCode::NotACidr)
}

/// True if the whole network is private, not only its first address.
fn is_private(network: Ipv4Net) -> bool {
    let ranges = [(10, 0, 8), (172, 16, 12), (192, 168, 16)];
    ranges
        .iter()
        .any(|&(a, b, prefix)| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix).contains(&network))
}

fn parse_mtu(mtu: i64) -> Result<u16, FaultCode> {
    let fault = FaultCode::OutOfRange { min: *MTU.start(), max: *MTU.end() };
    if MTU.contains(&mtu) { u16::try_from(mtu).map_err(|_| fault) } else { Err(fault) }
}
