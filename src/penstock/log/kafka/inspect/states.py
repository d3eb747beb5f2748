"""The log on Kafka as an operator sees it.

However many topics there are, it takes a handful of requests, and a few for each group. What is exact and what is
estimated, ``sampling`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from ....clock import Clock
from ...interface import GroupState, PartitionState
from ...reading.assigned import Place
from ..cluster.address import Address
from ..consume.consumer import Committed
from ..topics.catalog import ClusterCatalog
from .groups import Groups
from .sampling import RECORDS, Sample, Sampling

TAIL = 20  # records before the end that a large partition is judged by

_Member = tuple[str, Place]  # a group and a partition


class States:
    """Safe to use from several threads."""

    def __init__(self, address: Address, admin: AdminClient, catalog: ClusterCatalog, clock: Clock) -> None:
        self._address, self._catalog, self._clock = address, catalog, clock
        self._groups = Groups(address, admin)
        self._looks = Sampling(address, catalog, clock)

    def partitions(self, topic: str) -> Sequence[PartitionState]:
        places = [(topic, p) for p in range(self._catalog.topic(topic).partitions)]
        first, end = self._catalog.offsets(places, "earliest"), self._catalog.offsets(places, "latest")
        spots = [(place, _tail(first[place], end[place])) for place in places]
        looks = self._looks.at(spots, end)
        return [self._partition(*spot, first[spot[0]], end[spot[0]], looks[spot]) for spot in spots]

    def groups(self) -> Sequence[GroupState]:
        places = [(t.name, p) for t in self._catalog.topics() for p in range(t.partitions) if self._is_there(t.name)]
        owners: dict[_Member, str] = {}
        positions: dict[_Member, Committed] = {}
        for name in self._groups.names():
            owners |= self._owners(name)
            positions |= self._positions(name, places)
        members = sorted({*owners, *positions})
        places = sorted({place for _, place in members})
        first, end = self._catalog.offsets(places, "earliest"), self._catalog.offsets(places, "latest")
        spots = {m: (m[1], _next(positions.get(m), first[m[1]])) for m in members}
        looks = self._looks.at(spots.values(), end)
        return [
            self._group(m, positions.get(m), owners.get(m), first[m[1]], end[m[1]], looks[spots[m]]) for m in members
        ]

    def ends(self, topic: str) -> dict[int, int]:
        ends = self._catalog.offsets([(topic, p) for p in range(self._catalog.topic(topic).partitions)], "latest")
        return {place[1]: self._position(place, Committed(end)) for place, end in ends.items()}

    def positions(self, groups: Iterable[tuple[str, str]]) -> dict[tuple[str, str, int], int]:
        """A request for each."""
        found = {
            member: committed
            for group, topic in groups
            for member, committed in self._positions(
                self._address.namespace + group, [(topic, p) for p in range(self._catalog.topic(topic).partitions)]
            ).items()
        }
        return {
            (name.removeprefix(self._address.namespace), *place): self._position(place, committed) - 1
            for (name, place), committed in found.items()
        }

    def close(self) -> None:
        self._groups.close()
        self._looks.close()

    # -- what the brokers say -------------------------------------------------

    def _owners(self, name: str) -> dict[_Member, str]:
        return {
            (name, (topic, partition)): owner
            for owner, owned in self._groups.members(name).items()
            for on_cluster, partition in owned
            if on_cluster.startswith(self._address.namespace) and self._is_there(topic := self._catalog.own(on_cluster))
        }

    def _positions(self, name: str, places: Sequence[Place]) -> dict[_Member, Committed]:
        asked = [TopicPartition(self._catalog.name(topic), p) for topic, p in places]
        answers = zip(places, self._groups.positions(name, asked), strict=True)
        return {(name, place): at for place, answer in answers if (at := Committed.of(answer)) is not None}

    def _position(self, place: Place, at: Committed) -> int:
        return self._catalog.numbering(place[0]).position(at.offset, at.row)

    def _is_there(self, topic: str) -> bool:
        return self._catalog.is_declared(topic) and not self._catalog.is_gone(topic)

    # -- what follows from it -------------------------------------------------

    def _partition(self, place: Place, start: int, first: int, end: int, look: Sample) -> PartitionState:
        position = self._catalog.numbering(place[0]).position
        return PartitionState(
            *place,
            position(first),
            position(end),
            round((start - first) * look.events_an_offset) + look.events_to(end),
            round((start - first) * look.bytes_an_offset) + look.bytes_to(end),
        )

    def _group(
        self, member: _Member, committed: Committed | None, owner: str | None, first: int, end: int, look: Sample
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
