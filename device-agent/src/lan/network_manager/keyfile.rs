//! Reads the file that a profile is kept in. Only that says what a power cut leaves: NetworkManager
//! itself tells of the trial that lies over it.

use std::{collections::HashMap, net::Ipv4Addr};

use device_model::lan::Route;
use ipnet::Ipv4Net;

use crate::lan::network_manager::stored::{ASKED, Stored};

/// The settings in a file as NetworkManager writes it (nm-settings-keyfile(5)).
pub fn read(text: &str) -> Stored {
    let keys = keys(text);
    let get = |group: &str, key: &str| keys.get(&(group, key)).copied();
    let ethernet = |key| get("ethernet", key).or_else(|| get("802-3-ethernet", key));
    // `address1=192.168.10.9/24,192.168.10.1`: the gateway may stand behind the first address.
    let addresses: Vec<(&str, Option<&str>)> = numbered("address", &get).map(pair).collect();
    let behind = addresses.first().and_then(|(_, gateway)| *gateway);
    Stored {
        uuid: get("connection", "uuid").unwrap_or_default().to_owned(),
        interface: get("connection", "interface-name").map(ToOwned::to_owned),
        is_ethernet: matches!(get("connection", "type"), Some("ethernet" | "802-3-ethernet")),
        priority: get("connection", "autoconnect-priority").and_then(|text| text.parse().ok()).unwrap_or(0),
        method: get("ipv4", "method").unwrap_or_default().to_owned(),
        addresses: addresses.iter().filter_map(|(address, _)| address.parse().ok()).collect(),
        gateway: get("ipv4", "gateway").or(behind).and_then(|text| text.parse().ok()),
        dns: listed(get("ipv4", "dns")),
        mtu: ethernet("mtu").and_then(|text| text.parse().ok()),
        routes: numbered("route", &get).filter_map(route).collect(),
        asked: get("user", ASKED).map(unescape),
    }
}

fn keys(text: &str) -> HashMap<(&str, &str), &str> {
    let mut group = "";
    let mut keys = HashMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            group = name;
        } else if !line.starts_with('#')
            && let Some((key, value)) = line.split_once('=')
        {
            keys.insert((group, key.trim()), value.trim());
        }
    }
    keys
}

/// `address1`, `address2` and so on, as far as they go.
fn numbered<'a>(
    name: &'a str,
    get: &impl Fn(&str, &str) -> Option<&'a str>,
) -> impl Iterator<Item = &'a str> {
    (1..).map_while(move |number| get("ipv4", &format!("{name}{number}")))
}

fn pair(text: &str) -> (&str, Option<&str>) {
    text.split_once(',').map_or((text, None), |(first, second)| (first, Some(second)))
}

/// `192.168.20.0/24,192.168.10.1`, and a metric behind it that is not of our making.
fn route(text: &str) -> Option<Route> {
    let mut parts = text.split(',');
    let to: Ipv4Net = parts.next()?.parse().ok()?;
    Some(Route { to, via: parts.next()?.parse().ok()? })
}

fn listed(text: Option<&str>) -> Vec<Ipv4Addr> {
    text.unwrap_or_default().split([';', ',']).filter_map(|part| part.trim().parse().ok()).collect()
}

/// As `GLib` escapes the text of a value.
fn unescape(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('s') => ' ',
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"[connection]
id=recehub-lan0
uuid=2f6b8f0e-6c43-4d7b-9a51-6f0c2f3c7a10
type=ethernet
autoconnect-priority=999
interface-name=lan0

[ethernet]
mtu=1400

[ipv4]
address1=192.168.10.9/24
dad-timeout=1500
dns=192.168.10.1;192.168.10.2;
method=manual
never-default=true
route1=192.168.20.0/24,192.168.10.1

[user]
recehub.profile={"lan":{"mode":"static","address":"192.168.10.9/24","gateway":"192.168.10.1","dns":["192.168.10.1","192.168.10.2"],"mtu":1400,"routes":[{"to":"192.168.20.0/24","via":"192.168.10.1"}]},"share":{"name":"a\\\\b","user":"rece","workgroup":"処方"},"probe":{"share":"warn"}}
"#;

    #[test]
    fn a_file_of_ours_means_what_was_asked_for() {
        let stored = read(OURS);
        let asked = stored.asked.clone().unwrap();

        let profile = stored.profile().unwrap();

        assert_eq!(serde_json::to_string(&profile).unwrap(), asked);
        assert_eq!(profile.share.unwrap().name, r"a\b");
    }

    #[test]
    fn what_somebody_put_into_the_file_by_hand_counts_more_than_what_was_asked() {
        let by_hand = OURS.replace("192.168.10.9/24\n", "192.168.30.7/24\n");
        let by_hand = by_hand.replace("route1=192.168.20.0/24,192.168.10.1\n", "");

        let profile = read(&by_hand).profile().unwrap();

        let lan = serde_json::to_value(&profile.lan).unwrap();
        assert_eq!((&lan["address"], lan.get("gateway")), (&"192.168.30.7/24".into(), None));
        assert!(profile.share.is_some());
    }

    #[test]
    fn a_file_of_another_hand_is_read_too() {
        let text = "[connection]\ntype=802-3-ethernet\n[ipv4]\naddress1=192.168.10.9/24,192.168.10.1\nmethod=manual\n";
        let gateway = "[ipv4]\naddress1=192.168.10.9/24\ngateway=192.168.10.1\nmethod=manual\n";

        let (one, other) = (read(text), read(gateway));

        assert!(one.is_ethernet);
        assert_eq!(one.profile().unwrap(), other.profile().unwrap());
        assert_eq!(
            read("[ipv4]\nmethod=auto\n").profile().unwrap().lan,
            device_model::lan::LanSettings::dhcp()
        );
        assert!(read("[ipv4]\nmethod=disabled\n").profile().is_err());
    }
}
