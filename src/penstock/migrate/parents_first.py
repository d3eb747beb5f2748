"""All events of a log, parents before what was made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import msgspec
import numpy as np

from ..batch import RETRY, SYSTEM, Batch, Positions, Rejected, column
from ..log.interface import PartitionState, Reader, Seek
from ..run.compose.backends import AppLog
from ..stages.deliver.state import POSITIONED

Place = tuple[str, int]  # topic, partition

ROWS = 8_192  # in one read, at most
HELD_BYTES = 32 << 20  # bytes that one read should have at most, by the average of the events


@dataclass(slots=True)
class Round:
    """What may be dealt with together: no row has a parent, or speaks of a row, among the others."""

    batches: list[Batch] = field(default_factory=list)
    rejected: list[tuple[Place, Rejected]] = field(default_factory=list)


def rounds(log: AppLog, topics: Sequence[str]) -> Iterator[Round]:
    """Each partition in its order. Where a topic feeds itself, by whatever way, its rows come in as many rounds as
    that takes. A row whose parent is not there any more waits for nothing."""
    if not topics:
        return
    states = [state for topic in topics for state in log.partitions(topic)]
    with closing(log.reader(None, topics, "migrate")) as reader:
        yield from _Order(reader, states).run()


class _Order:
    def __init__(self, reader: Reader, states: Sequence[PartitionState]) -> None:
        self._reader, self._rows = reader, _rows(states)
        self._seen = {(s.topic, s.partition): s.earliest - 1 for s in states}  # the last position dealt with
        self._held: dict[Place, Batch] = {}  # read, and waiting for their parents
        self._paused: set[Place] = set()  # no more is read of what was held for a round
        self._open: set[Place] | None = None  # partitions that may hold more; None: any

    def run(self) -> Iterator[Round]:
        while True:
            batches = self._reader.read(self._rows, 0.0)
            rejected = [((b.topic, b.partition), r) for b in batches for r in b.rejected]
            self._held |= {(batch.topic, batch.partition): batch for batch in batches}
            # Nothing more comes but behind what is held: a parent that is not held either is not there.
            self._open = None if batches else set(self._held)
            released = self._released()
            if not released and not batches and self._held:
                self._open = set()  # each waits for another: no stage made that
                released = self._released()
            self._hold_back()
            if released or rejected:
                yield Round(released, rejected)
            elif not batches:
                return

    def _hold_back(self) -> None:
        for place in self._held.keys() - self._paused:
            self._reader.seek(Seek(*place, "pause"))
        for place in self._paused - self._held.keys():
            self._reader.seek(Seek(*place, "resume"))
        self._paused = set(self._held)

    def _released(self) -> list[Batch]:
        """What may go now. It counts as seen afterwards, so that it comes in an earlier round than its children."""
        ready = {place: self._ready(batch) for place, batch in self._held.items()}
        found: list[Batch] = []
        for place, count in ready.items():
            batch = self._held[place]
            if count:
                found.append(batch.slice(0, count))
            if count == len(batch):
                self._seen[place] = batch.through
                del self._held[place]
            elif count:
                self._seen[place] = int(batch.positions[count - 1])
                self._held[place] = batch.slice(count, len(batch))
        return found

    def _ready(self, batch: Batch) -> int:
        """How many of its first rows wait for nothing."""
        waiting = np.zeros(len(batch), bool)
        for row, place, position in _mentioned(batch):
            waiting[row] |= self._is_open(place) and position > self._seen[place]
        if batch.origin is not None:
            partitions, parents = lineage(batch)
            for partition in np.unique(partitions[parents >= 0]).tolist():
                place = (batch.origin.topic, partition)
                if self._is_open(place):
                    waiting |= (partitions == partition) & (parents > self._seen[place])
        return int(np.argmax(waiting)) if waiting.any() else len(batch)

    def _is_open(self, place: Place) -> bool:
        return place in self._seen and (self._open is None or place in self._open)


def _mentioned(batch: Batch) -> Iterator[tuple[int, Place, int]]:
    """Rows that speak of positions without having them as parents: how far subscriptions have come, and deliveries that
    wait. What they speak of has to be there before them, so that its new positions are known."""
    if batch.topic == RETRY:
        columns = (batch.rows.column(name).to_pylist() for name in ("topic", "partition", "offset"))
        for row, (topic, partition, offset) in enumerate(zip(*columns, strict=True)):
            yield row, (topic, partition), offset
    elif batch.topic == SYSTEM:
        texts = batch.rows.column("json")
        for row, kind in enumerate(column(batch.rows, "_type").to_pylist()):
            if (positioned := POSITIONED.get(kind)) is not None:
                message = msgspec.json.decode(texts[row].as_py(), type=positioned)
                yield from ((row, *mentioned) for mentioned in message.mentioned())


def lineage(batch: Batch) -> tuple[Positions, Positions]:
    """Each row's parent: its partition and its position; below 0 where it has none."""
    names = ("_parent_partition", "_parent")
    partitions, parents = (column(batch.rows, n).cast("int64").fill_null(-1).to_numpy() for n in names)
    return partitions, np.where(partitions < 0, -1, parents)


def _rows(states: Sequence[PartitionState]) -> int:
    """So many that a read stays within bounds where events are large."""
    largest = max((state.bytes / state.events for state in states if state.events), default=1.0)
    return max(1, min(ROWS, int(HELD_BYTES / max(largest, 1.0))))
