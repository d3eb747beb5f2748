"""The first worker has the machine until it is ready, and not for ever."""

from __future__ import annotations

import pytest

from penstock.clock import ManualClock
from penstock.run.supervisor import turn
from penstock.run.supervisor.turn import TURN_S, StartTurn


def begun(clock: ManualClock) -> StartTurn[str]:
    waiting = StartTurn(["worker-2", "worker-3"], clock)
    waiting.begin()
    return waiting


def started_when_the_first_is_ready(clock: ManualClock) -> None:
    waiting = begun(clock)
    clock.advance(TURN_S / 2)
    assert waiting.over(ready=False) == [], "together with the first"
    assert waiting.over(ready=True) == ["worker-2", "worker-3"]
    assert waiting.over(ready=True) == []


def test_the_others_start_when_the_first_is_ready() -> None:
    started_when_the_first_is_ready(ManualClock())


def test_not_for_ever() -> None:
    clock = ManualClock()
    waiting = begun(clock)
    clock.advance(TURN_S)
    assert waiting.over(ready=False) == ["worker-2", "worker-3"]
    assert waiting.over(ready=True) == []


def test_mutant_all_start_together_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "TURN_S", 0.0)
    with pytest.raises(AssertionError, match="together with the first"):
        started_when_the_first_is_ready(ManualClock())
