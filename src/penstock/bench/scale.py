"""Does the cost of an event grow with what the log holds, or with the number of topics? On the log itself, fsync on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..batch import TopicSpec, Write
from ..log.embedded import EmbeddedLog
from ..log.interface import Advance

SCHEMA = pa.schema([pa.field("x", pa.int64(), nullable=False)])
BATCH_EVENTS = 100  # events a batch: small, so that many batches are stored
PASSES = 400


def rows(count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(np.arange(count))], schema=SCHEMA)


def fill(log: EmbeddedLog, topic: str, events: int) -> None:
    """Append so many events, in batches of ``BATCH_EVENTS``, 500 batches a transaction."""
    batch, left = rows(BATCH_EVENTS), events // BATCH_EVENTS
    while left > 0:
        log.append([Write(topic, n % 4, batch) for n in range(min(500, left))])
        left -= 500


def cost(log: EmbeddedLog, topics: Sequence[str], group: str) -> float:
    """CPU microseconds of one event appended, read and committed as done, by a group that watches all the topics."""
    reader = log.reader(group, topics, "bench", start="latest")
    while reader.read(1, 0.0):  # membership, and the end of what is there
        pass
    batch, done, spread = rows(BATCH_EVENTS), 0, topics[:: max(1, len(topics) // 16)]
    start = time.process_time()
    for turn in range(PASSES):
        log.append([Write(spread[turn % len(spread)], turn % 4, batch)])
        for found in reader.read(BATCH_EVENTS * 4, 1.0):
            reader.commit([Advance(found.topic, found.partition, found.through)], [])
            done += len(found)
    spent = time.process_time() - start
    reader.close()
    if done != PASSES * BATCH_EVENTS:
        raise RuntimeError(f"read {done} of {PASSES * BATCH_EVENTS} events")
    return spent / done * 1e6


def by_stored_events(most: int, runs: int) -> list[tuple[int, float]]:
    """Cost with 10^5 events stored, and with ``most``; each the median of ``runs``."""
    found = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        log = EmbeddedLog(Path(directory))
        log.create(TopicSpec("t", SCHEMA, partitions=4))
        stored = 0
        for events in (100_000, most):
            fill(log, "t", events - stored)
            stored = events
            found.append((events, median([cost(log, ["t"], f"g{events}-{n}") for n in range(runs)])))
        log.close()
    return found


def by_topics(most: int, runs: int) -> list[tuple[int, float]]:
    """Cost with one topic, and with ``most``, all of them watched by the group."""
    found = []
    for count in (1, most):
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
            log = EmbeddedLog(Path(directory))
            names = [f"t{n}" for n in range(count)]
            for name in names:
                log.create(TopicSpec(name, SCHEMA, partitions=4))
            found.append((count, median([cost(log, names, f"g{n}") for n in range(runs)])))
            log.close()
    return found


def median(values: Sequence[float]) -> float:
    return float(np.median(values))
