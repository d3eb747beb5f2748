"""The log in memory: a real backend for tests and notebooks, gone with its process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..batch import AppendResult, TopicSpec, Write
from ..clock import Clock, SystemClock
from ..errors import PartitionsChanged
from ..settings import Settings
from .in_memory.reader import MemoryReader
from .in_memory.store import PartitionLease, Store, StoredGroup, StoredPartition, StoredTopic
from .interface import GroupState, PartitionState, Start
from .reading.assigned import Place
from .topic_schema import check_spec, empty, grown


class MemoryLog:
    """Implements ``Log``, ``LogInspection``, ``Offsets`` and ``Alter``. Safe to use from several threads.

    With a ``ManualClock`` a read returns at once instead of waiting: only the test moves time. A member that made no
    call for ``settings.member_timeout`` counts as dead when another wants its partitions. ``gap`` leaves that many
    positions unused after each write, as a Kafka transaction does, to find code that takes them for contiguous;
    ``limit``: bytes of one row, likewise, beyond which it is refused.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        settings: Settings | None = None,
        gap: int = 0,
        limit: int | None = None,
    ) -> None:
        self._store = Store(clock or SystemClock(), settings or Settings(), gap, limit)

    def create(self, topic: TopicSpec, *, grow: bool = False) -> None:
        check_spec(topic)
        store = self._store
        with store.changed:
            store.check_open()
            known = store.topics.setdefault(topic.name, StoredTopic(topic, len(store.topics)))
            known.spec = grown(known.spec, topic, grow=grow)
            count = len(known.partitions)
            known.partitions += [StoredPartition((topic.name, i)) for i in range(count, topic.partitions)]
            store.changed.notify_all()

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        with self._store.changed:
            self._store.check_open()
            self._store.check(writes)
            return self._store.store(writes)

    def reader(
        self, group: str | None, topics: Sequence[str], member: str, *, start: Start = "earliest"
    ) -> MemoryReader:
        store, names = self._store, tuple(dict.fromkeys(topics))
        with store.changed:
            store.check_open()
            for name in names:
                store.topic(name)
            serial = 0
            if group is not None:
                serial = store.join(group, member, names)
                if start == "latest":
                    store.start_latest(group, names)
            return MemoryReader(store, group, names, member, serial, start)

    def close(self) -> None:
        with self._store.changed:
            self._store.closed = True
            self._store.changed.notify_all()

    def plant_undecodable(self, topic: str, partition: int, payload: bytes, reason: str) -> int:
        """Store a row that cannot be decoded, as a foreign producer could on Kafka; returns its position."""
        with self._store.changed:
            rows = empty(self._store.topic(topic).spec.schema)
            return self._store.plant((topic, partition), payload, reason, rows)

    # -- Inspect --------------------------------------------------------------

    def topics(self) -> Sequence[TopicSpec]:
        with self._store.changed:
            return [topic.spec for topic in self._store.topics.values()]

    def partitions(self, topic: str) -> Sequence[PartitionState]:
        with self._store.changed:
            return [
                PartitionState(
                    *p.place, p.earliest, p.end, sum(e.events for e in p.entries), sum(e.bytes for e in p.entries)
                )
                for p in self._store.topic(topic).partitions
            ]

    def groups(self) -> Sequence[GroupState]:
        with self._store.changed:
            return [
                self._state(name, group, place)
                for name, group in self._store.groups.items()
                for place in sorted(group.leases.keys() | group.through.keys())
            ]

    def ends(self, topic: str) -> Mapping[int, int]:
        with self._store.changed:
            return {p.place[1]: p.end for p in self._store.topic(topic).partitions}

    def positions(self, groups: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str, int], int]:
        with self._store.changed:
            return {
                (name, *p.place): self._store.groups[name].through[p.place]
                for name, topic in groups
                for p in self._store.topic(topic).partitions
                if name in self._store.groups and self._store.groups[name].through.get(p.place, -1) >= 0
            }

    # -- Alter ----------------------------------------------------------------

    def reset(self, topic: TopicSpec) -> None:
        check_spec(topic)
        store = self._store
        with store.changed:
            known = store.topic(topic.name)
            count = len(known.partitions)
            if topic.partitions < count:
                raise PartitionsChanged(f"topic '{topic.name}' has {count} partitions, and a reset keeps them")
            for partition in known.partitions:
                partition.entries.clear()
                partition.expired = partition.end
                for group in store.groups.values():
                    if partition.place in group.through:
                        group.through[partition.place] = partition.end - 1
            known.spec = topic
            known.partitions += [StoredPartition((topic.name, i)) for i in range(count, topic.partitions)]
            store.changed.notify_all()

    def delete(self, topic: str) -> None:
        with self._store.changed:
            gone = {partition.place for partition in self._store.topic(topic).partitions}
            del self._store.topics[topic]
            for group in self._store.groups.values():
                for place in gone:
                    group.through.pop(place, None)
                    group.leases.pop(place, None)
            self._store.changed.notify_all()

    def _state(self, name: str, group: StoredGroup, place: Place) -> GroupState:
        partition = self._store.partition(place)
        through = group.through.get(place, -1)
        cursor = through + 1
        waiting = partition.entries[partition.index_at(cursor) :]
        age = max(0.0, (self._store.steady.stamp() - waiting[0].time) / 1e6) if waiting else 0.0
        owner = group.leases.get(place, PartitionLease()).member
        return GroupState(name, *place, through if through >= 0 else None, owner, partition.events_from(cursor), age)
