//! Tests of the LAN settings' rules.

use serde_json::json;

use super::*;

fn parse(draft: Value) -> Result<LanSettings, Vec<(String, &'static str)>> {
    let draft = serde_json::from_value(draft).unwrap();
    let pairs = |faults: Faults| faults.iter().map(|f| (f.field.clone(), f.code.name())).collect();
    LanSettings::parse(draft, &ReservedRanges::default()).map_err(pairs)
}

fn faults(draft: Value) -> Vec<(String, &'static str)> {
    parse(draft).unwrap_err()
}

fn fault(field: &str, code: &'static str) -> (String, &'static str) {
    (field.to_owned(), code)
}

#[test]
fn good_settings_come_back_as_they_were_written() {
    let full = json!({"mode": "static", "address": "192.168.10.9/24", "gateway": "192.168.10.1",
        "dns": ["192.168.10.1"], "mtu": 1500, "routes": [{"to": "192.168.20.0/24", "via": "192.168.10.1"}]});
    for draft in [full, json!({"mode": "dhcp"}), json!({"mode": "static", "address": "10.0.0.2/30"})] {
        let settings = parse(draft.clone()).unwrap();

        assert_eq!(serde_json::to_value(settings).unwrap(), draft);
    }
}

#[test]
fn every_fault_is_told_at_once_and_at_its_field() {
    let found = faults(json!({"mode": "static", "address": "192.168.10.0/24", "gateway": "8.8.8.8",
        "dns": ["x", "192.168.10.1", "192.168.10.1"], "mtu": 100, "adress": "typo",
        "routes": [{"to": "0.0.0.0/0", "via": "192.168.10.1"}, {"to": "192.168.20.1/24", "via": "1.2.3"}]}));

    assert_eq!(
        found,
        [
            fault("adress", "UNKNOWN_FIELD"),
            fault("address", "NETWORK_ADDRESS"),
            fault("gateway", "NOT_PRIVATE"),
            fault("dns[0]", "NOT_AN_IPV4_ADDRESS"),
            fault("dns[2]", "DUPLICATE"),
            fault("mtu", "OUT_OF_RANGE"),
            fault("routes[0].to", "DEFAULT_ROUTE"),
            fault("routes[1].to", "HOST_BITS"),
            fault("routes[1].via", "NOT_AN_IPV4_ADDRESS"),
        ]
    );
}

#[test]
fn a_host_address_is_one_that_a_host_may_have() {
    let code = |address: &str| faults(json!({"mode": "static", "address": address}))[0].1;

    assert_eq!(code("192.168.10.255/24"), "BROADCAST_ADDRESS");
    assert_eq!(code("192.168.10.9/31"), "PREFIX_OUT_OF_RANGE");
    assert_eq!(code("10.0.0.9/7"), "PREFIX_OUT_OF_RANGE");
    assert_eq!(code("192.168.10.9"), "NOT_A_CIDR");
    assert_eq!(code("203.0.113.9/24"), "NOT_PRIVATE");
    // 172.16.0.9/8 begins in a private range and leaves it.
    assert_eq!(code("172.16.0.9/8"), "NOT_PRIVATE");
    assert_eq!(code("10.200.0.9/24"), "OVERLAPS_WAN");
}

#[test]
fn neighbours_are_other_hosts_of_the_subnet() {
    let code = |gateway: &str| {
        faults(json!({"mode": "static", "address": "192.168.10.9/24", "gateway": gateway}))[0].1
    };

    assert_eq!(code("192.168.10.9"), "OWN_ADDRESS");
    assert_eq!(code("192.168.11.1"), "OUTSIDE_SUBNET");
    assert_eq!(code("192.168.10.255"), "BROADCAST_ADDRESS");
}

#[test]
fn dhcp_takes_no_address_and_a_mode_is_needed() {
    assert_eq!(
        faults(json!({"mode": "dhcp", "address": "192.168.10.9/24", "gateway": "192.168.10.1"})),
        [fault("address", "NOT_ALLOWED_HERE"), fault("gateway", "NOT_ALLOWED_HERE")]
    );
    assert_eq!(faults(json!({})), [fault("mode", "REQUIRED")]);
    assert_eq!(faults(json!({"mode": "pppoe"})), [fault("mode", "UNKNOWN_VALUE")]);
}

#[test]
fn the_lines_own_networks_are_configuration() {
    let draft = serde_json::from_value(json!({"mode": "static", "address": "192.168.10.9/24"})).unwrap();
    let reserved: ReservedRanges = "192.168.0.0/17".parse().unwrap();

    assert!(LanSettings::parse(draft, &reserved).unwrap_err().at("address"));
}

#[test]
fn what_cannot_be_read_is_a_fault_at_its_own_field_and_no_other() {
    let found = faults(json!({"mode": 1, "mtu": "x", "dns": [1, "192.168.10.1"],
        "routes": [{"to": "192.168.20.0/24", "via": 5, "metric": 1}, 7]}));

    let expected = [
        ("mode", "NOT_TEXT"),
        ("dns[0]", "NOT_TEXT"),
        ("mtu", "NOT_A_NUMBER"),
        ("routes[0].via", "NOT_TEXT"),
        ("routes[0].metric", "UNKNOWN_FIELD"),
        ("routes[1]", "NOT_AN_OBJECT"),
    ];
    assert_eq!(found, expected.map(|(field, code)| fault(field, code)));
    assert_eq!(faults(json!("dhcp")), [fault("", "NOT_AN_OBJECT")]);
}
