"""Which endpoints have said that they want events: an area of ``penstock.system``."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from ....system.messages import Command, Message, Refused
from .messages import (
    BeginHandshake,
    EndHandshake,
    GrantHandshake,
    HandshakeChanged,
    HandshakeForgotten,
    RepeatHandshake,
    Step,
)

OPEN: tuple[Step, ...] = ("asked", "awaiting")
AGAIN: tuple[Step, ...] = ("failed", "awaiting")
"""What another one may be wanted for; an endpoint that is being asked just now is not asked twice."""


@dataclass(slots=True)
class HandshakeState:
    """The last change of each subscription's handshake, by its name; none of those that never had one."""

    name: ClassVar[str] = "handshakes"
    form: ClassVar[int] = 1
    messages: ClassVar[Sequence[type[Message]]] = (
        BeginHandshake,
        EndHandshake,
        GrantHandshake,
        RepeatHandshake,
        HandshakeChanged,
        HandshakeForgotten,
    )

    known: MutableMapping[str, HandshakeChanged] = field(default_factory=dict)
    _by_token: MutableMapping[str, str] = field(default_factory=dict, compare=False)  # names; some are over

    def granted(self, subscription: str, endpoint: str) -> HandshakeChanged | None:
        """If this endpoint has said yes."""
        found = self.known.get(subscription)
        return found if found is not None and (found.step, found.endpoint) == ("granted", endpoint) else None

    def open_at(self, token: str, at: int) -> HandshakeChanged | None:
        """The one whose callback this is the digest of, if it holds then (microseconds since the epoch)."""
        found = self.known.get(self._by_token.get(token, ""))
        if found is None or not token or found.token != token or found.step not in OPEN or at >= found.until:
            return None
        return found

    def apply(self, message: Message) -> None:
        if isinstance(message, HandshakeChanged):
            before = self.known.get(message.subscription)
            if before is None or message.number > before.number:
                self._take(message, before)
        elif isinstance(message, HandshakeForgotten) and message.subscription in self.known:
            self._by_token.pop(self.known.pop(message.subscription).token, None)

    def _take(self, message: HandshakeChanged, before: HandshakeChanged | None) -> None:
        if before is not None and before.token != message.token:
            self._by_token.pop(before.token, None)
        self.known[message.subscription] = message
        if message.token:
            self._by_token[message.token] = message.subscription

    def decide(self, command: Command, *, now: int) -> Sequence[Message]:
        if (fault := command.fault()) is not None:
            return (Refused(kind="invalid", reason=fault, causationid=command.id, area=self.name),)
        match command:
            case BeginHandshake():
                return self._begin(command, now)
            case EndHandshake():
                return self._end(command, now)
            case GrantHandshake():
                return self._grant(command)
            case RepeatHandshake():
                return self._repeat(command, now)
        raise AssertionError(f"{command.TYPE} is no command of handshakes")

    def _begin(self, command: BeginHandshake, now: int) -> Sequence[Message]:
        before = self.known.get(command.subscription)
        if command.number != (0 if before is None else before.number):
            return ()
        begun = HandshakeChanged(
            subscription=command.subscription,
            number=command.number + 1,
            step="asked",
            endpoint=command.endpoint,
            at=now,
            causationid=command.id,
            token=command.token,
            until=now + round(command.patience * 1e6),
        )
        return (begun,)

    def _end(self, command: EndHandshake, now: int) -> Sequence[Message]:
        before = self.known.get(command.subscription)
        if before is None or before.number != command.number or before.step not in OPEN:
            return ()
        if command.verdict == "later":
            return (self._next(before, "awaiting", command, now, token=before.token, reason=command.reason),)
        step: Step = "granted" if command.verdict == "granted" else "failed"
        return (self._next(before, step, command, now, reason=command.reason, per_minute=command.per_minute),)

    def _grant(self, command: GrantHandshake) -> Sequence[Message]:
        before = self.open_at(command.token, command.at)
        if before is None:
            return ()
        return (self._next(before, "granted", command, command.at, per_minute=command.per_minute),)

    def _repeat(self, command: RepeatHandshake, now: int) -> Sequence[Message]:
        before = self.known.get(command.subscription)
        if before is None or before.step not in AGAIN:
            return ()
        return (self._next(before, "wanted", command, now),)

    def _next(
        self,
        before: HandshakeChanged,
        step: Step,
        command: Command,
        at: int,
        *,
        token: str = "",
        reason: str = "",
        per_minute: int | None = None,
    ) -> HandshakeChanged:
        return HandshakeChanged(
            subscription=before.subscription,
            number=before.number + 1,
            step=step,
            endpoint=before.endpoint,
            at=at,
            causationid=command.id,
            token=token,
            until=before.until if token else 0,
            reason=reason,
            per_minute=per_minute,
        )

    def ahead(self) -> HandshakeState:
        return HandshakeState(ChainMap({}, self.known), ChainMap({}, self._by_token))

    def save(self) -> bytes:
        return msgspec.msgpack.encode(list(self.known.values()))

    def restore(self, saved: bytes) -> None:
        found = msgspec.msgpack.decode(saved, type=list[HandshakeChanged])
        self.known = {each.subscription: each for each in found}
        self._by_token = {each.token: each.subscription for each in found if each.token}
