"""How far each subscription has come, where that is not where its router is, and which are not delivered to: an area of
``penstock.system``.

A router reads a topic once for all of its subscriptions, and its group's position is that of those which follow it.
One that cannot keep up has a position of its own, so that nobody waits for it. The member that owns a partition writes
both, fenced with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import msgspec

from ...system.messages import Command, Disabled, Message
from .lane_positions import LanePositions, Move, OrderedPosition, Place

TOKENS = 10_000  # of partitions taken that are remembered; each is looked for within seconds of its writing


class PartitionTaken(Message, frozen=True, kw_only=True):
    """A member has got a partition to route.

    Whatever an earlier owner said of it lies before this, in a topic with one partition. So who has read this has read
    that: also on Kafka, where a transaction that is open hides for a while what was committed behind its first row.
    """

    TYPE: ClassVar[str] = "penstock.delivery.taken"

    token: str


class Following(Message, frozen=True, kw_only=True):
    """These go by the router's position from here on; of what lies behind ``since`` alone."""

    TYPE: ClassVar[str] = "penstock.delivery.following"

    topic: str
    partition: int
    subscriptions: tuple[str, ...]
    since: int

    def mentioned(self) -> Iterator[tuple[Place, int]]:
        """The positions that it speaks of."""
        yield (self.topic, self.partition), self.since

    def moved(self, move: Move) -> Following:
        """The same of another log."""
        return msgspec.structs.replace(self, since=move((self.topic, self.partition), self.since))


class Behind(Message, frozen=True, kw_only=True):
    """This one has dealt with everything through a position of its own, and goes on from there."""

    TYPE: ClassVar[str] = "penstock.delivery.behind"

    topic: str
    partition: int
    subscription: str
    through: int  # -1: nothing yet

    def mentioned(self) -> Iterator[tuple[Place, int]]:
        """The positions that it speaks of."""
        yield (self.topic, self.partition), self.through

    def moved(self, move: Move) -> Behind:
        """The same of another log."""
        return msgspec.structs.replace(self, through=move((self.topic, self.partition), self.through))


class Began(Message, frozen=True, kw_only=True):
    """One that was put at run time begins: it has positions of its own, in a place for each partition; what was said
    of one of its name before is of another."""

    TYPE: ClassVar[str] = "penstock.delivery.began"

    subscription: str
    topic: str
    through: tuple[int, ...]  # -1: nothing yet

    def mentioned(self) -> Iterator[tuple[Place, int]]:
        """The positions that it speaks of."""
        yield from (((self.topic, partition), through) for partition, through in enumerate(self.through))

    def moved(self, move: Move) -> Began:
        """The same of another log."""
        return msgspec.structs.replace(self, through=tuple(move(*each) for each in self.mentioned()))


class Forgotten(Message, frozen=True, kw_only=True):
    """One was deleted: nothing is known of it any more. It had positions in so many partitions of the topic."""

    TYPE: ClassVar[str] = "penstock.delivery.forgotten"

    subscription: str
    topic: str
    partitions: int


class Failing(Message, frozen=True, kw_only=True):
    """No attempt has succeeded since this one; told when that has lasted for a while."""

    TYPE: ClassVar[str] = "penstock.delivery.failing"

    subscription: str
    since: int  # microseconds since the epoch


class Recovered(Message, frozen=True, kw_only=True):
    """One has, of a subscription of which that was told."""

    TYPE: ClassVar[str] = "penstock.delivery.recovered"

    subscription: str
    at: int  # microseconds since the epoch


class SubscriptionChanged(Message, frozen=True, kw_only=True):
    """Somebody has paused a subscription, or resumed one that was paused or disabled. The last one counts."""

    TYPE: ClassVar[str] = "penstock.subscription.changed"

    subscription: str
    paused: bool
    at: int  # microseconds since the epoch


POSITIONED: Mapping[str, type[Following | Behind | Began | OrderedPosition]] = {
    kind.TYPE: kind for kind in (Following, Behind, Began, OrderedPosition)
}
"""The messages that speak of positions, by their types."""


class Halt(msgspec.Struct, frozen=True, array_like=True):
    """Why nothing is delivered for now: somebody paused it, or the endpoint wants nothing any more."""

    state: Literal["paused", "disabled"]
    reason: str
    at: int  # microseconds since the epoch


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``own``: it is dealt with through here; else it follows, behind here."""

    through: int
    own: bool


class SavedDeliveries(msgspec.Struct):
    positions: list[tuple[str, int, dict[str, Position]]]
    halted: dict[str, Halt]
    ended: dict[str, int] = {}
    failing: dict[str, int] = {}
    recovered: dict[str, int] = {}
    lanes: list[tuple[str, int, dict[str, LanePositions]]] = []


@dataclass(slots=True)
class DeliveryState:
    """Of all subscriptions: their positions, by topic and partition, and by name those that are ``halted``; when
    one was ``ended`` last, whatever became of it since; since when one is ``failing``, and up to when failures count no
    more, since it has ``recovered`` or was resumed then (microseconds since the epoch)."""

    name: ClassVar[str] = "deliveries"
    form: ClassVar[int] = 1
    messages: ClassVar[Sequence[type[Message]]] = (
        PartitionTaken,
        Following,
        Behind,
        Began,
        Forgotten,
        OrderedPosition,
        Failing,
        Recovered,
        Disabled,
        SubscriptionChanged,
    )

    halted: dict[str, Halt] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)
    recovered: dict[str, int] = field(default_factory=dict)
    _by_place: dict[Place, dict[str, Position]] = field(default_factory=dict)
    _lanes: dict[Place, dict[str, LanePositions]] = field(default_factory=dict)  # of those that are ordered
    _taken: dict[str, None] = field(default_factory=dict, compare=False)  # tokens seen; of no use after a start

    def of(self, topic: str, partition: int) -> Mapping[str, Position]:
        """By subscription; those that nothing was ever said of are not there."""
        return self._by_place.get((topic, partition), {})

    def spoken_of(self) -> set[str]:
        """Those that are not simply live, or were not once. Under the view's lock."""
        return {*self.halted, *self.ended, *self.failing, *self.recovered}

    def blocked_by_name(self) -> Counter[str]:
        """How many lanes of each ordered subscription wait with a request that has failed."""
        found = Counter[str]()
        for place in self._lanes.values():
            found.update({name: len(known.blocked) for name, known in place.items()})
        return found

    def lanes(self, topic: str, partition: int) -> Mapping[str, LanePositions]:
        """By subscription, of those that are ordered."""
        return self._lanes.get((topic, partition), {})

    def has_seen(self, token: str) -> bool:
        return token in self._taken

    def apply(self, message: Message) -> None:
        match message:
            case PartitionTaken():
                self._taken[message.token] = None
                while len(self._taken) > TOKENS:
                    del self._taken[next(iter(self._taken))]
            case Following():
                place = self._by_place.setdefault((message.topic, message.partition), {})
                place.update(dict.fromkeys(message.subscriptions, Position(message.since, False)))
                self._without_lanes(message.topic, message.partition, message.subscriptions)
            case Behind():
                place = self._by_place.setdefault((message.topic, message.partition), {})
                place[message.subscription] = Position(message.through, True)
                self._without_lanes(message.topic, message.partition, (message.subscription,))
            case Began():
                self._forget(message.subscription)
                for partition, through in enumerate(message.through):
                    place = self._by_place.setdefault((message.topic, partition), {})
                    place[message.subscription] = Position(through, True)
                    self._without_lanes(message.topic, partition, (message.subscription,))
            case Forgotten():
                self._forget(message.subscription)
                for partition in range(message.partitions):
                    self._by_place.get((message.topic, partition), {}).pop(message.subscription, None)
                    self._without_lanes(message.topic, partition, (message.subscription,))
            case OrderedPosition():
                at = message.topic, message.partition
                self._by_place.setdefault(at, {})[message.subscription] = Position(message.through, True)
                self._lanes.setdefault(at, {})[message.subscription] = message.known
            case Disabled():
                self.halted[message.subscription] = Halt("disabled", message.reason, message.at)
                self.ended[message.subscription] = max(message.at, self.ended.get(message.subscription, 0))
            case SubscriptionChanged(paused=True):
                self.halted[message.subscription] = Halt("paused", "it was paused", message.at)
            case SubscriptionChanged():
                self.halted.pop(message.subscription, None)
                self._begin_anew(message.subscription, message.at)
            case Failing():
                name = message.subscription
                if message.since > self.recovered.get(name, 0):  # else from a courier that did not know that yet
                    self.failing[name] = min(message.since, self.failing.get(name, message.since))
            case Recovered():
                self._begin_anew(message.subscription, message.at)

    def move(self, move: Move) -> None:
        """Every position becomes what stands for it on another log. For a state that is nobody's view any more."""
        for place, known in self._by_place.items():
            for name, position in known.items():
                known[name] = Position(move(place, position.through), position.own)
        for place, lanes in self._lanes.items():
            for name, lane in lanes.items():
                lanes[name] = lane.moved(place, move)

    def _forget(self, name: str) -> None:
        for known in (self.halted, self.ended, self.failing, self.recovered):
            known.pop(name, None)

    def _without_lanes(self, topic: str, partition: int, subscriptions: Sequence[str]) -> None:
        """They are not ordered any more."""
        if (place := self._lanes.get((topic, partition))) is not None:
            for name in subscriptions:
                place.pop(name, None)

    def _begin_anew(self, name: str, at: int) -> None:
        self.recovered[name] = max(at, self.recovered.get(name, 0))
        if self.failing.get(name, 0) <= at:
            self.failing.pop(name, None)

    def decide(self, command: Command, *, now: int) -> Sequence[Message]:
        raise AssertionError(f"{command.TYPE} is no command of deliveries")

    def ahead(self) -> DeliveryState:
        return self  # it has no commands, so nothing is decided ahead

    def save(self) -> bytes:
        places = [(topic, partition, known) for (topic, partition), known in self._by_place.items()]
        lanes = [(topic, partition, known) for (topic, partition), known in self._lanes.items()]
        saved = SavedDeliveries(places, self.halted, self.ended, self.failing, self.recovered, lanes)
        return msgspec.msgpack.encode(saved)

    def restore(self, saved: bytes) -> None:
        found = msgspec.msgpack.decode(saved, type=SavedDeliveries)
        self.halted, self.ended = found.halted, found.ended
        self.failing, self.recovered = found.failing, found.recovered
        self._by_place = {(topic, partition): known for topic, partition, known in found.positions}
        self._lanes = {(topic, partition): known for topic, partition, known in found.lanes}
