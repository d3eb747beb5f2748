from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from penstock.batch import TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.interface import Advance
from penstock.log.memory import MemoryLog
from penstock.plan.plan import FunctionSpec, Plan
from penstock.run.compose.remarks import remarks_on

TOPIC = TopicSpec("t", pa.schema([pa.field("n", pa.int64(), nullable=False)]), 1)
STAGE = FunctionSpec("new", "t", None, "frame", place="app.py:7")
PLAN = Plan("app", "app.py:app", "", (TOPIC,), (STAGE,))


@pytest.fixture
def log() -> MemoryLog:
    """On which the stage ``old`` has read the topic."""
    made = MemoryLog(ManualClock())
    made.create(TOPIC)
    (span,) = made.append([Write("t", 0, pa.record_batch({"n": [1, 2]}))])
    reader = made.reader("old", ["t"], "m")
    reader.read(10, 0.0)
    reader.commit([Advance("t", 0, span.last)], [])
    return made


def test_a_renamed_stage_is_told_what_to_write(log: MemoryLog) -> None:
    (remark,) = remarks_on(PLAN, log)
    assert remark.place == "app.py:7"
    assert remark.mend == "if new is it under a new name, write name='old': else it starts at the earliest"


@pytest.mark.parametrize(
    "functions",
    [
        (replace(STAGE, name="old"),),  # as it was
        (replace(STAGE, source="other"),),  # reads something else
        (),
    ],
)
def test_nothing_is_told_where_nothing_would_be_read_again(log: MemoryLog, functions: tuple[FunctionSpec, ...]) -> None:
    assert remarks_on(replace(PLAN, stages=functions), log) == ()


def test_a_group_that_has_read_nothing_has_nothing_to_lose(log: MemoryLog) -> None:
    empty = MemoryLog(ManualClock())
    empty.create(TOPIC)
    empty.reader("old", ["t"], "m").read(10, 0.0)
    assert remarks_on(PLAN, empty) == ()


def test_once_it_has_a_position_nothing_more_is_told(log: MemoryLog) -> None:
    reader = log.reader("new", ["t"], "m")
    batches = reader.read(10, 0.0)
    reader.commit([Advance("t", 0, batches[0].through)], [])
    assert remarks_on(PLAN, log) == ()
