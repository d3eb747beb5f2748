"""A subscription whose target is a topic of the same app."""

from __future__ import annotations

import pyarrow as pa

from penstock.batch import TopicSpec
from penstock.clock import ManualClock
from penstock.filters.where import parse
from penstock.log.memory import MemoryLog
from penstock.stages.forward import Forward
from penstock.stages.interface import Stage
from penstock.testing import StageContract

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
READINGS, SOME = TopicSpec("readings", NUMBERS, 3), TopicSpec("some", NUMBERS, 2)


class TestForward(StageContract):
    answers_all = False  # those that do not pass make nothing

    def topics(self) -> list[TopicSpec]:
        return [READINGS, SOME]

    def rows(self) -> list[pa.RecordBatch]:
        return [pa.record_batch({"n": range(p, 30, 3)}, schema=NUMBERS) for p in range(3)]

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        return Forward("every-other", READINGS, SOME, "app", parse("n % 2 = 0", NUMBERS))


class TestForwardOfAll(TestForward):
    answers_all = True

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        return Forward("all", READINGS, SOME, "app", None)
