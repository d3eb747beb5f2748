"""Which subscriptions were put at run time: an area of ``penstock.system``.

Who owns the system decides, so that of several who put one there is an order, and none is too many.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import msgspec

from ....errors import NotFound
from ....plan.run_time import RunTimeSubscription, decoded, encoded
from ....system.messages import Command, Message, Refused
from ..handshakes.messages import HandshakeForgotten
from ..state import Began, Forgotten, SubscriptionChanged
from .messages import DeleteSubscription, PauseSubscription, PutSubscription, SubscriptionDeleted, SubscriptionPut

ANSWERED = 1_024  # commands that are remembered, for who waits for an answer and for repeats


class PlacedSource(NamedTuple):
    """``topic``: what is read for a source, and the position before which its partitions end, by their number."""

    topic: str
    ends: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class PutRules:
    """What only the owner knows. ``reserved``: of a name that cannot be put, whose it is; empty: nobody's. ``find``
    raises ``NotFound`` for a source that is none. ``per_source`` and ``most``: subscriptions at run time."""

    reserved: Callable[[str], str]
    find: Callable[[str], PlacedSource]
    per_source: int
    most: int


class StoredSubscription(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``data``: the subscription as ``plan.run_time.encoded`` writes it: hardly one is ever looked at. ``at``,
    ``begun``: see ``SubscriptionPut``."""

    source: str
    by: str
    at: int
    begun: int
    data: bytes

    @property
    def subscription(self) -> RunTimeSubscription:
        return decoded(self.data)

    def __repr__(self) -> str:
        return f"StoredSubscription({self.source!r}, {self.by!r}, {self.at})"


class SavedSubscriptions(msgspec.Struct):
    subscriptions: dict[str, StoredSubscription]


@dataclass(slots=True)
class RunTimeState:
    """Those that there are, by name. ``version`` is another after each change. Changed by ``View.refresh`` alone.

    ``rules``: the owner's; without any, nothing can be decided.
    """

    name: ClassVar[str] = "subscriptions"
    form: ClassVar[int] = 1
    messages: ClassVar[Sequence[type[Message]]] = (
        PutSubscription,
        DeleteSubscription,
        PauseSubscription,
        SubscriptionPut,
        SubscriptionDeleted,
    )

    rules: PutRules | None = field(default=None, compare=False)
    version: int = field(default=0, compare=False)
    _stored: MutableMapping[str, StoredSubscription | None] = field(default_factory=dict)  # None: deleted, ahead
    _counts: MutableMapping[str, int] = field(default_factory=dict)  # by source
    _answers: MutableMapping[str, Refused | None] = field(default_factory=dict, compare=False)  # None: it is done

    def __len__(self) -> int:
        return sum(self._counts.values())

    def get(self, name: str) -> StoredSubscription | None:
        return self._stored.get(name)

    def names(self) -> Iterator[str]:
        return (name for name, stored in self._stored.items() if stored is not None)

    def stored(self) -> dict[str, StoredSubscription]:
        return {name: stored for name, stored in self._stored.items() if stored is not None}

    def is_answered(self, command: str) -> bool:
        return command in self._answers

    def refusal(self, command: str) -> Refused | None:
        """None also for a command that was not answered, or long ago."""
        return self._answers.get(command)

    def apply(self, message: Message) -> None:
        match message:
            case SubscriptionPut():
                self._remember(message.causationid, None)
                put, data = message.put, encoded(message.put)
                self._set(put.name, StoredSubscription(put.source, message.by, message.at, message.begun, data))
            case SubscriptionDeleted():
                self._remember(message.causationid, None)
                self._set(message.subscription, None)
            case Refused():
                self._remember(message.causationid, message)

    def _remember(self, command: str, answer: Refused | None) -> None:
        self._answers[command] = answer
        if len(self._answers) > ANSWERED and isinstance(self._answers, dict):
            del self._answers[next(iter(self._answers))]

    def _set(self, name: str, stored: StoredSubscription | None) -> None:
        before = self._stored.get(name)
        if before == stored:
            return
        self.version += 1
        for each, change in ((before, -1), (stored, 1)):
            if each is not None:
                self._counts[each.source] = self._counts.get(each.source, 0) + change
        if before is not None and not self._counts[before.source] and isinstance(self._counts, dict):
            del self._counts[before.source]
        if stored is None and isinstance(self._stored, dict):
            self._stored.pop(name, None)
        else:
            self._stored[name] = stored

    # -- the owner's ----------------------------------------------------------

    def decide(self, command: Command, *, now: int) -> Sequence[Message]:
        if command.id in self._answers:
            return ()
        if (fault := command.fault()) is not None:
            return (self._refused(command, "invalid", fault),)
        assert self.rules is not None, "the owner has rules"
        match command:
            case PutSubscription():
                return self._put(command, self.rules, now)
            case DeleteSubscription():
                return self._delete(command, self.rules, now)
            case PauseSubscription():
                return self._pause(command, self.rules, now)
        raise AssertionError(f"{command.TYPE} is no command of subscriptions")

    def _put(self, command: PutSubscription, rules: PutRules, now: int) -> Sequence[Message]:
        put, before = command.put, self.get(command.put.name)
        if before is not None and before.data == encoded(put):
            return ()
        if whose := rules.reserved(put.name):
            return (self._refused(command, "conflict", f"'{put.name}' is {whose}: choose another name"),)
        try:
            found = rules.find(put.source)
        except NotFound as error:
            return (self._refused(command, "not-found", str(error)),)
        if before is None or before.source != put.source:
            if (count := self._counts.get(put.source, 0)) >= rules.per_source:
                reason = (
                    f"'{put.source}' has {count:,} subscriptions put at run time, as many as may be; delete one that "
                    "nobody needs, or set PENSTOCK_SUBSCRIPTIONS_PER_SOURCE"
                )
                return (self._refused(command, "conflict", reason),)
            if before is None and len(self) >= rules.most:
                reason = f"there are {len(self):,} subscriptions put at run time, as many as may be; delete some"
                return (self._refused(command, "conflict", reason),)
        told, begun = list[Message](), now
        if before is not None and before.source == put.source:
            begun = before.begun
        else:
            told += self._forgotten(put.name, before, rules)
            earliest = put.start == "earliest"
            through = tuple(-1 if earliest else end - 1 for _, end in sorted(found.ends.items()))
            told.append(Began(subscription=put.name, topic=found.topic, through=through))
        told.append(SubscriptionPut(put=put, by=command.by, at=now, begun=begun, causationid=command.id))
        return told

    def _delete(self, command: DeleteSubscription, rules: PutRules, now: int) -> Sequence[Message]:
        name, before = command.subscription, self.get(command.subscription)
        if whose := rules.reserved(name):
            return (self._refused(command, "conflict", f"'{name}' is {whose}: take it out there"),)
        if before is None:
            return (self._refused(command, "not-found", f"there is no subscription '{name}' that was put at run time"),)
        gone = SubscriptionDeleted(subscription=name, by=command.by, at=now, causationid=command.id)
        return (*self._forgotten(name, before, rules), gone)

    def _pause(self, command: PauseSubscription, rules: PutRules, now: int) -> Sequence[Message]:
        name = command.subscription
        if self.get(name) is None and not rules.reserved(name):
            return (self._refused(command, "not-found", f"there is no subscription '{name}'"),)
        return (SubscriptionChanged(subscription=name, paused=command.paused, at=now),)

    def _forgotten(self, name: str, before: StoredSubscription | None, rules: PutRules) -> list[Message]:
        if before is None:
            return []
        try:
            found = rules.find(before.source)
            topic, partitions = found.topic, len(found.ends)
        except NotFound:  # it is in the app no more, and nobody reads it
            topic, partitions = before.source, 0
        told: list[Message] = [Forgotten(subscription=name, topic=topic, partitions=partitions)]
        return [*told, HandshakeForgotten(subscription=name)]

    def _refused(self, command: Command, kind: str, reason: str) -> Refused:
        return Refused(kind=kind, reason=reason, causationid=command.id, area=self.name)

    def ahead(self) -> RunTimeState:
        return RunTimeState(
            self.rules,
            self.version,
            ChainMap({}, self._stored),
            ChainMap({}, self._counts),
            ChainMap({}, self._answers),
        )

    # -- snapshots ------------------------------------------------------------

    def save(self) -> bytes:
        return msgspec.msgpack.encode(SavedSubscriptions(self.stored()))

    def restore(self, saved: bytes) -> None:
        found = msgspec.msgpack.decode(saved, type=SavedSubscriptions).subscriptions
        self._stored = dict(found)
        self._counts = dict(Counter(stored.source for stored in found.values()))
        self.version += 1
