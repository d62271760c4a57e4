//! A profile in NetworkManager's words, there and back.

use std::{collections::HashMap, net::Ipv4Addr};

use device_model::lan::{Addressing, Route};
use ipnet::Ipv4Net;
use zbus::{OwnedVariant, Variant};

use crate::lan::{
    network_manager::{
        bus::Groups,
        stored::{ASKED, ID, PRIORITY, Stored, UUID},
    },
    probe::Place,
    state::Profile,
};

const ETHERNET: &str = "802-3-ethernet";
/// How long it is asked whether somebody else has the address (RFC 5227), in milliseconds.
const CONFLICT_TIMEOUT_MS: i32 = 1500;

type Group<'a> = HashMap<&'a str, Variant<'a>>;

/// What NetworkManager is told. Whatever comes from a DHCP server, its address aside, is left out: the
/// box's way out and its names belong to its own line.
pub fn of<'a>(profile: &'a Profile, interface: &'a str) -> HashMap<&'a str, Group<'a>> {
    let lan = &profile.lan;
    let connection = Group::from([
        ("id", ID.into()),
        ("uuid", UUID.into()),
        ("type", ETHERNET.into()),
        ("interface-name", interface.into()),
        ("autoconnect", true.into()),
        ("autoconnect-priority", PRIORITY.into()),
    ]);
    let mut ipv4 = Group::from([
        ("never-default", true.into()),
        ("ignore-auto-dns", true.into()),
        ("ignore-auto-routes", true.into()),
        // Without an address it is not up, whatever IPv6 finds.
        ("may-fail", false.into()),
        ("dad-timeout", CONFLICT_TIMEOUT_MS.into()),
        (
            "dns",
            lan.dns().iter().map(|server| u32::from_ne_bytes(server.octets())).collect::<Vec<_>>().into(),
        ),
        ("route-data", lan.routes().iter().map(route).collect::<Vec<_>>().into()),
    ]);
    match lan.addressing() {
        Addressing::Dhcp => drop(ipv4.insert("method", "auto".into())),
        Addressing::Static { address, .. } => {
            ipv4.insert("method", "manual".into());
            ipv4.insert("address-data", vec![place("address", *address)].into());
        }
    }
    let asked = serde_json::to_string(profile).unwrap_or_default();
    HashMap::from([
        ("connection", connection),
        (ETHERNET, Group::from([("mtu", u32::from(lan.mtu().unwrap_or(0)).into())])),
        ("ipv4", ipv4),
        // A neighbour's announcements must not become ways out.
        ("ipv6", Group::from([("method", "link-local".into()), ("never-default", true.into())])),
        ("user", Group::from([("data", HashMap::from([(ASKED, asked)]).into())])),
    ])
}

fn place<'a>(name: &'static str, network: Ipv4Net) -> Group<'a> {
    Group::from([
        (name, network.addr().to_string().into()),
        ("prefix", u32::from(network.prefix_len()).into()),
    ])
}

fn route<'a>(route: &Route) -> Group<'a> {
    let mut group = place("dest", route.to);
    group.insert("next-hop", route.via.to_string().into());
    group
}

/// What NetworkManager tells.
pub fn read(groups: &Groups) -> Stored {
    let text = |group: &str, key: &str| value::<String>(groups, group, key);
    let connection_type = text("connection", "type");
    Stored {
        uuid: text("connection", "uuid").unwrap_or_default(),
        interface: text("connection", "interface-name"),
        is_ethernet: connection_type.as_deref() == Some(ETHERNET),
        priority: value(groups, "connection", "autoconnect-priority").unwrap_or(0),
        method: text("ipv4", "method").unwrap_or_default(),
        addresses: list(groups, "address-data").iter().filter_map(|one| network(one, "address")).collect(),
        gateway: text("ipv4", "gateway").and_then(|text| text.parse().ok()),
        dns: value::<Vec<u32>>(groups, "ipv4", "dns")
            .unwrap_or_default()
            .into_iter()
            .map(|server| Ipv4Addr::from(server.to_ne_bytes()))
            .collect(),
        mtu: value::<u32>(groups, ETHERNET, "mtu").map(i64::from),
        routes: list(groups, "route-data").iter().filter_map(route_of).collect(),
        asked: value::<HashMap<String, String>>(groups, "user", "data")
            .and_then(|mut data| data.remove(ASKED)),
    }
}

/// True if NetworkManager has all of that, whatever it has besides.
pub fn holds(has: &Groups, wanted: &HashMap<&str, Group<'_>>) -> bool {
    let is_there = |group: &str, key: &str, value: &Variant<'_>| match has.get(group).and_then(|g| g.get(key))
    {
        Some(found) => **found == *value,
        // It does not tell what is as it always is.
        None => is_usual(key, value),
    };
    wanted.iter().all(|(group, keys)| keys.iter().all(|(key, value)| is_there(group, key, value)))
}

fn is_usual(key: &str, value: &Variant<'_>) -> bool {
    match value {
        Variant::Bool(value) => *value == matches!(key, "autoconnect" | "may-fail"),
        Variant::U32(0) => true,
        Variant::Array(values) => values.is_empty(),
        _ => false,
    }
}

pub type Entry = HashMap<String, OwnedVariant>;

/// Addresses or routes, each with its parts.
pub fn list(groups: &Groups, key: &str) -> Vec<Entry> {
    value(groups, "ipv4", key).unwrap_or_default()
}

pub fn network(entry: &Entry, name: &str) -> Option<Ipv4Net> {
    let address = part::<String>(entry, name)?.parse().ok()?;
    Ipv4Net::new(address, u8::try_from(part::<u32>(entry, "prefix")?).ok()?).ok()
}

fn route_of(entry: &Entry) -> Option<Route> {
    let via = part::<String>(entry, "next-hop")?.parse().ok()?;
    Some(Route { to: network(entry, "dest")?, via })
}

/// Out of the options that a DHCP server gave.
pub fn lease(options: &Entry) -> Option<Place> {
    let option = |name: &str| part::<String>(options, name);
    let netmask = option("subnet_mask")?.parse().ok()?;
    let address = Ipv4Net::with_netmask(option("ip_address")?.parse().ok()?, netmask).ok()?;
    let gateway = option("routers").and_then(|routers| routers.split_whitespace().next()?.parse().ok());
    Some(Place { address, gateway })
}

fn value<T: TryFrom<OwnedVariant>>(groups: &Groups, group: &str, key: &str) -> Option<T> {
    part(groups.get(group)?, key)
}

fn part<T: TryFrom<OwnedVariant>>(entry: &Entry, key: &str) -> Option<T> {
    entry.get(key)?.try_clone().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(lan: &serde_json::Value) -> Profile {
        serde_json::from_value(json!({"lan": lan, "probe": {"share": "warn"},
            "share": {"name": "処方", "user": "rece", "workgroup": "WORKGROUP"}}))
        .unwrap()
    }

    fn full() -> Profile {
        profile(&json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1",
            "dns": ["192.168.10.1", "192.168.10.2"], "mtu": 1400,
            "routes": [{"to": "192.168.20.0/24", "via": "192.168.10.1"}]}))
    }

    fn told(profile: &Profile) -> Groups {
        let owned = |group: Group<'_>| {
            group.into_iter().map(|(key, value)| (key.to_owned(), value.try_into_owned().unwrap())).collect()
        };
        of(profile, "lan0").into_iter().map(|(name, group)| (name.to_owned(), owned(group))).collect()
    }

    #[test]
    fn what_networkmanager_is_told_means_what_was_asked_for() {
        for profile in [full(), profile(&json!({"mode": "dhcp", "dns": ["192.168.10.1"]}))] {
            let groups = told(&profile);

            assert_eq!(read(&groups).profile().unwrap(), profile);
            assert_eq!(read(&groups).interface.as_deref(), Some("lan0"));
            assert!(holds(&groups, &of(&profile, "lan0")));
        }
    }

    #[test]
    fn a_profile_that_lacks_or_alters_anything_is_not_what_was_asked_for() {
        let (full, told) = (full(), told(&full()));
        let wanted = of(&full, "lan0");
        let spoilt = |group: &str, key: &str, value: Option<OwnedVariant>| {
            let mut groups: Groups = told
                .iter()
                .map(|(name, group)| {
                    let keys = group.iter().map(|(key, value)| (key.clone(), value.try_clone().unwrap()));
                    (name.clone(), keys.collect())
                })
                .collect();
            let place = groups.get_mut(group).unwrap();
            match value {
                Some(value) => place.insert(key.to_owned(), value),
                None => place.remove(key),
            };
            holds(&groups, &wanted)
        };

        assert!(spoilt("connection", "autoconnect", None));
        assert!(!spoilt("connection", "autoconnect", Some(false.into())));
        assert!(!spoilt("ipv4", "never-default", None));
        assert!(!spoilt("ipv4", "never-default", Some(false.into())));
        assert!(!spoilt("ipv4", "route-data", None));
        assert!(!spoilt("user", "data", None));
    }

    #[test]
    fn a_lease_is_read_out_of_its_options() {
        let options = |entries: &[(&str, &'static str)]| -> Entry {
            let entry = |&(key, value): &(&str, &'static str)| {
                (key.to_owned(), Variant::from(value).try_into_owned().unwrap())
            };
            entries.iter().map(entry).collect()
        };
        let address = [("ip_address", "192.168.10.104"), ("subnet_mask", "255.255.255.0")];

        let with_routers = [&address[..], &[("routers", "192.168.10.1 192.168.10.2")]].concat();

        let place = lease(&options(&with_routers)).unwrap();
        assert_eq!(place.address.to_string(), "192.168.10.104/24");
        assert_eq!(place.gateway, Some(Ipv4Addr::new(192, 168, 10, 1)));
        assert_eq!(lease(&options(&address)).unwrap().gateway, None);
        assert_eq!(lease(&options(&address[..1])), None);
    }
}
