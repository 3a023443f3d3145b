"""Special addresses: which ones requests may not reach, however they are written."""

import contextlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The registries of special-purpose addresses, with their own words for each block:
# iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry.
# Python's is_private and is_global miss several of them.
SPECIAL: Mapping[Network, str] = {
    ip_network(network): name
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private use"),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "Azure's host agent"),
        ("169.254.0.0/16", "link local"),
        ("172.16.0.0/12", "private use"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private use"),
        ("192.175.48.0/24", "AS112 direct delegation"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, and broadcast"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard only"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/23", "IETF protocol assignments, and Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112 direct delegation"),
        ("3ffe::/16", "6bone"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link local"),
        ("fec0::/10", "site local"),
        ("ff00::/8", "multicast"),
        # What is left outside 2000::/3 is not assigned to anyone.
        ("::/3", "unassigned"),
        ("4000::/2", "unassigned"),
        ("8000::/1", "unassigned"),
    )
}

_LAST_32_BITS = tuple(
    IPv6Network(network)
    for network in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
    )
)
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_refused(address: Address, allow: Iterable[Network] = ()) -> bool:
    """Say whether *address*, or an IPv4 address inside it, is special and not in *allow*."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return True
    networks = tuple(allow)
    return any(
        any(part in network for network in SPECIAL)
        and not any(part in network for network in networks)
        for part in (address, *_embedded(address))
    )


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses to which the IPv6 *address* may lead."""
    if isinstance(address, IPv4Address):
        return
    bits = int(address)
    if bits > 1 and any(address in network for network in _LAST_32_BITS):
        yield IPv4Address(bits & 0xFFFFFFFF)
    if address in _LOCAL_NAT64:  # RFC 6052 splits it around bits 64 to 71.
        yield IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(bits >> 80 & 0xFFFFFFFF)
    if address in _TEREDO:
        yield IPv4Address(bits >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~bits & 0xFFFFFFFF)
    if bits >> 32 & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(bits & 0xFFFFFFFF)


def literal_address(host: str) -> Address | None:
    """Return the address that *host* spells, short, octal and hexadecimal forms included."""
    with contextlib.suppress(ValueError):
        return ip_address(host)
    with contextlib.suppress(OSError):
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    return None
