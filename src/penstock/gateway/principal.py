"""Who asks, and what he may do. Known before a request is routed: no door, the bare ones included, opens to nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..access.rights import EVERYTHING, Rights, Verb
from ..errors import Forbidden, UnsupportedMediaType
from . import pages
from .catching.paths import takes_any_type
from .handshakes import is_callback
from .hosts import check_host
from .wire.asgi import Scope

PRINCIPAL = "penstock.principal"  # in a scope


@dataclass(frozen=True, slots=True)
class Principal:
    """``id``: of the key that was shown; empty: none was."""

    name: str
    rights: Rights
    id: str = ""

    @property
    def label(self) -> str:
        """For people, in what is kept of what he did."""
        return f"{self.name} ({self.id})" if self.id else self.name

    def may(self, verb: Verb, what: str) -> bool:
        return self.rights.may(verb, what)

    def require(self, verb: Verb, what: str) -> None:
        """Raises ``Forbidden``."""
        if not self.rights.may(verb, what):
            raise Forbidden(
                f"{self.name} may not {verb} {what!r:.200}: whoever manages the keys can give the right to it"
            )


NOT_ADMITTED = (
    "who asks is not known here: send a key that holds, as Authorization: Bearer psk_…; whoever runs this makes one "
    "with `penstock keys create`"
)
LOCAL_USER = Principal("local user", Rights.parse(EVERYTHING))
"""Whoever reaches a socket that only this machine has."""

ALIVE, CONSENT = "alive", "handshakes"
ANYBODY = Principal("anybody", Rights.of([("look", ALIVE), ("consent", CONSENT)]))
"""Whoever shows nothing: he may ask whether this lives, and consent to what only he was sent the address for."""

Admission: TypeAlias = Callable[[Scope], Principal | Awaitable[Principal]]
"""Who asks. Raises ``BadRequest``, ``Unauthorized``, ``Forbidden`` or ``UnsupportedMediaType`` for a request that is
let in nowhere."""


def admit_local(scope: Scope) -> Principal:
    """Nobody is asked for a name, so only what calls this machine by its own names is let in (DNS rebinding), and
    nothing that a page of another origin has sent."""
    check_host(scope["http_version"], scope["headers"], loopback_only=True)
    check_page(scope)
    return LOCAL_USER


def check_page(scope: Scope) -> None:
    """Raises what ``pages.check`` raises."""
    try:
        pages.check(scope["method"], scope["headers"])
    except UnsupportedMediaType:
        method, path = scope["method"], scope["path"]
        if not takes_any_type(method, path) and not is_callback(method, path):
            raise


def principal_of(scope: Scope) -> Principal:
    """Whom a request was admitted as."""
    found: Principal = scope[PRINCIPAL]
    return found
