"""Retention: the committer removes what is too old or too much, a bounded amount a commit."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import apsw

from ...steady import believable
from .catalog import Catalog, TopicEntry, partition_row, write_partition
from .tables import MASK, LogState, PartitionRow, key

TOPICS_A_COMMIT = 64
BATCHES_A_COMMIT = 512
LOOK_AGAIN_US = 60_000_000  # other processes append too, so no topic is forgotten for longer

_HEADS = (
    "SELECT id, count, time, length(meta) + length(payload) FROM batch WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
)


Head = tuple[int, int, int, int]
"""Of a stored batch: its key, how many rows, its time, its bytes."""


class Expirer:
    """One a process; remembers when each topic with a limit is due for a look."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._due: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []

    def know(self, topics: Iterable[TopicEntry]) -> None:
        """New topics, and those whose limits may have changed."""
        for topic in topics:
            if topic.spec.retain_us is not None or topic.spec.retain_bytes is not None:
                self._schedule(topic.spec.name, 0)

    def due(self, now: int) -> bool:
        return bool(self._queue) and self._queue[0][0] <= now

    def expire(self, db: apsw.Connection, state: LogState, now: int, written: Iterable[PartitionRow]) -> None:
        """Within a transaction, after its appends; ``now`` is never ahead of real time."""
        budget = BATCHES_A_COMMIT
        for number in {row.topic for row in written}:
            topic = self._catalog.topics[self._catalog.names[number]]
            if topic.spec.retain_bytes is not None:
                budget -= self._shrink(db, state, topic, topic.spec.retain_bytes, budget)
        for _ in range(TOPICS_A_COMMIT):
            if budget <= 0 or not self.due(now):
                return
            at, name = heapq.heappop(self._queue)
            if self._due.get(name) == at:
                budget -= self._look(db, state, self._catalog.topics[name], now, budget)

    def _look(self, db: apsw.Connection, state: LogState, topic: TopicEntry, now: int, budget: int) -> int:
        removed, again = 0, now + LOOK_AGAIN_US
        if topic.spec.retain_us is not None:
            for tp in topic.tps:
                row = partition_row(db, self._catalog, tp)
                gone, oldest = self._cut(db, state, row, now, topic.spec.retain_us, budget - removed)
                removed += gone
                if oldest is not None:
                    again = min(again, oldest + topic.spec.retain_us + 1)
        if topic.spec.retain_bytes is not None:
            removed += self._shrink(db, state, topic, topic.spec.retain_bytes, budget - removed)
        self._schedule(topic.spec.name, again)
        return removed

    def _cut(
        self, db: apsw.Connection, state: LogState, row: PartitionRow, now: int, retain_us: int, budget: int
    ) -> tuple[int, int | None]:
        """Remove batches older than ``retain_us``: how many, and the time of the oldest left."""
        gone: list[Head] = []
        oldest = None
        heads = _heads(db, row, budget + 1)
        for head, time in zip(heads, believable((head[2] for head in heads), now), strict=True):
            if time >= now - retain_us or len(gone) == budget:
                oldest = min(time, now)
                break
            gone.append(head)
        self._remove(db, state, row, gone)
        return len(gone), oldest

    def _shrink(self, db: apsw.Connection, state: LogState, topic: TopicEntry, limit: int, budget: int) -> int:
        """Remove the oldest batches until the topic fits; its newest batch stays, however large."""
        rows = {tp: partition_row(db, self._catalog, tp) for tp in topic.tps}
        excess = sum(row.bytes for row in rows.values()) - limit
        if excess <= 0 or budget <= 0:
            return 0
        heads: list[tuple[int, int, Head]] = []
        for row in rows.values():
            found = _heads(db, row, budget + 1)
            times = accumulate((head[2] for head in found), max)  # a partition goes from its first, whatever the clock
            heads += [(time, head[0], head) for time, head in zip(times, found, strict=True)]
        heads.sort()
        gone: dict[int, list[Head]] = {}
        removed = 0
        for _, _, head in heads[: min(budget, len(heads) - 1)]:
            if excess <= 0:
                break
            gone.setdefault(head[0] >> 40, []).append(head)
            excess -= head[3]
            removed += 1
        for tp, batches in gone.items():
            self._remove(db, state, rows[tp], batches)
        return removed

    @staticmethod
    def _remove(db: apsw.Connection, state: LogState, row: PartitionRow, gone: list[Head]) -> None:
        if not gone:
            return
        last = gone[-1]
        db.execute("DELETE FROM batch WHERE id >= ? AND id <= ?", (gone[0][0], last[0]))
        size = sum(batch[3] for batch in gone)
        first = (last[0] & MASK) + last[1]
        write_partition(db, row._replace(first=first, bytes=row.bytes - size, seq=state.seq + 1))

    def _schedule(self, name: str, at: int) -> None:
        self._due[name] = at
        heapq.heappush(self._queue, (at, name))


def _heads(db: apsw.Connection, row: PartitionRow, limit: int) -> list[Head]:
    """A partition's oldest batches."""
    found: list[Any] = db.execute(_HEADS, (key(row.tp, row.first), key(row.tp, row.next), limit)).fetchall()
    return found
