"""The events of stages that deal with their work in parts, and planted faults of how their members commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pyarrow as pa

from penstock.batch import TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.interface import Advance, Log
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.testing.crashes import Crashed, CrashingMembers, CrashingReader

IN = TopicSpec("in", pa.schema([pa.field("n", pa.int64(), nullable=False)]), 4)
PIECE = 20  # events published at once


class Apart(CrashingReader):
    """A planted fault: positions and outputs are two commits, and the process may die between them."""

    positions_first: bool

    def store(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        if not outputs:
            self.reader.commit(done, outputs)
            return
        self.reader.commit(*((done, []) if self.positions_first else ([], outputs)))
        if self.members.rng.random() < 4 * self.members.odds:
            raise Crashed
        self.reader.commit(*(([], outputs) if self.positions_first else (done, [])))


class PositionsFirst(Apart):
    positions_first = True


class OutputsFirst(Apart):
    positions_first = False


class Lives(CrashingMembers):
    """``count`` numbers published to ``in``, whose stages meet in a topic ``internal``."""

    def __init__(
        self,
        log: Log,
        rng: Random,
        clock: ManualClock,
        internal: TopicSpec,
        stages: Callable[[], Any],
        count: int = 440,
        **more: Any,
    ) -> None:
        topics = {topic.name: topic for topic in (IN, internal, DEAD_TOPIC)}
        for topic in topics.values():
            log.create(topic)
        pieces = [piece(range(first, first + PIECE)) for first in range(0, count, PIECE)]
        super().__init__(log, rng, clock, topics, stages, pieces, **more)
        self.count = count

    def rows(self, topic: str) -> list[dict[str, Any]]:
        reader = self.log.reader(None, [topic], "test")
        found: list[dict[str, Any]] = []
        while batches := reader.read(100_000, 0.0):
            found += [row for batch in batches for row in batch.rows.to_pylist()]
        reader.close()
        return found


def piece(ns: range) -> list[Write]:
    parts = [[n for n in ns if n % IN.partitions == p] for p in range(IN.partitions)]
    rows = [pa.RecordBatch.from_arrays([pa.array(part, pa.int64())], schema=IN.schema) for part in parts]
    return [Write(IN.name, p, part) for p, part in enumerate(rows)]
