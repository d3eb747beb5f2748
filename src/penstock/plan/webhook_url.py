"""The URL of a webhook: what one must be like, and whose it is."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import SplitResult, urlsplit

LIMIT_CHARS = 2_048  # characters of a URL
_VISIBLE = re.compile(r"[!-\[\]-~]+")  # ASCII without spaces, control characters and backslash, which readers differ on
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?")
_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)


def split_url(text: str) -> SplitResult:
    """Raises ``ValueError``, which says what is wrong without the URL itself: that may be secret."""
    if len(text) > LIMIT_CHARS:
        raise ValueError(f"it has {len(text):,} characters, and {LIMIT_CHARS:,} is the most")
    if not _VISIBLE.fullmatch(text):
        raise ValueError("it is not of visible ASCII alone; write others percent-encoded, and a name as xn--...")
    try:
        found = urlsplit(text)
        port = found.port
    except ValueError:  # which repeats what was given
        raise ValueError("its host or port cannot be read") from None
    if found.scheme not in ("http", "https"):
        raise ValueError("it does not begin with https://")
    if "@" in found.netloc:
        raise ValueError("it has a user or a password in it; give those as headers=, by ps.secret")
    if port == 0 or not _is_host(found.hostname or ""):
        raise ValueError("it has no host and port that could be reached")
    if "#" in text:
        raise ValueError("it has a fragment, which no request takes along; leave away what begins with #")
    return found


def host_of(url: str) -> str:
    """In small letters, without its port."""
    return split_url(url).hostname or ""


def is_private(host: str) -> bool:
    """Does the host itself say that it is none of the public internet? A name may still lead to such an address, which
    whoever connects has to see to."""
    host = host.removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and (not address.is_global or address.is_multicast)


def _is_host(host: str) -> bool:
    return bool(_NAME.fullmatch(host)) or _address(host) is not None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Also of the old ways to write one, such as 127.1 and 0x7f000001."""
    try:
        if _NUMBERS.fullmatch(host):
            return ipaddress.IPv4Address(socket.inet_aton(host))
        return ipaddress.ip_address(host)
    except (OSError, ValueError):
        return None
