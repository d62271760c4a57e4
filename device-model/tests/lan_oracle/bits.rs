//! The rules once more, from the single bits of addresses: what the product uses to judge is not used here.

use device_model::lan::LanDraft;

pub type Found = Vec<(String, &'static str)>;
type Net = (u32, u8);

/// Settings as numbers: address with prefix, gateway, name servers, routes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub address: Option<Net>,
    pub gateway: Option<u32>,
    pub dns: Vec<u32>,
    pub routes: Vec<(Net, u32)>,
}

const PRIVATE: [&str; 3] = ["00001010", "101011000001", "1100000010101000"];

/// Everything that is wrong, in the order of the fields, and what could be read.
pub fn judge(draft: &LanDraft, reserved: &[Net]) -> (Found, Numbers) {
    let mut found = Found::new();
    let mut numbers = Numbers::default();
    let dhcp = draft.mode.as_deref() == Some("dhcp");
    match draft.mode.as_deref() {
        None => found.push(("mode".to_owned(), "REQUIRED")),
        Some("dhcp" | "static") => {}
        Some(_) => found.push(("mode".to_owned(), "UNKNOWN_VALUE")),
    }
    let mut subnet = None;
    match &draft.address {
        Some(_) if dhcp => found.push(("address".to_owned(), "NOT_ALLOWED_HERE")),
        Some(text) => {
            let (code, known) = judge_address(text, reserved);
            subnet = known;
            numbers.address = known;
            found.extend(code.map(|code| ("address".to_owned(), code)));
        }
        None if draft.mode.as_deref() == Some("static") => found.push(("address".to_owned(), "REQUIRED")),
        None => {}
    }
    match &draft.gateway {
        Some(_) if dhcp => found.push(("gateway".to_owned(), "NOT_ALLOWED_HERE")),
        Some(text) => match judge_neighbour(text, subnet, reserved) {
            Ok(gateway) => numbers.gateway = Some(gateway),
            Err(code) => found.push(("gateway".to_owned(), code)),
        },
        None => {}
    }
    let servers = draft.dns.clone().unwrap_or_default();
    if servers.len() > 3 {
        found.push(("dns".to_owned(), "TOO_MANY"));
    }
    for (index, text) in servers.iter().enumerate() {
        match judge_neighbour(text, None, reserved) {
            Ok(server) if numbers.dns.contains(&server) => found.push((format!("dns[{index}]"), "DUPLICATE")),
            Ok(server) => numbers.dns.push(server),
            Err(code) => found.push((format!("dns[{index}]"), code)),
        }
    }
    if draft.mtu.is_some_and(|mtu| !(576..=1500).contains(&mtu)) {
        found.push(("mtu".to_owned(), "OUT_OF_RANGE"));
    }
    let routes = draft.routes.clone().unwrap_or_default();
    if routes.len() > 8 {
        found.push(("routes".to_owned(), "TOO_MANY"));
    }
    let mut networks = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let to = match judge_network(&route.to, reserved) {
            Ok(to) if networks.contains(&to) => Err("DUPLICATE"),
            other => other,
        };
        networks.extend(to);
        let via = judge_neighbour(&route.via, subnet, reserved);
        found.extend(to.err().map(|code| (format!("routes[{index}].to"), code)));
        found.extend(via.err().map(|code| (format!("routes[{index}].via"), code)));
        numbers.routes.extend(to.ok().zip(via.ok()));
    }
    (found, numbers)
}

fn judge_address(text: &str, reserved: &[Net]) -> (Option<&'static str>, Option<Net>) {
    let Some((address, prefix)) = read_net(text) else {
        return (Some("NOT_A_CIDR"), None);
    };
    if !(8..=30).contains(&prefix) {
        return (Some("PREFIX_OUT_OF_RANGE"), None);
    }
    if !is_private(address, prefix) {
        return (Some("NOT_PRIVATE"), None);
    }
    let code = if all_from(address, prefix, '0') {
        Some("NETWORK_ADDRESS")
    } else if all_from(address, prefix, '1') {
        Some("BROADCAST_ADDRESS")
    } else {
        meets(address, prefix, reserved).then_some("OVERLAPS_WAN")
    };
    (code, Some((address, prefix)))
}

fn judge_neighbour(text: &str, subnet: Option<Net>, reserved: &[Net]) -> Result<u32, &'static str> {
    let other = read_address(text.trim()).ok_or("NOT_AN_IPV4_ADDRESS")?;
    if !is_private(other, 32) {
        return Err("NOT_PRIVATE");
    }
    if meets(other, 32, reserved) {
        return Err("OVERLAPS_WAN");
    }
    match subnet {
        Some((own, _)) if own == other => Err("OWN_ADDRESS"),
        Some((own, prefix)) if !same_until(own, other, prefix) => Err("OUTSIDE_SUBNET"),
        Some((_, prefix)) if all_from(other, prefix, '0') => Err("NETWORK_ADDRESS"),
        Some((_, prefix)) if all_from(other, prefix, '1') => Err("BROADCAST_ADDRESS"),
        _ => Ok(other),
    }
}

fn judge_network(text: &str, reserved: &[Net]) -> Result<Net, &'static str> {
    let (address, prefix) = read_net(text).ok_or("NOT_A_CIDR")?;
    if prefix == 0 {
        Err("DEFAULT_ROUTE")
    } else if !all_from(address, prefix, '0') {
        Err("HOST_BITS")
    } else if !is_private(address, prefix) {
        Err("NOT_PRIVATE")
    } else if meets(address, prefix, reserved) {
        Err("OVERLAPS_WAN")
    } else {
        Ok((address, prefix))
    }
}

fn bit(address: u32, place: u8) -> char {
    if address & (1 << (31 - u32::from(place))) == 0 { '0' } else { '1' }
}

fn same_until(one: u32, other: u32, end: u8) -> bool {
    (0..end).all(|place| bit(one, place) == bit(other, place))
}

fn all_from(address: u32, start: u8, value: char) -> bool {
    (start..32).all(|place| bit(address, place) == value)
}

fn is_private(address: u32, prefix: u8) -> bool {
    let begins_with = |start: &&str| {
        start.len() <= usize::from(prefix)
            && start.chars().zip(0..).all(|(value, place)| bit(address, place) == value)
    };
    PRIVATE.iter().any(begins_with)
}

/// Of two networks the smaller lies in the larger, or they have nothing in common.
fn meets(address: u32, prefix: u8, ranges: &[Net]) -> bool {
    ranges.iter().any(|&(range, length)| same_until(address, range, prefix.min(length)))
}

fn read_net(text: &str) -> Option<Net> {
    let mut parts = text.trim().split('/');
    let (address, digits, rest) = (parts.next()?, parts.next()?, parts.next());
    let known = !digits.is_empty() && digits.chars().all(|digit| "0123456789".contains(digit));
    let prefix = digits.trim_start_matches('0');
    let prefix =
        (0..=32).find(|length| format!("{length}") == if prefix.is_empty() { "0" } else { prefix })?;
    (known && rest.is_none()).then_some((read_address(address)?, prefix))
}

fn read_address(text: &str) -> Option<u32> {
    let parts: Vec<&str> = text.split('.').collect();
    let bytes: Vec<u32> = parts.iter().filter_map(|part| read_byte(part)).collect();
    let [a, b, c, d] = bytes.as_slice() else { return None };
    (parts.len() == 4).then_some(((a * 256 + b) * 256 + c) * 256 + d)
}

fn read_byte(text: &str) -> Option<u32> {
    let known = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text.len() == 1 || !text.starts_with('0');
    if !known || !shortest {
        return None;
    }
    let number = text.bytes().fold(0, |sum, byte| sum * 10 + u32::from(byte) - 48);
    (number < 256).then_some(number)
}
