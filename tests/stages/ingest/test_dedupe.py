"""The window of a topic without repeats, read back from a log that is damaged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import apsw
import pyarrow as pa
import pytest

from penstock.batch import TopicSpec
from penstock.clock import ManualClock, SystemClock
from penstock.errors import Corrupt
from penstock.log.embedded import EmbeddedLog
from penstock.log.steady import SteadyTime
from penstock.settings import Settings
from penstock.stages.ingest import dedupe
from penstock.stages.ingest.group_commit import Ingest

SCHEMA = pa.schema([pa.field("k", pa.string(), nullable=False)])
ONCE = TopicSpec("once", SCHEMA, partitions=2, key="k", dedupe_us=600_000_000)
HERE, THERE = "a", "d"  # keys of partitions 0 and 1


async def store(ingest: Ingest, key: str, names: Sequence[str]) -> list[tuple[int, int]]:
    rows = ingest.topics["once"].decoder.decode(b"[" + b",".join([b'{"k": "%b"}' % key.encode()] * len(names)) + b"]")
    receipt = await ingest.store("once", rows, {"_id": list(names), "_source": ["/s"] * len(names)})
    return list(zip(receipt.partitions.tolist(), receipt.positions.tolist(), strict=True))


def opened(log: EmbeddedLog) -> Ingest:
    return Ingest(log, [ONCE], Settings(), SystemClock(), lambda: None)


async def a_damaged_partition_costs_no_other(directory: Path) -> None:
    log = EmbeddedLog(directory)
    log.create(ONCE)
    ingest = opened(log)
    damaged, whole = await store(ingest, HERE, ["1"]), await store(ingest, THERE, ["2", "3"])
    assert damaged[0][0] != whole[0][0]
    await ingest.close()
    log.close()
    db = apsw.Connection(str(directory / "log.db"))
    db.execute("UPDATE batch SET payload = zeroblob(length(payload)) WHERE count = 1")
    db.close()
    log = EmbeddedLog(directory)
    try:
        ingest = opened(log)
        assert await store(ingest, THERE, ["2", "3"]) == whole
        await ingest.close()
    finally:
        log.close()


def test_a_damaged_partition_keeps_no_door_shut(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(a_damaged_partition_costs_no_other(tmp_path), 30))


def test_the_mutant_that_stops_at_damage_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object) -> None:
        raise

    monkeypatch.setattr(dedupe, "_pass_over", stops)
    with pytest.raises(Corrupt, match="damaged"):
        asyncio.run(asyncio.wait_for(a_damaged_partition_costs_no_other(tmp_path), 30))


def test_a_window_remembers_no_more_than_its_limit_and_says_so() -> None:
    window = dedupe.DedupeWindow(600_000_000, most=80)
    for n in range(79):
        window.remember((None, None, str(n)), (0, n), 1)
    assert (window.short, window.find((None, None, "0"))) == (False, (0, 0))
    for n in range(79, 1_000):
        window.remember((None, None, str(n)), (0, n), 1)
        assert len(window) <= 80
    assert (window.short, window.find((None, None, "0"))) == (True, None)
    assert all(window.find((None, None, str(n))) == (0, n) for n in range(940, 1_000))


async def a_repeat_beside_a_clock_that_is_set(directory: Path) -> None:
    clock = ManualClock()
    log = EmbeddedLog(directory, clock=clock)
    log.create(ONCE)
    try:
        ingest = Ingest(log, [ONCE], Settings(), clock, lambda: None)
        first = await store(ingest, HERE, ["1"])
        clock.jump(1_300)  # beyond the window and its bucket
        assert await store(ingest, HERE, ["1"]) == first, "a repeat came in"
        await ingest.close()
    finally:
        log.close()


def test_a_clock_that_is_set_lets_no_repeat_in(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(a_repeat_beside_a_clock_that_is_set(tmp_path), 30))


def test_mutant_that_forgets_by_the_wall_clock_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SteadyTime, "expiry", lambda self: self._clock.now())
    with pytest.raises(AssertionError, match="a repeat came in"):
        test_a_clock_that_is_set_lets_no_repeat_in(tmp_path)
