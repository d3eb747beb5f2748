"""Who asks. Known before a request is routed: no door, the bare ones included, is reached by nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..errors import UnsupportedMediaType
from . import pages
from .catching.paths import takes_any_type
from .handshakes import is_callback
from .hosts import check_host
from .wire.asgi import Scope

PRINCIPAL = "penstock.principal"  # in a scope

Verb: TypeAlias = Literal[
    "append", "read", "score", "register", "alias", "redrive", "steer", "consent", "catch", "look"
]
"""What a door lets its caller do: with a topic (append, read), with a model (score, register, alias), with dead letters
(redrive), with a subscription (steer, consent, catch), or nothing but look at whether the system works."""


@dataclass(frozen=True, slots=True)
class Principal:
    name: str


LOCAL_USER = Principal("local user")
"""Whoever reaches a socket that only this machine has."""

Admission: TypeAlias = Callable[[Scope], Principal]
"""Who asks. Raises ``BadRequest``, ``Forbidden`` or ``UnsupportedMediaType`` for a request that is let in nowhere."""


def admit_local(scope: Scope) -> Principal:
    """Nobody is asked for a name, so only what calls this machine by its own names is let in (DNS rebinding), and
    nothing that a page of another origin has sent."""
    check_host(scope["http_version"], scope["headers"], loopback_only=True)
    try:
        pages.check(scope["method"], scope["headers"])
    except UnsupportedMediaType:
        method, path = scope["method"], scope["path"]
        if not takes_any_type(method, path) and not is_callback(method, path):
            raise
    return LOCAL_USER
