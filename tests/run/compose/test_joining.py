"""A member that is not ready holds nothing; in time it gets its share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pytest

from penstock.batch import TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.interface import Advance, Reader, Start
from penstock.log.memory import MemoryLog
from penstock.run.compose.joining import LateReader
from penstock.settings import Settings

TOPIC = TopicSpec("numbers", pa.schema([pa.field("x", pa.float64())]), partitions=4)


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    log = MemoryLog(ManualClock(), settings=Settings())
    log.create(TOPIC)
    yield log
    log.close()


def joins(log: MemoryLog, member: str, start: Start = "earliest") -> Reader:
    return log.reader("g", ["numbers"], member, start=start)


def publish(log: MemoryLog) -> None:
    log.append([Write("numbers", p, pa.record_batch({"x": [1.0]})) for p in range(4)])


def owned(reader: Reader) -> set[int]:
    """The partitions that one read finds something in."""
    batches = reader.read(100, 0.0)
    reader.commit([Advance(b.topic, b.partition, b.through) for b in batches], [])
    return {b.partition for b in batches}


def test_it_holds_nothing_before_its_first_read_and_its_share_after(log: MemoryLog) -> None:
    other, late = joins(log, "a"), LateReader(partial(joins, log, "b"))
    publish(log)
    assert owned(other) == {0, 1, 2, 3}
    assert owned(late) == set()
    publish(log)
    first, second = owned(other), owned(late)
    assert len(first) == len(second) == 2 and first | second == {0, 1, 2, 3}
    late.close()
    publish(log)
    assert owned(other) == {0, 1, 2, 3}


def test_closed_before_its_first_read_it_never_joined(log: MemoryLog) -> None:
    late = LateReader(partial(joins, log, "b"))
    late.close()
    assert {state.owner for state in log.groups()} <= {None}
