"""A request that asks an endpoint whether it wants events, and what came back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ...interface import Consent, Invitation


@dataclass(frozen=True, slots=True)
class HandshakeReply:
    """``status`` 0: there was none, and ``reason`` says why, without secrets. ``allowed_origin`` and ``allowed_rate``:
    CloudEvents' headers, None where they are not there; ``body``: its beginning."""

    status: int
    body: bytes = field(default=b"", repr=False)
    allowed_origin: str | None = None
    allowed_rate: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """``judge``: what a reply means; it raises nothing, whatever it is given. ``hidden``: what may be in no text for
    people, however an endpoint echoes it."""

    method: Literal["POST", "OPTIONS"]
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    judge: Callable[[HandshakeReply], Consent]
    hidden: tuple[str, ...] = field(repr=False)


def hidden_of(invitation: Invitation) -> tuple[str, ...]:
    """Longest first."""
    return tuple(filter(None, (invitation.callback, invitation.callback.rpartition("/")[2], invitation.code)))


def by_hand(reason: str, callback: str) -> Consent:
    """The endpoint has not said yes: where it was given a callback it may yet, by that."""
    if callback:
        return Consent("later", reason)
    return Consent("refused", f"{reason}, and without PENSTOCK_PUBLIC_URL no URL is offered to consent by hand")
