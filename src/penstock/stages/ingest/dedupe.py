"""Which events a topic has seen lately, by source and id, so that a repeat is acknowledged and not stored again.

Opt-in by ``TopicSpec.dedupe_us``. What was seen lives in memory, in a few buckets by time: forgetting is dropping a
whole bucket; at start it is read back from the log. An index on disk over all ids would cost 22 µs an event.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from datetime import UTC, datetime
from itertools import repeat

import pyarrow as pa

from ...batch import Batch, column
from ...errors import Corrupt
from ...log.interface import Log, Reader, Seek
from ...telemetry import logger

EventIdentity = tuple[str | None, str | None, str]  # domain topic, source and id; a null source is the topic's own
Place = tuple[int, int]  # partition and position

BUCKETS = 8  # an identity is remembered for the window and at most an eighth more
READ_ROWS = 10_000
MOST = 1_000_000  # identities that a topic remembers, at about 390 bytes each

_log = logger(__name__)


class DedupeWindow:
    """``short``: identities were forgotten before their time, since there were more than ``most``."""

    def __init__(self, window_us: int, most: int = MOST) -> None:
        self.short = False
        self._width, self._most, self._full = max(1, window_us // BUCKETS), most, max(1, most // BUCKETS)
        self._buckets: deque[tuple[int, dict[EventIdentity, Place]]] = deque()  # newest first

    def find(self, identity: EventIdentity) -> Place | None:
        for _, bucket in self._buckets:
            if (place := bucket.get(identity)) is not None:
                return place
        return None

    def remember(self, identity: EventIdentity, place: Place, at: int) -> None:
        """``at``: microseconds since the epoch. Time that goes back counts as the newest bucket's."""
        number = at // self._width
        if not self._buckets or self._buckets[0][0] < number or len(self._buckets[0][1]) >= self._full:
            self._make_room()
            self._buckets.appendleft((max(number, self._buckets[0][0] if self._buckets else number), {}))
        self._buckets[0][1].setdefault(identity, place)

    def _make_room(self) -> None:
        while self._buckets and len(self) + self._full > self._most:
            self._buckets.pop()
            self.short = True

    def forget(self, now: int) -> None:
        while self._buckets and self._buckets[-1][0] < now // self._width - BUCKETS:
            self._buckets.pop()

    def __len__(self) -> int:
        return sum(len(bucket) for _, bucket in self._buckets)


def identities(rows: pa.RecordBatch) -> list[EventIdentity | None]:
    """Each row's identity, within its domain topic: no tenant's ids are another's. None for one without an id, which is
    never a repeat."""
    ids: list[str | None] = column(rows, "_id").to_pylist()
    sources: list[str | None] = column(rows, "_source").to_pylist()
    topics: list[str | None] = column(rows, "_topic").to_pylist()
    return [None if i is None else (t, s, i) for t, s, i in zip(topics, sources, ids, strict=True)]


def restore(window: DedupeWindow, log: Log, topic: str, since_us: int) -> None:
    """Read back what the topic got from ``since_us`` on. One pass, at start, before the doors open.

    What lies behind a damaged batch of a partition is not remembered: that is told, and all else goes on.
    """
    with closing(log.reader(None, [topic], "dedupe")) as reader:
        reader.seek(Seek(topic, None, datetime.fromtimestamp(since_us / 1e6, UTC)))
        more = True
        while more:
            try:
                batches = reader.read(READ_ROWS, 0)
            except Corrupt as error:
                _pass_over(reader, error)
                continue
            for batch in batches:
                _restore(window, batch)
            more = bool(batches)


def _pass_over(reader: Reader, error: Corrupt) -> None:
    _log.error(f"{error}; repeats of what partition {error.partition} got from there on are stored again")
    reader.seek(Seek(error.topic, error.partition, "pause"))


def _restore(window: DedupeWindow, batch: Batch) -> None:
    places = zip(repeat(batch.partition), batch.positions.tolist())
    for identity, place, at in zip(identities(batch.rows), places, batch.appended.tolist(), strict=True):
        if identity is not None:
            window.remember(identity, place, at)
