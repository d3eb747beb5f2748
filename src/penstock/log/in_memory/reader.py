"""Reading from the log in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from ...batch import Batch, Rejected, Write
from ...errors import Fenced, LogError, NotFound
from ..interface import Advance, OwnedPartition, Seek, Start
from ..reading.assigned import Holding, Holdings, Place
from ..reading.fair_share import share
from ..reading.seeking import check_target, microseconds, overtaken
from ..topic_schema import concat_evolved, empty
from .store import Store, StoredBatch, StoredPartition


class MemoryReader:
    """Implements ``Reader``."""

    def __init__(
        self, store: Store, group: str | None, topics: tuple[str, ...], member: str, serial: int, start: Start
    ) -> None:
        self._store = store
        self._group = group
        self._topics = topics
        self._member = member
        self._serial = serial
        self._start = start
        self._own = Holdings()
        self._turn = 0
        self._closed = False
        with store.changed:
            self._keep_up()

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        store = self._store
        deadline = store.clock.monotonic() + (wait or 0.0)
        with store.changed:
            while True:
                self._check_open()
                self._keep_up()
                if batches := self._gather(max_events):
                    return batches
                left = deadline - store.clock.monotonic()
                if left <= 0 or not store.waits:
                    return []
                self._seen(waiting=left)
                store.changed.wait(min(left, store.settings.poll_interval))
                if self._closed:
                    return []

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        with self._store.changed:
            self._check_open()
            if self._group is None:
                raise LogError("a reader without a group has no positions to commit")
            self._seen()
            self._check_fenced(self._own.answered_for(done))
            self._store.commit(self._group, done, outputs)
            for advance in done:
                self._own.held[advance.topic, advance.partition].committed(advance.through)

    def owned(self, topic: str) -> Mapping[int, OwnedPartition]:
        with self._store.changed:
            return self._own.owned(topic)

    def seek(self, where: Seek) -> None:
        with self._store.changed:
            self._check_open()
            self._keep_up()
            for place in self._named(where):
                self._seek_one(place, where)
            self._store.changed.notify_all()

    def close(self) -> None:
        with self._store.changed:
            if not self._closed and self._group is not None:
                self._store.leave(self._group, self._member, self._serial)
            self._closed = True
            self._store.changed.notify_all()

    # -- membership -----------------------------------------------------------

    def _keep_up(self) -> None:
        if self._group is None:
            for topic in self._topics:
                for partition in self._store.topic(topic).partitions:
                    if partition.place not in self._own.held:
                        self._own.held[partition.place] = Holding(partition.place, 0, self._first_cursor(partition))
            self._start = "earliest"  # partitions that come later are read whole
            return
        self._seen()
        keep = {place for place, holding in self._own.held.items() if holding.returned >= 0}
        epochs, leaving = self._store.balance(self._group, self._member, keep)
        for place in [p for p, holding in self._own.held.items() if epochs.get(p) != holding.epoch]:
            self._own.drop(place)
        for place, epoch in epochs.items():
            if place not in self._own.held:
                partition = self._store.partition(place)
                self._own.held[place] = Holding(place, epoch, self._first_cursor(partition))
            self._own.held[place].leaving = place in leaving

    def _seen(self, waiting: float = 0) -> None:
        """Say that this member lives, and will while it waits; join again when it was taken for dead."""
        if self._group is None:
            return
        members = self._store.groups[self._group].members
        if self._member in members and members[self._member].serial != self._serial:
            if lost := self._own.abandon():
                raise Fenced(lost)
            raise LogError(f"another reader joined group '{self._group}' as '{self._member}'; names must differ")
        if self._member not in members:
            self._serial = self._store.join(self._group, self._member, self._topics)
        members[self._member].seen = self._store.clock.monotonic() + waiting

    def _check_fenced(self, places: list[Place]) -> None:
        assert self._group is not None
        leases = self._store.groups[self._group].leases
        for place in dict.fromkeys(places):
            self._store.partition(place)
            held, lease = self._own.held.get(place), leases.get(place)
            if held and (lease is None or lease.member != self._member or lease.epoch != held.epoch):
                self._own.drop(place)
        if lost := self._own.refuse(places):
            raise Fenced(lost)

    def _first_cursor(self, partition: StoredPartition) -> int:
        if self._group is None:
            return partition.end if self._start == "latest" else partition.earliest
        through = self._store.groups[self._group].through.get(partition.place)
        return partition.earliest if through is None else through + 1

    # -- reading --------------------------------------------------------------

    def _gather(self, max_events: int) -> list[Batch]:
        available = {}
        for holding in self._in_turn():
            partition = self._store.partition(holding.place)
            self._check_overtaken(holding, partition)
            if events := partition.events_from(holding.cursor):
                available[holding.place] = events
        return [self._take(place, count) for place, count in share(available, max_events).items()]

    def _in_turn(self) -> Iterator[Holding]:
        held = [h for h in self._own.held.values() if h.readable and h.place not in self._own.lost]
        if held:
            self._turn = (self._turn + 1) % len(held)
        yield from held[self._turn :]
        yield from held[: self._turn]

    @staticmethod
    def _check_overtaken(holding: Holding, partition: StoredPartition) -> None:
        if holding.cursor < partition.expired:
            missed, holding.cursor = holding.cursor, partition.earliest
            raise overtaken(holding.place, missed, partition.earliest)

    def _take(self, place: Place, count: int) -> Batch:
        holding, partition = self._own.held[place], self._store.partition(place)
        schema = self._store.topic(place[0]).spec.schema
        rows: list[pa.RecordBatch] = []
        positions, times, rejected = [], [], list[Rejected]()
        entries = self._entries(partition, holding.cursor, count)
        for entry, skip, taken in entries:
            holding.cursor = entry.first + skip + taken
            if entry.rejected:
                rejected.append(entry.rejected)
                continue
            rows.append(entry.rows.slice(skip, taken))
            positions.append(np.arange(entry.first + skip, holding.cursor, dtype=np.int64))
            times.append(np.full(taken, entry.time, dtype=np.int64))
        holding.returned = holding.cursor - 1
        none = np.empty(0, dtype=np.int64)
        return Batch(
            *place,
            np.concatenate([none, *positions]),
            np.concatenate([none, *times]),
            concat_evolved(schema, rows) if rows else empty(schema),
            entries[0][0].origin,
            tuple(rejected),
        )

    @staticmethod
    def _entries(partition: StoredPartition, cursor: int, count: int) -> list[tuple[StoredBatch, int, int]]:
        """Entries of one origin from ``cursor`` on, with the rows to skip and to take of each."""
        taken: list[tuple[StoredBatch, int, int]] = []
        for entry in partition.entries[partition.index_at(cursor) :]:
            if count <= 0 or (taken and entry.origin != taken[0][0].origin):
                break
            skip = max(0, cursor - entry.first)
            taken.append((entry, skip, min(count, entry.events - skip)))
            count -= taken[-1][2]
        return taken

    # -- seeking --------------------------------------------------------------

    def _named(self, where: Seek) -> list[Place]:
        if where.topic not in self._topics:
            raise NotFound(f"this reader does not read topic '{where.topic}'")
        if where.partition is None:
            self._own.lost = {place for place in self._own.lost if place[0] != where.topic}
            return [place for place in self._own.held if place[0] == where.topic]
        place = (where.topic, where.partition)
        self._store.partition(place)
        if self._group is not None and where.to not in ("pause", "resume"):
            self._own.lost.discard(place)
            self._check_fenced([place])
        return [place] if place in self._own.held else []

    def _seek_one(self, place: Place, where: Seek) -> None:
        holding, partition = self._own.held[place], self._store.partition(place)
        if where.to in ("pause", "resume"):
            holding.paused = where.to == "pause"
        elif where.to == "committed":
            if self._group is None:
                raise LogError("a reader without a group has no committed position")
            holding.moved(self._first_cursor(partition))
        else:
            holding.moved(self._target(partition, where.to))
            if self._group is not None:
                self._store.groups[self._group].through[place] = holding.cursor - 1

    @staticmethod
    def _target(partition: StoredPartition, to: int | datetime | str) -> int:
        if to == "earliest":
            return partition.earliest
        if isinstance(to, datetime):
            at = microseconds(to)
            return next((e.first for e in partition.entries if e.time >= at), partition.end)
        if isinstance(to, int):
            check_target(partition.place, to, partition.end)
            return max(to, partition.earliest)
        return partition.end

    def _check_open(self) -> None:
        self._store.check_open()
        if self._closed:
            raise LogError("the reader is closed")
