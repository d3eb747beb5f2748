"""What is written in ``penstock.system`` of handshakes: commands of couriers and doors, and what they lead to."""

from __future__ import annotations

from typing import ClassVar, Literal

from ....system.messages import Command, Message

Step = Literal["asked", "awaiting", "granted", "failed", "wanted"]
"""``asked``: a courier is at it; ``awaiting``: the endpoint has not said yes, and somebody may by the callback;
``failed``, until somebody wants another one, which is then ``wanted``."""


class BeginHandshake(Command, frozen=True, kw_only=True):
    """A courier wants to ask. ``number``: that of the last change it has seen, so that of several couriers one asks.

    ``endpoint``: a digest of where and how; ``token``: of what the callback ends in, empty where none is offered;
    ``patience``: seconds for which that holds.
    """

    TYPE: ClassVar[str] = "penstock.command.handshake.begin"

    subscription: str
    number: int
    endpoint: str
    token: str
    patience: float

    def fault(self) -> str | None:
        return super().fault() or (None if self.patience > 0 else "a handshake's patience is above 0")


class EndHandshake(Command, frozen=True, kw_only=True):
    """What came of asking; of no account when something else did meanwhile."""

    TYPE: ClassVar[str] = "penstock.command.handshake.end"

    subscription: str
    number: int
    verdict: Literal["granted", "refused", "later"]
    reason: str = ""
    per_minute: int | None = None


class GrantHandshake(Command, frozen=True, kw_only=True):
    """Somebody has opened the callback. ``at``: microseconds since the epoch."""

    TYPE: ClassVar[str] = "penstock.command.handshake.grant"

    token: str  # digest
    at: int
    per_minute: int | None = None


class RepeatHandshake(Command, frozen=True, kw_only=True):
    """Somebody wants one that has failed, or that waits for somebody, to be tried again."""

    TYPE: ClassVar[str] = "penstock.command.handshake.repeat"

    subscription: str


class HandshakeForgotten(Message, frozen=True, kw_only=True):
    """The subscription is no more, or another: what its endpoint has said holds for none of its name."""

    TYPE: ClassVar[str] = "penstock.subscription.handshake.forgotten"

    subscription: str


class HandshakeChanged(Message, frozen=True, kw_only=True):
    """How the handshake of a subscription is from here on: all of it, so that the one with the highest number counts.

    ``at`` and ``until``, when the callback ends to hold, are microseconds since the epoch. ``per_minute``: requests
    that the endpoint allows; None: as many as are declared.
    """

    TYPE: ClassVar[str] = "penstock.subscription.handshake"

    subscription: str
    number: int
    step: Step
    endpoint: str
    at: int
    causationid: str
    token: str = ""
    until: int = 0
    reason: str = ""
    per_minute: int | None = None

    @property
    def subject(self) -> str | None:
        return f"subscriptions/{self.subscription}"
