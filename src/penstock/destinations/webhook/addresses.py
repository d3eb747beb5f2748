"""Which addresses a webhook may be sent to: the public Internet's, and inside a network only where that is allowed.

Python's own ``is_global`` is no measure: it says yes of 192.0.0.192, of multicast, and of addresses that lead to others
(6to4, NAT64). The ranges are those of IANA's special-purpose registries (RFC 6890 and what updates it), and beside them
what clouds answer their own machines at, with credentials.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_METADATA = _networks(
    "169.254.0.0/16",  # link-local, with the metadata of most clouds
    "fe80::/10",
    "100.100.100.200/32",  # Alibaba's
    "168.63.129.16/32",  # Azure's, beside that of link-local
    "192.0.0.192/32",  # Oracle's
    "fd00:ec2::/32",  # Amazon's
    "fd20:ce::/32",  # Google's
)
_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
    "100.64.0.0/10",  # of carriers, and of overlay networks
    "127.0.0.0/8", "::1/128",
    "fc00::/7",
)  # fmt: skip
_SPECIAL = _networks(
    "0.0.0.0/8",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
    "2001::/23",  # Teredo, which leads to IPv4, and other protocols'
    "2001:db8::/32", "3fff::/20",
    "2002::/16",  # 6to4, which leads to IPv4
    "2620:4f:8000::/48",
)  # fmt: skip
_GLOBAL_V6 = ip_network("2000::/3")  # outside it: NAT64, IPv4 written as IPv6, multicast, and nothing public


@lru_cache(4096)
def refusal(text: str, allow_private: bool) -> str:
    """Why nothing may be sent to this address, as ``getaddrinfo`` writes it; empty: it may.

    With ``allow_private`` private networks and this machine are allowed, and link-local and metadata addresses never.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return f"{text!r} is no address"
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return f"{text} is an address of one link"
        address = address.ipv4_mapped or address
    if _within(address, _METADATA):
        return f"{text} is a link-local address, or one where a cloud keeps credentials"
    if _within(address, _PRIVATE):
        return "" if allow_private else f"{text} is an internal address (allow_private=True allows it)"
    if _within(address, _SPECIAL) or (address.version == 6 and address not in _GLOBAL_V6):
        return f"{text} is no public address"
    return ""


def allowed_blocks(allow_private: bool) -> dict[Network, tuple[Network, ...]]:
    """The same for a firewall, which knows blocks: each that may be reached, and what lies in it and may not. It lets
    pass what ``refusal`` refuses because it is nobody's address."""
    closed = (*_METADATA, *(() if allow_private else _PRIVATE))
    inside = [each for each in _PRIVATE if each.version == 6] if allow_private else []
    v4 = collapse_addresses(each for each in closed if isinstance(each, IPv4Network))
    found: dict[Network, tuple[Network, ...]] = {ip_network("0.0.0.0/0"): tuple(v4)}
    v6 = [each for each in closed if isinstance(each, IPv6Network)]
    for block in (_GLOBAL_V6, *inside):
        assert isinstance(block, IPv6Network)
        found[block] = tuple(each for each in v6 if each.subnet_of(block))
    return found


def literal(host: str) -> str | None:
    """The address that a URL's host spells, in any way that a resolver reads: ``0x7f.1``, ``2130706433``, ``[::1]``.
    None: it is a name."""
    host = host.removeprefix("[").removesuffix("]").rstrip(".")
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
