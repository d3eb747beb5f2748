"""Delays are measured by the monotonic clock, however the wall clock is set meanwhile."""

from __future__ import annotations

import random
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.runner.interface import Applied
from penstock.testing.log_contract import JUMPS


def tries(rig: Any, zoo: Any, jump: float) -> list[float]:
    """When a row that fails was tried, in seconds of real time, with the wall clock set after the first time."""
    random.seed(8)  # the jitter of two runs is the same
    rig.publish([1], 0)
    tried: list[float] = []
    animals = zoo(rig.clock, raises=frozenset({1}))

    def script(rows: Any, timeout: float) -> Applied:
        tried.append(ManualClock.monotonic(rig.clock))
        return animals(rows, timeout)  # type: ignore[no-any-return]

    pump = rig.pump(rig.transform(script))
    pump.step(0.0)
    rig.clock.jump(jump)
    for _ in range(20):
        pump.step(30.0)
    assert not rig.rows("penstock.dead"), "judged early"
    return tried


@pytest.mark.parametrize("jump", JUMPS)
def test_the_wall_clock_may_jump(new_rig: Any, zoo: Any, jump: float) -> None:
    """No row is judged early, and each is tried again exactly when it would have been: no sooner, no later."""
    expected = tries(new_rig(), zoo, 0)
    assert tries(new_rig(), zoo, jump) == expected, "tried sooner or later"
    assert len(expected) > 10 and expected[-1] > 100


class ByTheWall(ManualClock):
    """A mutant: delays are measured by the wall clock."""

    def monotonic(self) -> float:
        return self.now() / 1e6


@pytest.mark.parametrize("jump", JUMPS)
def test_delays_by_the_wall_clock_would_jump_with_it(new_rig: Any, zoo: Any, jump: float) -> None:
    def rig() -> Any:
        return new_rig(ByTheWall())

    test_the_wall_clock_may_jump(rig, zoo, 0)
    with pytest.raises(AssertionError, match=r"judged early|tried sooner or later"):
        test_the_wall_clock_may_jump(rig, zoo, jump)
