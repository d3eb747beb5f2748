"""Addresses: what may be bound, and by which names a request may call.

Without authentication only this machine may talk to us. A page in a browser here is "this machine" too: with DNS
rebinding it makes its own name resolve to 127.0.0.1. So a server on loopback answers only to loopback names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ..errors import DeclarationError, Forbidden
from ..loopback import is_loopback
from .wire.errors import BadRequest

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?", re.ASCII)  # RFC 3986 §3.2.2


def check_bind(host: str, *, access: bool) -> None:
    """Raises ``DeclarationError`` for an address that others could reach where nobody is asked who he is.

    ``access``: whoever comes has to show a key.
    """
    if not access and not is_loopback(host):
        raise DeclarationError(
            f"--host {host} would let other machines publish and register models without authentication: add "
            "--access keys, and make the first key with `penstock keys create`; without it only 127.0.0.1 is served"
        )


def check_host(version: str, headers: Sequence[tuple[bytes, bytes]], *, loopback_only: bool) -> None:
    """Raises ``BadRequest`` unless there is one whole Host (RFC 9112 §3.2), ``Forbidden`` unless it is a loopback name.

    Requests of HTTP/1.0 may have none: browsers always send it.
    """
    found = [value for name, value in headers if name == b"host"]
    if len(found) != 1 and (found or version != "1.0"):
        raise BadRequest(f"a request has one Host header; this one has {len(found) or 'none'}")
    if found and not _name(found[0]):
        raise BadRequest("the Host header is no name or address with or without a port")
    if found and loopback_only and not is_loopback(_name(found[0])):
        raise Forbidden("this Host is not an address of this machine; use 127.0.0.1 or localhost")


@lru_cache(64)
def _name(value: bytes) -> str:
    """Empty: it is none."""
    found = HOST.fullmatch(value.decode("latin-1"))
    return found[1] if found else ""
