"""Rows that a log of records does not hold: what made them is dead-lettered, and all else goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import Batch, TopicSpec, Write
from penstock.errors import RowsTooLarge
from penstock.stages import pump as pump_module
from penstock.stages.failures.dead import LEFT_OUT
from penstock.stages.interface import Failure, Outcome, Output, Work

LIMIT = 10_000
TEXTS = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("text", pa.string(), nullable=False)])


@dataclass
class Growing:
    """Makes two texts of each: the second of ``large`` ones is too long. ``bad`` ones fail by themselves."""

    large: frozenset[int] = frozenset()
    bad: frozenset[int] = frozenset()
    name: str = "grow"
    source: str = "texts"

    def handle(self, work: Work) -> Outcome:
        ns = work.rows.column("n").to_pylist()
        failures = [Failure(row, "ValueError", "bad", "Traceback", 3) for row, n in enumerate(ns) if n in self.bad]
        good = [row for row, n in enumerate(ns) if n not in self.bad]
        sizes = [size for row in good for size in (1, LIMIT * 2 if ns[row] in self.large else 1)]
        parents = np.repeat(good, 2).astype(np.int64)
        return Outcome([Output("grown", texts([ns[row] for row in parents], sizes), parents)], failures)


def texts(ns: Sequence[int], sizes: Sequence[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(ns, pa.int64()), pa.array(["x" * s for s in sizes])], schema=TEXTS)


@pytest.fixture
def limited(new_rig: Any) -> Any:
    rig = new_rig(limit=LIMIT)
    for name in ("texts", "grown"):
        rig.topics[name] = TopicSpec(name, TEXTS, 4)
        rig.log.create(rig.topics[name])
    return rig


def publish(rig: Any, ns: Sequence[int], size: int = 1) -> None:
    for n in ns:
        rig.log.append([Write("texts", n % 4, texts([n], [size]))])


def made(rig: Any) -> list[int]:
    return sorted(row["n"] for row in rig.rows("grown"))


def test_who_makes_a_row_too_large_is_dead_lettered_and_all_others_go_on(limited: Any) -> None:
    publish(limited, range(12))
    pump = limited.pump(Growing(large=frozenset({2, 7}), bad=frozenset({5})))
    pump.step(0.0)
    assert limited.lag(pump) == 0 and pump.status.ready, "it stands still"
    assert made(limited) == sorted([n for n in range(12) if n not in (2, 5, 7)] * 2)  # all that it made, or nothing
    dead = {row["data"]: row for row in limited.rows("penstock.dead")}
    assert {row["error"] for row in dead.values()} == {"TooLarge", "ValueError"} and len(dead) == 3
    assert all("do not fit" in row["reason"] for row in dead.values() if row["error"] == "TooLarge")
    assert limited.measured["dead"] == 3
    positions = [batch.positions for batch in limited.read("grown")]
    assert all((np.diff(each) > 0).all() for each in positions)


def test_order_and_lineage_of_the_others_are_kept(limited: Any) -> None:
    publish(limited, [n * 4 for n in range(30)])
    pump = limited.pump(Growing(large=frozenset({12, 40})))
    pump.step(0.0)
    rows = limited.rows("grown")
    assert [row["n"] for row in rows] == [n * 4 for n in range(30) if n * 4 not in (12, 40) for _ in range(2)]
    assert [row["_ordinal"] for row in rows] == [0, 1] * 28
    parents = {row["_parent"] for row in rows} | {row["_parent"] for row in limited.rows("penstock.dead")}
    assert len(parents) == 30


def test_a_letter_too_large_is_kept_without_its_data(limited: Any) -> None:
    publish(limited, [0, 1])
    publish(limited, [2], LIMIT - 50)  # an event just within the limit, and a letter beyond it
    pump = limited.pump(Growing(bad=frozenset({1, 2})))
    pump.step(0.0)
    assert limited.lag(pump) == 0 and made(limited) == [0, 0]
    small, large = sorted(limited.rows("penstock.dead"), key=lambda row: row["partition"])
    assert small["data"] and LEFT_OUT not in small["reason"]
    assert large["data"] == "" and large["reason"] == f"bad; {LEFT_OUT}" and large["attempts"] == 3
    (position,) = (p for b in limited.read("texts") if b.partition == 2 for p in b.positions)
    assert (large["topic"], large["partition"], large["offset"]) == ("texts", 2, position)


def test_both_at_once(limited: Any) -> None:
    """An event whose output is too large, and then its letter too."""
    publish(limited, range(4))
    publish(limited, [4], LIMIT - 50)
    pump = limited.pump(Growing(large=frozenset({4, 1})))
    pump.step(0.0)
    assert limited.lag(pump) == 0 and made(limited) == [0, 0, 2, 2, 3, 3]
    assert [bool(row["data"]) for row in sorted(limited.rows("penstock.dead"), key=lambda r: r["partition"])] == [
        False,
        True,
    ]


def test_undecodable_bytes_too_large_for_a_letter_are_left_out(limited: Any) -> None:
    publish(limited, [0])
    position = limited.log.plant_undecodable("texts", 0, b"\xff" * LIMIT, "cut short")
    publish(limited, [4])
    pump = limited.pump(Growing())
    pump.step(0.0)
    assert limited.lag(pump) == 0 and made(limited) == [0, 0, 4, 4]
    (dead,) = limited.rows("penstock.dead")
    assert (dead["offset"], dead["data"], dead["reason"]) == (position, "", f"cut short; {LEFT_OUT}")


class Telling(Growing):
    """What it makes is of no event."""

    def handle(self, work: Work) -> Outcome:
        return Outcome([Output("grown", texts([1], [LIMIT * 2]), None)])


def test_a_row_that_no_event_made_is_a_fault_of_ours(limited: Any) -> None:
    publish(limited, range(4))
    pump = limited.pump(Telling())
    assert pump.step(0.0) == 0
    assert limited.lag(pump) == 4 and not pump.status.ready and "do not fit" in pump.status.why


def test_mutant_a_stage_that_tries_the_same_again_is_caught(limited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(_b: Sequence[Batch], _w: Work, _o: Outcome, _writes: Sequence[Write], error: RowsTooLarge) -> None:
        raise error

    monkeypatch.setattr(pump_module, "within_limits", again)
    with pytest.raises(AssertionError, match="it stands still"):
        test_who_makes_a_row_too_large_is_dead_lettered_and_all_others_go_on(limited)
