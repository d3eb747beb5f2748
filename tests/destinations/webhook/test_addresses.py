"""Which addresses may be connected: judged against Python's own registry, and Microsoft's list for the same purpose."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from AntiSSRF.ipaddress_ranges import IPAddressRanges
from hypothesis import given
from hypothesis import strategies as st

from penstock.destinations.webhook.addresses import allowed_blocks, literal, refusal

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "::1",
           "fc00::1", "fd12:3456::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"]  # fmt: skip
NEVER = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%lo", "::ffff:169.254.169.254", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254",
    "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.250", "ff02::1", "240.0.0.1", "255.255.255.255",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
    "64:ff9b::169.254.169.254", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:a9fe:a9fe::1", "2002:7f00:1::1",
    "2001:0:a9fe:a9fe::1", "2001:db8::1", "3fff::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "fec0::1", "100::1",
    "5f00::1", "2001:2::1", "", "localhost", "1.2.3", "::1/128",
]  # fmt: skip
DENIED = [ip_network(text) for text in IPAddressRanges.recommended_latest]


def close_to(network: IPv4Network | IPv6Network, step: int) -> IPv4Address | IPv6Address:
    number = min(max(int(network.broadcast_address) + step, 0), 2**network.max_prefixlen - 1)
    return IPv4Address(number) if network.version == 4 else IPv6Address(number)


addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**32 - 1).map(lambda number: IPv6Address(0xFFFF << 32 | number)),  # the same, as IPv6
    st.integers(0, 2**128 - 1).map(IPv6Address),
    st.builds(close_to, st.sampled_from(DENIED), st.integers(-2, 2)),
)


@pytest.mark.parametrize("text", PUBLIC)
def test_the_public_internet_may_be_connected(text: str) -> None:
    assert refusal(text, False) == refusal(text, True) == ""


@pytest.mark.parametrize("text", PRIVATE)
def test_private_networks_may_where_they_are_allowed(text: str) -> None:
    assert "internal address" in refusal(text, False)
    assert refusal(text, True) == ""


@pytest.mark.parametrize("text", NEVER)
def test_some_may_never(text: str) -> None:
    assert refusal(text, False)
    assert refusal(text, True)


@given(addresses)
def test_what_microsofts_list_denies_is_denied(address: IPv4Address | IPv6Address) -> None:
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    if any(plain in network for network in DENIED):
        assert refusal(str(address), False)


@given(addresses)
def test_what_python_calls_private_is_denied(address: IPv4Address | IPv6Address) -> None:
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    if plain.is_private or plain.is_multicast or plain.is_reserved or plain.is_unspecified or plain.is_link_local:
        assert refusal(str(address), False)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_nothing_else_of_ipv4_is_denied(address: IPv4Address) -> None:
    if not any(address in network for network in DENIED):
        assert refusal(str(address), False) == ""


def passes(address: IPv4Address | IPv6Address, allow_private: bool) -> bool:
    """A firewall with these blocks."""
    blocks = allowed_blocks(allow_private).items()
    return any(address in block and not any(address in each for each in closed) for block, closed in blocks)


@pytest.mark.parametrize("allow_private", [False, True])
@given(address=addresses)
def test_a_firewall_lets_pass_what_may_be_connected_and_nothing_inside(
    allow_private: bool, address: IPv4Address | IPv6Address
) -> None:
    why = refusal(str(address), allow_private)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return  # no packet has such an address
    assert passes(address, allow_private) or why, "it is in the way"
    assert not (passes(address, allow_private) and ("internal" in why or "credentials" in why)), "it leads inside"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001",
                                  "0177.0.0.01", "127.0.0.1.", "127.0.1"])  # fmt: skip
def test_an_address_is_read_as_resolvers_read_it(host: str) -> None:
    assert literal(host) == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost", "example.com", "127.0.0.1.example.com", "0x7f.example", "1.2.3.4.5"])
def test_a_name_is_none(host: str) -> None:
    assert literal(host) is None
