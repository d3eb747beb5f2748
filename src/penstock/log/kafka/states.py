"""The log on Kafka as an operator sees it.

Kafka counts records. Of records of many events the events are therefore estimated, from the last ones of each
partition; with a record an event the count is exact, but for the records that end transactions.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from ...clock import Clock
from ..interface import GroupState, PartitionState
from ..reading.holding import Place
from .address import Address
from .catalog import Catalog
from .client import ANSWER, ask, configuration
from .membership import Committed
from .records.arrow import rows_of

SAMPLE = 20  # records of a partition that are looked at
HELD = 2.0  # seconds for which a look holds


@dataclass(frozen=True, slots=True)
class Sample:
    """What the last records of a partition are like."""

    events: float = 1.0  # a record
    bytes: float = 0.0  # a record


class States:
    """Safe to use from several threads."""

    def __init__(self, address: Address, admin: AdminClient, catalog: Catalog, clock: Clock) -> None:
        self._address, self._admin, self._catalog, self._clock = address, admin, catalog, clock
        self._mutex = threading.Lock()
        self._samples: dict[Place, tuple[int, Sample]] = {}  # with the end at which it was taken

    def partitions(self, topic: str) -> Sequence[PartitionState]:
        spec = self._catalog.topic(topic)
        places = [(topic, p) for p in range(spec.partitions)]
        first, end = self._catalog.offsets(places, "earliest"), self._catalog.offsets(places, "latest")
        samples = self._sampled(places, first, end)
        shift = self._catalog.numbering(topic).position
        return [
            PartitionState(
                *place,
                shift(first[place]),
                shift(end[place]),
                round((end[place] - first[place]) * samples[place].events),
                round((end[place] - first[place]) * samples[place].bytes),
            )
            for place in places
        ]

    def groups(self) -> Sequence[GroupState]:
        names = [name for name in self._group_names() if name.startswith(self._address.namespace)]
        if not names:
            return []
        known = {topic.name for topic in self._catalog.topics()}
        owners = self._owners(names)
        found: list[GroupState] = []
        for name in names:
            for place, committed in self._positions(name).items():
                if place[0] in known:
                    owners.setdefault((name, place), None)
                    found.append(self._state(name, place, committed, owners[name, place]))
            found += [
                self._state(name, place, None, owner)
                for (group, place), owner in owners.items()
                if group == name and place[0] in known and not any(_is(state, name, place) for state in found)
            ]
        return [self._own_name(state) for state in found]

    # -- what the brokers say -------------------------------------------------

    def _group_names(self) -> list[str]:
        answer = self._admin.list_consumer_groups(request_timeout=ANSWER).result(ANSWER)
        return sorted(group.group_id for group in answer.valid)

    def _owners(self, names: list[str]) -> dict[tuple[str, Place], str | None]:
        described = ask("ask for the groups", lambda: self._admin.describe_consumer_groups(names))
        return {
            (name, (self._catalog.own(p.topic), p.partition)): member.client_id
            for name, group in described.items()
            for member in group.members
            for p in member.assignment.topic_partitions
        }

    def _positions(self, name: str) -> dict[Place, Committed]:
        wanted = [ConsumerGroupTopicPartitions(name)]
        answer = ask("ask for positions", lambda: self._admin.list_consumer_group_offsets(wanted))[name]
        found: dict[Place, Committed] = {}
        for each in answer.topic_partitions:
            if (committed := Committed.of(each)) is not None:
                found[self._catalog.own(each.topic), each.partition] = committed
        return found

    def _state(self, group: str, place: Place, committed: Committed | None, owner: str | None) -> GroupState:
        first = self._catalog.offsets([place], "earliest")
        end = self._catalog.offsets([place], "latest")
        offset = max(first[place], committed.offset if committed else 0)
        behind = max(end[place] - offset, 0)
        sample = self._sampled([place], first, end)[place]
        position = self._catalog.numbering(place[0]).position
        through = None if committed is None else position(committed.offset, committed.row) - 1
        events = max(round(behind * sample.events) - (committed.row if committed else 0), 0)
        age = self._age(place, offset) if behind else 0.0
        return GroupState(group, *place, through, owner, events, age)

    def _own_name(self, state: GroupState) -> GroupState:
        name = state.group.removeprefix(self._address.namespace)
        return GroupState(
            name, state.topic, state.partition, state.through, state.owner, state.lag_events, state.lag_seconds
        )

    # -- records --------------------------------------------------------------

    def _sampled(self, places: Iterable[Place], first: dict[Place, int], end: dict[Place, int]) -> dict[Place, Sample]:
        found: dict[Place, Sample] = {}
        for place in places:
            with self._mutex:
                taken, sample = self._samples.get(place, (-1, Sample()))
            if taken != end[place] and end[place] > first[place]:
                sample = self._sample(place, max(first[place], end[place] - SAMPLE)) or sample
                with self._mutex:
                    self._samples[place] = end[place], sample
            found[place] = sample
        return found

    def _sample(self, place: Place, offset: int) -> Sample | None:
        records = self._records(place, offset, SAMPLE)
        values = [record.value() or b"" for record in records]
        if not values:
            return None
        arrow = self._catalog.topic(place[0]).encoding == "arrow"
        events = sum(map(rows_of, values)) if arrow else len(values)
        return Sample(events / len(values), sum(map(len, values)) / len(values))

    def _age(self, place: Place, offset: int) -> float:
        """Of the first record not yet dealt with."""
        records = self._records(place, offset, 1)
        if not records:
            return 0.0
        appended = int(records[0].timestamp()[1]) * 1_000
        return max(0.0, (self._clock.now() - appended) / 1e6)

    def _records(self, place: Place, offset: int, count: int) -> list[Any]:
        settings = {
            "group.id": "penstock-states",  # never joined: librdkafka wants one
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
        consumer = Consumer(configuration(self._address, **settings))
        try:
            consumer.assign([TopicPartition(self._catalog.name(place[0]), place[1], offset)])
            found: list[Any] = []
            while len(found) < count:
                message = consumer.poll(ANSWER)
                if message is None or message.error() is not None:
                    break  # the end
                found.append(message)
            return found
        finally:
            consumer.close()


def _is(state: GroupState, group: str, place: Place) -> bool:
    return (state.group, state.topic, state.partition) == (group, *place)
