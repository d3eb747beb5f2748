"""Addresses: what may be bound, and by which names a request may call.

Without authentication only this machine may talk to us. A page in a browser here is "this machine" too: with DNS
rebinding it makes its own name resolve to 127.0.0.1. So a server on loopback answers only to loopback names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..errors import DeclarationError
from ..loopback import is_loopback


def check_bind(host: str) -> None:
    """Raises ``DeclarationError`` for an address that others could reach: there is no authentication yet."""
    if not is_loopback(host):
        raise DeclarationError(
            f"--host {host} would let other machines publish and register models without authentication; "
            "Penstock has none yet, so it binds to 127.0.0.1 only: put a proxy that authenticates in front"
        )


def is_ours(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Is the Host header a loopback name? HTTP/1.0 requests without one pass: browsers always send it."""
    for name, value in headers:
        if name == b"host":
            return _is_ours(value)
    return True


@lru_cache(64)
def _is_ours(value: bytes) -> bool:
    return is_loopback(_name(value.decode("latin-1")))


def _name(value: str) -> str:
    if value.startswith("["):
        return value.partition("]")[0] + "]"
    return value.partition(":")[0]
