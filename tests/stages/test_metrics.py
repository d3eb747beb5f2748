"""What a stage's passes come to."""

from __future__ import annotations

import pytest

from penstock.stages.metrics import CAPACITY, CONSUMED, DEAD_LETTERS, PRODUCED, SETBACKS, StageMeasure
from penstock.telemetry.metrics import by_stage


def test_a_worker_says_what_it_can_do() -> None:
    stage = "test_a_worker_says_what_it_can_do"  # the metrics are the process's
    measure = StageMeasure(stage, "t", 4_096)
    measure("events", 10)
    measure("pass", 5.0)  # the first one finds nothing warm
    for rows in (10, 100, 1_000, 10, 100, 1_000):
        measure("events", rows)
        measure("pass", 0.001 + rows * 1e-4)
    measure("events", 0)
    measure("pass", 30.0)  # a pass of nothing but rows that could not be read
    assert by_stage(CAPACITY)[stage] == pytest.approx(9_500, rel=0.02)
    assert by_stage(CONSUMED)[stage] == 2_230


def test_what_a_pass_says_is_counted_by_its_name() -> None:
    stage = "test_what_a_pass_says_is_counted_by_its_name"
    measure = StageMeasure(stage, "t", 4_096)
    for name, value in [("made", 3), ("dead", 2), ("sick", 1), ("fenced", 4), ("overtaken", 1)]:
        measure(name, value)
    assert [by_stage(counted)[stage] for counted in (PRODUCED, DEAD_LETTERS, SETBACKS)] == [3, 2, 6]
    assert SETBACKS.labels(stage, "fenced")._value.get() == 4
