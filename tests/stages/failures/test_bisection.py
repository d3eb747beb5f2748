"""Promise 5: one bad event never blocks the others; one sick dependency never empties a topic into the dead letters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import RunnerDied, TaskFailed
from penstock.runner.interface import Applied, RowFailure
from penstock.stages import pump as pump_module
from penstock.stages.failures import bisection


def dead(rig: Any) -> dict[int, dict[str, Any]]:
    """The dead letters by the value of their event."""
    import json

    return {json.loads(row["data"])["n"]: row for row in rig.rows("penstock.dead")}


def out(rig: Any) -> list[int]:
    return sorted(row["n"] for row in rig.rows("out"))


@pytest.mark.parametrize("tells", [False, True])
def test_ten_poisons_in_ten_thousand(rig: Any, zoo: Any, tells: bool) -> None:
    bad = {"raises": {17, 1_018, 2_019, 9_999}, "hangs": {3_333, 5_005, 8_000}, "crashes": {4_444, 6_789, 7_001}}
    animals = zoo(rig.clock, tells=tells, seconds=1e-5, **{k: frozenset(v) for k, v in bad.items()})
    rig.publish(range(10_000))
    pump = rig.pump(rig.transform(animals), rows=100)
    while rig.lag(pump):
        before = rig.clock.monotonic()
        pump.step(0.0)
        assert rig.clock.monotonic() - before < 30, "the good events of a batch waited too long"
    every = set().union(*bad.values())
    assert set(dead(rig)) == every
    assert out(rig) == [n for n in range(10_000) if n not in every]


@pytest.mark.parametrize("tells", [False, True])
@pytest.mark.parametrize("kind", ["hangs", "crashes", "raises"])
def test_a_poison_in_the_first_batch_ever_is_isolated_within_30_s(rig: Any, zoo: Any, kind: str, tells: bool) -> None:
    rig.publish(list(range(100)), 0)
    pump = rig.pump(rig.transform(zoo(rig.clock, tells=tells, **{kind: frozenset({42})})))
    assert pump.step(0.0) == 100
    assert rig.clock.monotonic() < 25, "it takes too long"
    assert set(dead(rig)) == {42}
    assert out(rig) == [n for n in range(100) if n != 42]


def test_the_reason_says_what_happened(rig: Any, zoo: Any) -> None:
    rig.publish(list(range(20)), 1)
    rig.pump(rig.transform(zoo(rig.clock, raises=frozenset({7})), attempts=3)).step(0.0)
    row = dead(rig)[7]
    assert (row["error"], row["reason"], row["attempts"]) == ("ValueError", "7 is bad", 3)
    assert row["traceback"].startswith("Traceback")
    assert (row["topic"], row["partition"], row["stage"], row["_parent"]) == ("in", 1, "copy", row["offset"])
    assert row["id"] == f"in/1/{row['offset']}"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bad=st.sets(st.integers(0, 39), max_size=8),
    hangs=st.sets(st.integers(0, 39), max_size=3),
    tells=st.booleans(),
    rows=st.sampled_from([3, 10, 40]),
)
def test_the_good_ones_come_out_once_and_the_bad_ones_are_told(
    new_rig: Any, zoo: Any, bad: set[int], hangs: set[int], tells: bool, rows: int
) -> None:
    rig = new_rig()
    rig.publish(list(range(40)), 0)
    pump = rig.pump(rig.transform(zoo(rig.clock, raises=frozenset(bad), hangs=frozenset(hangs), tells=tells)), rows)
    rig.drain(pump, 12 * 3_600)
    assert set(dead(rig)) == bad | hangs
    assert out(rig) == [n for n in range(40) if n not in bad | hangs]


def test_good_parts_are_not_computed_again(rig: Any, zoo: Any) -> None:
    handled: list[int] = []
    animals = zoo(rig.clock, raises=frozenset({50}))

    def script(rows: Any, timeout: float) -> Applied:
        applied: Applied = animals(rows, timeout)
        handled.extend(rows.column("n").to_pylist())
        return applied

    rig.publish(list(range(100)), 0)
    rig.pump(rig.transform(script)).step(0.0)
    assert sorted(handled) == [n for n in range(100) if n != 50]


@pytest.mark.parametrize("tells", [False, True])
@pytest.mark.parametrize("kind", ["hangs", "crashes", "raises"])
def test_a_stage_that_takes_one_row_at_a_time_finds_its_poison_too(rig: Any, zoo: Any, kind: str, tells: bool) -> None:
    """Of a slow function the budget takes single rows; the second try takes some more, and has its evidence."""
    rig.publish(range(40))
    pump = rig.pump(rig.transform(zoo(rig.clock, tells=tells, **{kind: frozenset({4, 17})})), rows=1)
    rig.drain(pump, 120)
    assert set(dead(rig)) == {4, 17}, "it is not found in two minutes"
    assert out(rig) == [n for n in range(40) if n not in (4, 17)]


def test_without_witnesses_it_would_wait_for_ten_minutes(rig: Any, zoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "WITNESSES_ROWS", 1)
    with pytest.raises(AssertionError, match="not found in two minutes"):
        test_a_stage_that_takes_one_row_at_a_time_finds_its_poison_too(rig, zoo, "raises", False)


def test_isolation_takes_few_calls(rig: Any, zoo: Any) -> None:
    stage = rig.transform(zoo(rig.clock, raises=frozenset({500})), attempts=1)
    rig.publish(list(range(1_000)), 0)
    rig.pump(stage).step(0.0)
    assert len(stage._runner.calls) <= 24  # the whole, a probe, and two for each of ten halvings


# -- the dependency -----------------------------------------------------------


def test_a_dependency_away_for_long_costs_no_event(rig: Any, zoo: Any) -> None:
    animals = zoo(rig.clock, away=True)
    rig.publish(range(100))
    pump = rig.pump(rig.transform(animals))
    while rig.clock.monotonic() < 3 * 3_600:
        pump.step(30.0)
    assert not pump.status.ready
    assert "away" in pump.status.why
    assert rig.lag(pump) == 100
    animals.away = False
    rig.drain(pump, 60)
    assert out(rig) == list(range(100))
    assert dead(rig) == {}


def test_time_spent_unavailable_does_not_count_against_a_row(rig: Any, zoo: Any) -> None:
    animals = zoo(rig.clock, away=True)
    rig.publish([1], 0)
    pump = rig.pump(rig.transform(animals))
    while rig.clock.monotonic() < 3_600:
        pump.step(30.0)
    animals.away, animals.raises = False, frozenset({1})
    while rig.clock.monotonic() < 3_600 + 300:
        pump.step(30.0)
    assert dead(rig) == {}


def test_all_fail_alike_is_sickness(rig: Any, zoo: Any) -> None:
    rig.publish(range(100))
    pump = rig.pump(rig.transform(zoo(rig.clock, raises=frozenset(range(100)))))
    for _ in range(15):
        pump.step(30.0)
    assert rig.clock.monotonic() < 540
    assert dead(rig) == {}, "events are given up for a sickness"
    assert not pump.status.ready
    assert rig.lag(pump) == 100


@pytest.mark.parametrize("kind", ["hangs", "crashes", "raises"])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_failure_without_end_is_unblocked_within_ten_minutes(rig: Any, zoo: Any, kind: str, count: int) -> None:
    rig.publish(list(range(count)), 0)
    pump = rig.pump(rig.transform(zoo(rig.clock, **{kind: frozenset(range(count))})))
    while not dead(rig):
        assert rig.clock.monotonic() < 600
        pump.step(30.0)
    assert 400 < rig.clock.monotonic() < 600
    assert set(dead(rig)) == {0}, "the head alone, the others have their own time"


def test_a_dependency_lost_in_the_middle_of_a_batch_is_sickness(rig: Any, copies: Any) -> None:
    """The first half passed; then the database went: none of the second half is bad."""
    up = [True]

    def script(rows: Any, timeout: float) -> Applied:
        count = rows.num_rows
        good = count // 2 if up[0] and count > 1 else 0
        up[0] = False
        applied = copies(rows.slice(0, good))
        failures = [RowFailure(i, "ConnectionError", "refused", transient=True) for i in range(good, count)]
        return Applied(applied.rows, applied.parents, failures)

    rig.publish(list(range(20)), 0)
    pump = rig.pump(rig.transform(script))
    pump.step(0.0)
    assert dead(rig) == {}, "events are given up for a sickness"
    assert not pump.status.ready
    assert out(rig) == []


def test_without_the_witness_that_would_have_cost_the_events(
    rig: Any, copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bisection.Bisection, "_ask_witness", lambda self: None)
    with pytest.raises(AssertionError, match="given up for a sickness"):
        test_a_dependency_lost_in_the_middle_of_a_batch_is_sickness(rig, copies)


# -- time ---------------------------------------------------------------------


def test_slow_rows_are_not_taken_for_hanging_ones(rig: Any, copies: Any) -> None:
    """Three seconds a row under a limit of five: no batch passes, every row does."""

    def script(rows: Any, timeout: float) -> Applied:
        rig.clock.advance(min(3.0 * rows.num_rows, timeout))
        if 3.0 * rows.num_rows > timeout:
            raise RunnerDied(f"no answer within {timeout:g} s")
        return copies(rows)  # type: ignore[no-any-return]

    rig.publish(list(range(8)), 0)
    rig.drain(rig.pump(rig.transform(script)))
    assert out(rig) == list(range(8))
    assert dead(rig) == {}


def test_a_long_declared_limit_is_honoured_before_the_verdict(rig: Any, zoo: Any) -> None:
    limits: list[float] = []
    animals = zoo(rig.clock, hangs=frozenset({3}), seconds=1e-4)

    def script(rows: Any, timeout: float) -> Applied:
        if rows.column("n").to_pylist() == [3]:
            limits.append(timeout)
        return animals(rows, timeout)  # type: ignore[no-any-return]

    rig.publish(list(range(10)), 0)
    rig.pump(rig.transform(script, timeout=120.0)).step(0.0)
    assert limits[-1] == 120.0
    assert set(dead(rig)) == {3}


def test_transient_failures_are_given_time(rig: Any, copies: Any) -> None:
    tries: list[float] = []

    def script(rows: Any, timeout: float) -> Applied:
        if 5 in rows.column("n").to_pylist():
            tries.append(rig.clock.monotonic())
            if len(tries) < 5 or rows.num_rows > 1:
                raise TaskFailed("ConnectionError", "refused", "", transient=True)
        return copies(rows)  # type: ignore[no-any-return]

    rig.publish(list(range(10)), 0)
    rig.drain(rig.pump(rig.transform(script, attempts=8)))
    assert out(rig) == list(range(10))
    assert tries[-1] > tries[0]


def test_refused_rows_are_dead_at_once(rig: Any, copies: Any) -> None:
    def script(rows: Any, timeout: float) -> Applied:
        applied = copies(rows.slice(1))
        return Applied(applied.rows, applied.parents + 1, [RowFailure(0, "Reject", "unknown carrier", rejected=True)])

    rig.publish([1, 2, 3], 0)
    rig.pump(rig.transform(script)).step(0.0)
    assert [(r["reason"], r["attempts"]) for r in dead(rig).values()] == [("unknown carrier", 1)]
    assert out(rig) == [2, 3]


def test_a_batch_refused_whole_is_not_sickness(rig: Any) -> None:
    def script(rows: Any, timeout: float) -> Applied:
        import numpy as np

        failures = [RowFailure(i, "Reject", "no", rejected=True) for i in range(rows.num_rows)]
        return Applied(None, np.zeros(0, np.int64), failures)

    rig.publish([1, 2, 3], 0)
    rig.pump(rig.transform(script)).step(0.0)
    assert set(dead(rig)) == {1, 2, 3}


# -- mutants ------------------------------------------------------------------


def test_a_verdict_without_evidence_would_empty_the_topic(rig: Any, zoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(bisection.Bisection[Any]):
        def run(self, due: Any) -> Any:
            self._passed = True
            return super().run(due)

    monkeypatch.setattr(bisection, "Bisection", Hasty)
    with pytest.raises(AssertionError, match="given up for a sickness"):
        test_all_fail_alike_is_sickness(rig, zoo)


def test_full_limits_for_every_part_would_take_too_long(rig: Any, zoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bisection.CallLimits, "cut", lambda self, rows, of: self.timeout)
    with pytest.raises(AssertionError, match="it takes too long"):
        test_a_poison_in_the_first_batch_ever_is_isolated_within_30_s(rig, zoo, "hangs", False)
