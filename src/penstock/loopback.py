"""Which names and addresses are this machine's alone."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address


@lru_cache(64)  # asked at each request
def is_loopback(host: str) -> bool:
    """Of a name or an address, an IPv6 one with or without its brackets."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
