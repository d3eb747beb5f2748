"""The log on Kafka as an operator sees it.

However many topics and groups there are, it takes a handful of requests and one for each group. What is exact and what
is estimated, ``looking`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from ...clock import Clock
from ..interface import GroupState, PartitionState
from ..reading.holding import Place
from .address import Address
from .catalog import Catalog
from .client import ANSWER, ask
from .looking import RECORDS, Look, Looks
from .membership import Committed

TAIL = 20  # records before the end that a large partition is judged by

_Member = tuple[str, Place]  # a group and a partition


class States:
    """Safe to use from several threads."""

    def __init__(self, address: Address, admin: AdminClient, catalog: Catalog, clock: Clock) -> None:
        self._address, self._admin, self._catalog, self._clock = address, admin, catalog, clock
        self._looks = Looks(address, catalog, clock)

    def partitions(self, topic: str) -> Sequence[PartitionState]:
        places = [(topic, p) for p in range(self._catalog.topic(topic).partitions)]
        first, end = self._catalog.offsets(places, "earliest"), self._catalog.offsets(places, "latest")
        spots = [(place, _tail(first[place], end[place])) for place in places]
        looks = self._looks.at(spots, end)
        return [self._partition(*spot, first[spot[0]], end[spot[0]], looks[spot]) for spot in spots]

    def groups(self) -> Sequence[GroupState]:
        self._catalog.refresh()
        names = [name for name in self._group_names() if name.startswith(self._address.namespace)]
        if not names:
            return []
        owners, positions = self._owners(names), self._positions(names)
        members = sorted({*owners, *positions})
        places = {place for _, place in members}
        first, end = self._catalog.offsets(places, "earliest"), self._catalog.offsets(places, "latest")
        spots = {m: (m[1], _next(positions.get(m), first[m[1]])) for m in members}
        looks = self._looks.at(spots.values(), end)
        return [
            self._group(m, positions.get(m), owners.get(m), first[m[1]], end[m[1]], looks[spots[m]]) for m in members
        ]

    def ends(self, topic: str) -> dict[int, int]:
        ends = self._catalog.offsets([(topic, p) for p in range(self._catalog.topic(topic).partitions)], "latest")
        return {place[1]: self._position(place, Committed(end)) for place, end in ends.items()}

    def positions(self, groups: Iterable[str]) -> dict[tuple[str, str, int], int]:
        """A request for each group."""
        found = self._positions([self._address.namespace + group for group in groups])
        return {
            (name.removeprefix(self._address.namespace), *place): self._position(place, committed) - 1
            for (name, place), committed in found.items()
        }

    def close(self) -> None:
        self._looks.close()

    # -- what the brokers say -------------------------------------------------

    def _group_names(self) -> list[str]:
        asked = {"groups": self._admin.list_consumer_groups(request_timeout=ANSWER)}
        return sorted(group.group_id for group in ask("ask for the groups", lambda: asked)["groups"].valid)

    def _owners(self, names: list[str]) -> dict[_Member, str]:
        """A member's name is its process's; on several hosts those repeat."""
        described = ask("ask for the groups", lambda: self._admin.describe_consumer_groups(names))
        return {
            (name, place): f"{member.client_id}@{member.host.lstrip('/')}"
            for name, group in described.items()
            for member in group.members
            for p in member.assignment.topic_partitions
            if (place := self._known(p.topic, p.partition)) is not None
        }

    def _positions(self, names: list[str]) -> dict[_Member, Committed]:
        asked = [self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]) for name in names]
        answers = ask("ask for positions", lambda: {name: f for each in asked for name, f in each.items()})
        found = [
            (name, p, committed)
            for name, answer in answers.items()
            for p in answer.topic_partitions
            if (committed := Committed.of(p)) is not None
        ]
        if any(self._known(p.topic, p.partition) is None for _, p, _ in found):
            self._catalog.refresh()  # another process may have declared it
        return {
            (name, place): committed
            for name, p, committed in found
            if (place := self._known(p.topic, p.partition)) is not None
        }

    def _position(self, place: Place, at: Committed) -> int:
        return self._catalog.numbering(place[0]).position(at.offset, at.row)

    def _known(self, name: str, partition: int) -> Place | None:
        topic = self._catalog.own(name)
        declared = name.startswith(self._address.namespace) and self._catalog.is_declared(topic)
        return (topic, partition) if declared and not self._catalog.is_gone(topic) else None

    # -- what follows from it -------------------------------------------------

    def _partition(self, place: Place, start: int, first: int, end: int, look: Look) -> PartitionState:
        position = self._catalog.numbering(place[0]).position
        return PartitionState(
            *place,
            position(first),
            position(end),
            round((start - first) * look.events_an_offset) + look.events_to(end),
            round((start - first) * look.bytes_an_offset) + look.bytes_to(end),
        )

    def _group(
        self, member: _Member, committed: Committed | None, owner: str | None, first: int, end: int, look: Look
    ) -> GroupState:
        name, (topic, partition) = member
        done, through = 0, None
        if committed is not None:
            done = committed.row if committed.offset >= first else 0
            through = self._position(member[1], committed) - 1
        left = max(look.events_to(end) - done, 0)
        age = max(self._clock.now() / 1e6 - look.first / 1e3, 0.0) if left and look.first is not None else 0.0
        return GroupState(name.removeprefix(self._address.namespace), topic, partition, through, owner, left, age)


def _tail(first: int, end: int) -> int:
    return first if end - first <= RECORDS else end - TAIL


def _next(committed: Committed | None, first: int) -> int:
    return first if committed is None else max(committed.offset, first)
