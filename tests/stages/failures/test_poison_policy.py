"""How long a row that fails alone is held: the stage's own time, with limits short and long."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.errors import PredictionInvalid
from penstock.models.interface import Signature
from penstock.stages.failures import poison_policy
from penstock.stages.failures.poison_policy import PoisonPolicy


def dead(rig: Any) -> set[int]:
    return {json.loads(row["data"])["n"] for row in rig.rows("penstock.dead")}


def seconds_to_verdict(rig: Any, zoo: Any, kind: str, count: int, partitions: int = 1, **spec: Any) -> float:
    rows = range(count)
    rig.publish(list(rows), None if partitions > 1 else 0)
    pump = rig.pump(rig.transform(zoo(rig.clock, **{kind: frozenset(rows)}), **spec))
    while not dead(rig):
        assert rig.clock.monotonic() < 7_200
        pump.step(30.0)
    return float(rig.clock.monotonic())


@pytest.mark.parametrize("ttl", [20.0, 60.0, 3_600.0])
def test_a_stage_has_its_own_patience(rig: Any, zoo: Any, ttl: float) -> None:
    """Longer than the setting's 600 s as well as shorter."""
    assert 0.7 * ttl < seconds_to_verdict(rig, zoo, "raises", 3, ttl=ttl) < ttl


def test_without_its_own_it_has_the_settings(rig: Any, zoo: Any) -> None:
    assert 0.8 * 600 < seconds_to_verdict(rig, zoo, "raises", 3) < 600


def test_a_scorer_has_its_own_patience_too(rig: Any, tmp_path: Any) -> None:
    from tests.stages.test_score import INPUTS, OUTPUTS, House

    house = House(rig, tmp_path, Signature(INPUTS, OUTPUTS), ttl=30.0)
    house.register()
    rig.publish([13], 0)
    pump = rig.pump(house.stage)
    while not rig.rows("penstock.dead"):
        assert rig.clock.monotonic() < 30
        pump.step(5.0)
    assert rig.clock.monotonic() > 20


@pytest.mark.parametrize("kind", ["hangs", "raises"])
@pytest.mark.parametrize("timeout", [5.0, 30.0, 60.0])
@pytest.mark.parametrize(("count", "partitions"), [(1, 1), (40, 1), (40, 4)])
def test_a_long_limit_does_not_put_the_verdict_off(
    rig: Any, zoo: Any, kind: str, timeout: float, count: int, partitions: int
) -> None:
    assert seconds_to_verdict(rig, zoo, kind, count, partitions, timeout=timeout) < 600, "the verdict is put off"


def test_a_limit_that_ten_minutes_cannot_hold_is_judged_in_the_second_pass(rig: Any, zoo: Any) -> None:
    """400 s a call: the row is given all of its time twice, as the record says."""
    assert seconds_to_verdict(rig, zoo, "hangs", 1, timeout=400.0) < 2.5 * 400


def test_mutant_that_counts_only_from_the_end_of_the_pass(rig: Any, zoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PoisonPolicy.hold

    def late(self: Any, *given: Any) -> Any:
        began, self._began = self._began, self._clock.monotonic()
        try:
            return plain(self, *given)
        finally:
            self._began = began

    monkeypatch.setattr(poison_policy.PoisonPolicy, "hold", late)
    monkeypatch.setattr(
        poison_policy.PoisonPolicy, "_left", lambda self, held: held.since + 540 - self._clock.monotonic()
    )
    with pytest.raises(AssertionError, match="the verdict is put off"):
        test_a_long_limit_does_not_put_the_verdict_off(rig, zoo, "hangs", 60.0, 40, 4)


def test_a_verdict_is_never_of_a_shortened_limit(rig: Any, copies: Any) -> None:
    """Due only once the pass has begun: what failed under the short limits of probing is not held against the row."""
    from penstock.errors import RunnerDied

    limits: dict[int, float] = {}

    def script(rows: Any, timeout: float) -> Any:
        values = rows.column("n").to_pylist()
        rig.clock.advance(timeout)
        if len(values) == 1:
            limits[values[0]] = timeout
        raise RunnerDied(f"no answer within {timeout:g} s")

    rig.publish(list(range(40)), 0)
    pump = rig.pump(rig.transform(script, timeout=20.0, ttl=100.0))
    while not (gone := dead(rig)):
        limits.clear()
        pump.step(30.0)
    assert [limits[n] for n in gone] == [20.0]


def test_a_prediction_of_the_wrong_shape_is_a_fault_of_the_rows() -> None:
    fault = poison_policy.Fault.of(PredictionInvalid("3 rows for 4"), [0])
    assert (fault.error, fault.died, fault.transient) == ("PredictionInvalid", False, False)
