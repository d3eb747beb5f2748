"""A member that is not ready holds nothing; in time it gets its share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa
import pytest

from penstock.batch import TopicSpec, Write
from penstock.clock import ManualClock
from penstock.errors import LogUnreachable
from penstock.log.interface import Advance, Reader, Seek, Start
from penstock.log.memory import MemoryLog
from penstock.run.compose.lazy_reader import LazyReader, ReaderBeside
from penstock.settings import Settings
from penstock.stages.scoring.loading import at_once

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
    if batches:
        reader.commit([Advance(b.topic, b.partition, b.through) for b in batches], [])
    return {b.partition for b in batches}


def test_it_holds_nothing_before_its_first_read_and_its_share_after(log: MemoryLog) -> None:
    other, late = joins(log, "a"), LazyReader(partial(joins, log, "b"))
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
    late = LazyReader(partial(joins, log, "b"))
    late.close()
    assert {state.owner for state in log.groups()} <= {None}


class Background:
    """What waits to be done in the background, until the test lets it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def go_on(self) -> None:
        while self.waiting:
            self.waiting.pop()()


def owners(log: MemoryLog) -> set[str | None]:
    return {state.owner for state in log.groups()} - {None}


def test_beside_other_work_nobody_waits_for_the_group(log: MemoryLog) -> None:
    background = Background()
    beside = ReaderBeside(partial(joins, log, "b"), background)
    publish(log)
    assert not background.waiting
    assert owned(beside) == owned(beside) == set()
    beside.seek(Seek("numbers", None, "committed"))
    assert len(background.waiting) == 1
    background.go_on()
    assert owned(beside) == {0, 1, 2, 3}
    beside.close()
    assert owners(log) == set()


def test_beside_other_work_one_that_could_not_join_says_why_and_tries_again(log: MemoryLog) -> None:
    answers: list[LogUnreachable | None] = [LogUnreachable("away"), None]

    def join() -> Reader:
        if (error := answers.pop(0)) is not None:
            raise error
        return joins(log, "b")

    beside = ReaderBeside(join, at_once)
    publish(log)
    with pytest.raises(LogUnreachable, match="away"):
        beside.read(100, 0.0)
    assert owned(beside) == {0, 1, 2, 3}


@pytest.mark.parametrize("topic", ["numbers", "absent"])
def test_closed_while_it_joins_it_leaves_as_soon_as_it_has_joined(log: MemoryLog, topic: str) -> None:
    background = Background()
    beside = ReaderBeside(partial(log.reader, "g", [topic], "b"), background)
    assert owned(beside) == set()
    beside.close()
    background.go_on()
    assert owners(log) == set()
