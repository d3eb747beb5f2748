from __future__ import annotations

import pyarrow as pa
import pytest

from penstock.batch import Lineage, TopicSpec, Write
from penstock.log.memory import MemoryLog
from penstock.migrate import parents_first
from penstock.migrate.parents_first import lineage, rounds


@pytest.fixture
def log() -> MemoryLog:
    """Three topics in a circle: a makes b makes c makes a; 40 times round, of 5 events that were published."""
    log = MemoryLog(gap=1)
    names = ["a", "b", "c"]
    for name in names:
        log.create(TopicSpec(name, pa.schema([("n", pa.int64())]), 1))
    (span,) = log.append([Write("a", 0, pa.record_batch({"n": pa.array(range(5))}))])
    for turn in range(120):
        rows = {
            "n": pa.array(range(5)),
            "_parent_partition": pa.array([0] * 5, pa.int32()),
            "_parent": pa.array(span.positions),
        }
        origin = Lineage("s", names[turn % 3], "c")
        (span,) = log.append([Write(names[(turn + 1) % 3], 0, pa.record_batch(rows), origin)])
    return log


@pytest.mark.parametrize("at_once", [1, 3, 7, 8_192])
def test_parents_come_in_an_earlier_round(log: MemoryLog, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(parents_first, "ROWS", at_once)
    seen: set[tuple[str, int]] = set()
    last = dict.fromkeys("abc", -1)
    for found in rounds(log, ["c", "a", "b"]):
        for batch in found.batches:
            _, parents = lineage(batch)
            if batch.origin is not None:
                assert {(batch.origin.topic, p) for p in parents.tolist()} <= seen
            assert batch.positions[0] > last[batch.topic]
            last[batch.topic] = int(batch.positions[-1])
        seen |= {(b.topic, p) for b in found.batches for p in b.positions.tolist()}
    assert len(seen) == 121 * 5


def test_large_events_come_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parents_first, "HELD_BYTES", 10_000)
    log = MemoryLog()
    log.create(TopicSpec("t", pa.schema([("text", pa.string())]), 1))
    log.append([Write("t", 0, pa.record_batch({"text": ["x" * 1_000] * 50}))])
    assert max(len(b) for found in rounds(log, ["t"]) for b in found.batches) <= 10
