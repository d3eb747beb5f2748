"""What requests leave in the audit: those that were refused, and those that change what others stand on."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from ..access.audit import Act, Audit
from ..access.keys import hidden
from ..access.rights import Verb
from ..errors import DomainFull, Forbidden, PenstockError, Unauthorized
from .pages import SAFE
from .principal import ANYBODY, PRINCIPAL, Principal
from .wire.asgi import Scope

CHANGES: frozenset[Verb] = frozenset({"register", "alias", "redrive", "steer", "subscribe", "manage"})
REFUSALS = (401, 403)

T = TypeVar("T")


def is_told(verb: Verb, scope: Scope, status: int) -> bool:
    """Of a request that was routed: does the audit have it?"""
    return status in REFUSALS or (verb in CHANGES and scope["method"] not in SAFE)


def written(audit: Audit) -> None:
    """What was noted, at once. Where the log does not take it, it is kept for the next time: what was done is done."""
    with suppress(PenstockError):
        audit.write()


def note(audit: Audit | None, scope: Scope, status: int, error: Exception | None = None) -> None:
    """Of a request that is answered with ``status``; ``error``: why it was refused. Nothing of its query, headers and
    body is noted, where secrets are."""
    if audit is None:
        return
    why = error.why if isinstance(error, Unauthorized) else "" if error is None else str(error)
    who: Principal = scope.get(PRINCIPAL, ANYBODY)
    client = scope.get("client")
    source = client[0] if client else ""
    name = "" if who is ANYBODY else who.name
    audit.note(Act(name, who.id, scope["method"], hidden(scope["path"]), source, status, hidden(why)))


async def audited(audit: Audit | None, scope: Scope, accepted: Awaitable[T]) -> T:
    """What a door accepts that looks into its body before it knows what rights that takes: its refusals are noted."""
    try:
        return await accepted
    except Forbidden as error:
        note(audit, scope, 403, error)
        raise
    except DomainFull as error:
        note(audit, scope, 409, error)
        raise
