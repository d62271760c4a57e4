"""The rules for LAN settings once more, by Python's `ipaddress`: a draft a line, its faults a line."""

import json
import sys
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network

PRIVATE = [IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


class Fault(Exception):
    pass


def interface(text):
    address, slash, digits = text.strip().partition("/")
    if not slash or not (digits.isascii() and digits.isdigit()):
        raise Fault("NOT_A_CIDR")
    try:
        return IPv4Interface((address, int(digits)))
    except ValueError:
        raise Fault("NOT_A_CIDR") from None


def host(text, subnet, reserved):
    try:
        other = IPv4Address(text.strip())
    except AddressValueError:
        raise Fault("NOT_AN_IPV4_ADDRESS") from None
    if not any(other in net for net in PRIVATE):
        raise Fault("NOT_PRIVATE")
    if any(other in net for net in reserved):
        raise Fault("OVERLAPS_WAN")
    if subnet is not None:
        if other == subnet.ip:
            raise Fault("OWN_ADDRESS")
        if other not in subnet.network:
            raise Fault("OUTSIDE_SUBNET")
        if other == subnet.network.network_address:
            raise Fault("NETWORK_ADDRESS")
        if other == subnet.network.broadcast_address:
            raise Fault("BROADCAST_ADDRESS")
    return other


def network(text, reserved):
    given = interface(text)
    if given.network.prefixlen == 0:
        raise Fault("DEFAULT_ROUTE")
    if given.ip != given.network.network_address:
        raise Fault("HOST_BITS")
    if not any(given.network.subnet_of(net) for net in PRIVATE):
        raise Fault("NOT_PRIVATE")
    if any(given.network.overlaps(net) for net in reserved):
        raise Fault("OVERLAPS_WAN")
    return given.network


def judge(draft, reserved):
    found = []

    def take(field, read, *rest):
        try:
            return read(*rest)
        except Fault as fault:
            found.append([field, fault.args[0]])
            return None

    mode, subnet = draft.get("mode"), None
    if mode is None:
        found.append(["mode", "REQUIRED"])
    elif mode not in ("dhcp", "static"):
        found.append(["mode", "UNKNOWN_VALUE"])
    if mode == "dhcp":
        found += [[field, "NOT_ALLOWED_HERE"] for field in ("address", "gateway") if field in draft]
    elif "address" in draft:
        given = take("address", interface, draft["address"])
        if given is not None:
            if not 8 <= given.network.prefixlen <= 30:
                found.append(["address", "PREFIX_OUT_OF_RANGE"])
            elif not any(given.network.subnet_of(net) for net in PRIVATE):
                found.append(["address", "NOT_PRIVATE"])
            else:
                subnet = given
                if given.ip == given.network.network_address:
                    found.append(["address", "NETWORK_ADDRESS"])
                elif given.ip == given.network.broadcast_address:
                    found.append(["address", "BROADCAST_ADDRESS"])
                elif any(given.network.overlaps(net) for net in reserved):
                    found.append(["address", "OVERLAPS_WAN"])
    elif mode == "static":
        found.append(["address", "REQUIRED"])
    if mode != "dhcp" and "gateway" in draft:
        take("gateway", host, draft["gateway"], subnet, reserved)
    servers = draft.get("dns", [])
    if len(servers) > 3:
        found.append(["dns", "TOO_MANY"])
    seen = set()
    for index, text in enumerate(servers):
        server = take(f"dns[{index}]", host, text, None, reserved)
        if server in seen:
            found.append([f"dns[{index}]", "DUPLICATE"])
        elif server is not None:
            seen.add(server)
    if "mtu" in draft and not 576 <= draft["mtu"] <= 1500:
        found.append(["mtu", "OUT_OF_RANGE"])
    routes = draft.get("routes", [])
    if len(routes) > 8:
        found.append(["routes", "TOO_MANY"])
    seen = set()
    for index, route in enumerate(routes):
        to = take(f"routes[{index}].to", network, route["to"], reserved)
        if to in seen:
            found.append([f"routes[{index}].to", "DUPLICATE"])
        elif to is not None:
            seen.add(to)
        take(f"routes[{index}].via", host, route["via"], subnet, reserved)
    return found


for line in sys.stdin:
    asked = json.loads(line)
    answer = judge(asked["draft"], [IPv4Network(net) for net in asked["reserved"]])
    sys.stdout.write(json.dumps(answer) + "\n")
