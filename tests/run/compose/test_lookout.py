"""What is told of stages that nobody has, from doors that have no workers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, TopicSpec
from penstock.clock import ManualClock
from penstock.log.memory import MemoryLog
from penstock.notices import notices
from penstock.plan.plan import FunctionSpec, Plan
from penstock.run.compose.bootstrap import open_registry
from penstock.run.compose.lookout import LOOK_S, Lookout

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
TOPICS = (TopicSpec("numbers", NUMBERS, 2), TopicSpec("odd", NUMBERS, 2))
PLAN = Plan(
    app="a", target="", code="c", topics=TOPICS, stages=(FunctionSpec("keep", "numbers", "odd", "frame"),), models=()
)


def looking(*, elsewhere: bool = True) -> tuple[MemoryLog, Lookout]:
    clock = ManualClock()
    log = MemoryLog(clock)
    for spec in (*TOPICS, TopicSpec(SYSTEM, partitions=1)):
        log.create(spec)
    return log, Lookout(log, open_registry(log, clock, "test"), PLAN, clock, elsewhere=elsewhere)


def told() -> list[str]:
    return [notice.stage for notice in notices().standing()]


def test_a_stage_that_nobody_has_is_told_until_somebody_has_it() -> None:
    log, lookout = looking()
    lookout.look()
    assert not told(), "while partitions change hands nobody has them"
    lookout.look()
    (notice,) = notices().standing()
    assert (notice.stage, notice.reason) == ("keep", "no worker has it: its events are kept, and wait")
    assert "penstock run --only workers" in notice.mend
    reader = log.reader("keep", ["numbers"], "worker-1")
    reader.read(1, 0)
    lookout.look()
    assert not told()
    reader.close()
    for _ in range(2):
        lookout.look()
    assert told() == ["keep"]


def test_one_that_has_it_for_a_look_between_is_nothing_to_tell() -> None:
    log, lookout = looking()
    lookout.look()
    reader = log.reader("keep", ["numbers"], "worker-1")
    reader.read(1, 0)
    lookout.look()
    reader.close()
    lookout.look()
    assert not told()


def test_beside_workers_it_is_they_who_say_how_they_are() -> None:
    _, lookout = looking(elsewhere=False)
    for _ in range(3):
        lookout.look()
    assert not told()


def test_mutant_a_lookout_that_looks_at_no_owner_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lookout, "_tell_idle", lambda self, states: None)
    with pytest.raises(ValueError, match="not enough values"):
        test_a_stage_that_nobody_has_is_told_until_somebody_has_it()


class Waits(Event):
    """Notes the waits, and is set after so many."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, list[float | None]()

    def wait(self, timeout: float | None = None) -> bool:
        self.seen.append(timeout)
        return len(self.seen) > self.most


def waits(took_s: Sequence[float], monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """What is waited after each look, where looks take so long."""
    _, lookout = looking()
    clock, looks = lookout._clock, iter(took_s)
    assert isinstance(clock, ManualClock)
    monkeypatch.setattr(lookout, "look", lambda: clock.advance(next(looks)))
    stop = Waits(len(took_s))
    lookout.run(stop)
    return stop.seen[1:]


def test_looks_that_are_dear_are_taken_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits([0.5, 0.5, 0.5], monkeypatch) == pytest.approx([LOOK_S, 50.0, 50.0])


def test_one_that_is_slow_by_itself_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits([0.5, 0.001, 0.5, 0.001], monkeypatch) == [LOOK_S] * 4
