"""Reading what is there of a topic that is written faster than it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from penstock.batch import Batch, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.gateway import drain
from penstock.gateway.drain import drained
from penstock.log.interface import Reader
from penstock.log.memory import MemoryLog

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False)])


class Busy:
    """A log of whose topic each look finds ten more events in every partition, and its reader."""

    def __init__(self) -> None:
        self.log = MemoryLog(clock=ManualClock())
        self.log.create(TopicSpec("t", SCHEMA, 2))
        self.write(100)
        self.reader: Reader = self.log.reader(None, ["t"], "look")
        self.looks = 0

    def write(self, count: int) -> None:
        rows = pa.record_batch([pa.array(range(count), pa.int64())], schema=SCHEMA)
        self.log.append([Write("t", partition, rows) for partition in range(2)])

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        self.looks += 1
        assert self.looks < 1_000, "it runs after what comes meanwhile"
        self.write(10)
        return self.reader.read(max_events, wait)


@pytest.fixture
def busy() -> Iterator[Busy]:
    busy = Busy()
    yield busy
    busy.log.close()


def positions(found: Sequence[Batch]) -> dict[int, list[int]]:
    return {p: [int(at) for b in found if b.partition == p for at in b.positions] for p in (0, 1)}


def all_of(busy: Any, **limits: int) -> list[Batch]:
    return [b for batches in drained(busy, busy.log.ends("t"), 0.0, **limits) for b in batches]


@pytest.mark.parametrize("at_once", [1, 7, 64, 1_000])
def test_all_that_was_there_and_an_end(busy: Busy, at_once: int) -> None:
    for found in positions(all_of(busy, at_once=at_once)).values():
        assert found == list(range(len(found))) and len(found) >= 100


def test_no_more_than_the_limit(busy: Busy) -> None:
    assert sum(map(len, all_of(busy, at_once=7, limit=20))) == 20
    assert all_of(busy, at_once=7, limit=0) == []


def test_mutant_without_the_ends_it_does_not_end(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "all", lambda _: False, raising=False)
    with pytest.raises(AssertionError, match="runs after"):
        all_of(busy, at_once=1_000)
