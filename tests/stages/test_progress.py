"""What a stage may say of its work, and what the pump makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.stages.ladder import RETRY, RUNGS_S, Deliver, Ladder, Outside, Sender

from penstock.batch import Write
from penstock.errors import Fenced, OutcomeInvalid
from penstock.log.interface import Advance, Seek
from penstock.stages.failures.poison_policy import Sick
from penstock.stages.interface import Failure, Outcome, Output, Work
from penstock.stages.progress import check_whole
from penstock.stages.pump import Pump

OUT = pa.schema([pa.field("n", pa.int64(), nullable=False), ("copy", pa.int64())])


class Saying:
    """A stage that says what ``says`` answers."""

    name, source = "parts", "in"

    def __init__(self, says: Callable[[Work], Outcome]) -> None:
        self.says = says
        self.works: list[list[int]] = []

    def handle(self, work: Work) -> Outcome:
        self.works.append(work.rows.column("n").to_pylist())
        return self.says(work)


class Keeping(Saying):
    """One that may keep rows."""

    def __init__(self, says: Callable[[Work], Outcome]) -> None:
        super().__init__(says)
        self.told: list[tuple[str, int, int | None]] = []

    def assigned(self, partition: int, through: int | None) -> None:
        self.told.append(("assigned", partition, through))

    def revoked(self, partition: int) -> None:
        self.told.append(("revoked", partition, None))


def made(ns: list[int], parents: list[int] | None) -> Output:
    rows = pa.RecordBatch.from_arrays([pa.array(ns, pa.int64()), pa.nulls(len(ns), pa.int64())], schema=OUT)
    return Output("out", rows, None if parents is None else np.array(parents, np.int64))


def everything(work: Work) -> Outcome:
    ns = work.rows.column("n").to_pylist()
    return Outcome([made(ns, list(range(len(ns))))])


# -- what cannot be -----------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (Outcome(done={0: 99}), "partition 0 is said to be done through 99, and was given through 3"),
        (Outcome(done={0: 3, 2: 0}), "partition 2 is said to be done through 0, and nothing of it was given"),
        (Outcome(done={0: -5}, again={0: 1.0}), "is said to be done through -5, and was through None before"),
        (Outcome(done={0: 3}, again={2: 1.0}), "partition 2 is to be read again, and nothing of it was given"),
        (Outcome(done={0: 1}, again={0: math.nan}), "again=nan is no number of seconds"),
        (Outcome(done={0: 1}, again={0: -1.0}), "again=-1.0 is no number of seconds"),
        (Outcome(wake=math.inf), "wake=inf is no number of seconds"),
        (Outcome([made([8], [2])], done={0: 1}, again={0: 1.0}), "something made of 2, which is not done"),
        (Outcome(failures=[Failure(3, "E", "", "", 1)], done={}, again={0: 1.0}), "made of 3, which is not done"),
        (Outcome(done={0: 1}), "partition 0 has rows that are neither done nor again, in a stage that keeps none"),
    ],
)
def test_what_cannot_be_holds_the_positions_and_is_told(rig: Any, outcome: Outcome, why: str) -> None:
    rig.publish([0, 4, 8, 12], 0)
    stage = Saying(lambda _: outcome)
    pump = rig.pump(stage)
    for _ in range(10):
        assert pump.step(0.25) == 0
    assert not pump.status.ready and why in pump.status.why
    assert "OutcomeInvalid" in pump.status.why
    assert rig.lag(pump) == 4 and rig.rows("out") == rig.rows("penstock.dead") == []
    stage.says = everything
    rig.drain(pump, 60)
    assert pump.status.ready and [row["n"] for row in rig.rows("out")] == [0, 4, 8, 12]


def test_a_stage_that_goes_back_is_held_and_loses_nothing(rig: Any) -> None:
    rig.publish([0, 4, 8, 12], 0)
    stage = Keeping(lambda _: Outcome(done={0: 1}))
    pump = rig.pump(stage)
    assert pump.step(0.0) == 4
    rig.publish([16], 0)
    stage.says = lambda _: Outcome(done={0: 0})
    pump.step(0.0)
    assert "partition 0 is said to be done through 0, and was through 1 before" in pump.status.why
    stage.says = everything
    rig.drain(pump, 60)
    assert [row["n"] for row in rig.rows("out")] == [8, 12, 16]
    assert ("assigned", 0, 1) in stage.told


def test_what_was_put_back_is_done_at_once() -> None:
    rows = pa.record_batch({"n": pa.array([1, 2], pa.int64())})
    work = Work("in", rows, np.array([0, 1], np.int32), np.array([5, 6]), np.array([0, 0]), again=True)
    check_whole("parts", work, Outcome())
    check_whole("parts", work, Outcome(done={0: 5, 1: 6}))
    for part in (Outcome(done={0: 5}), Outcome(done={0: 5, 1: 6}, again={0: 1.0})):
        with pytest.raises(OutcomeInvalid, match="all have to be done at once"):
            check_whole("parts", work, part)


# -- by time ------------------------------------------------------------------


def test_a_ladder_waits_for_its_time(rig: Any) -> None:
    rig.log.create(RETRY)
    rig.topics[RETRY.name] = RETRY
    rig.publish([1, 2, 3], 0)
    outside = Outside(lambda _: True)
    pumps = [rig.pump(stage(Sender(outside), rig.clock)) for stage in (Deliver, Ladder)]
    times = []
    for _ in range(130):
        before = sum(outside.tries.values())
        for pump in pumps:
            pump.step(0.0)
        if sum(outside.tries.values()) > before:
            times.append(rig.clock.monotonic())
        rig.clock.advance(1.0)
    assert times == [0.0, RUNGS_S[0], sum(RUNGS_S[:2]), sum(RUNGS_S)]
    assert len(rig.rows("penstock.dead")) == 3 and set(outside.tries.values()) == {4}


def test_rows_that_come_again_are_counted_once(rig: Any) -> None:
    rig.publish([0, 4, 8], 0)
    stage = Saying(lambda _: Outcome(done={0: 0}, again={0: 5.0}))
    pump = rig.pump(stage)
    assert [pump.step(0.0) for _ in range(3)] == [1, 0, 0], "paused until then"
    stage.says = everything
    rig.clock.advance(5.0)
    assert pump.step(0.0) == 2
    assert stage.works == [[0, 4, 8], [4, 8]]
    assert rig.measured["events"] == 3


def test_what_waits_for_its_time_waits_on_while_the_stage_is_sick(rig: Any) -> None:
    rig.publish([0, 4], 0)
    stage = Saying(lambda _: Outcome(done={0: 0}, again={0: 60.0}))
    pump = rig.pump(stage)
    pump.step(0.0)

    def sick(_: Work) -> Outcome:
        raise Sick("away")

    stage.says = sick
    rig.publish([1], 1)
    for _ in range(5):
        pump.step(10.0)
    assert stage.works[1:] and all(work == [1] for work in stage.works[1:])


def test_a_stage_is_called_by_time_and_no_more_than_it_asked(rig: Any) -> None:
    rig.publish([0], 0)
    stage = Saying(lambda work: Outcome(wake=5.0 if len(work) else None))
    pump = rig.pump(stage)
    for _ in range(20):
        pump.step(0.0)
        rig.clock.advance(1.0)
    assert stage.works == [[0], []]
    assert rig.lag(pump) == 0


def test_a_sick_stage_is_called_again_by_what_it_said_before(rig: Any) -> None:
    rig.publish([0], 0)
    stage = Saying(lambda _: Outcome(wake=5.0))
    pump = rig.pump(stage)
    pump.step(0.0)

    def sick(_: Work) -> Outcome:
        raise Sick("away")

    stage.says = sick
    rig.clock.advance(5.0)
    pump.step(0.0)
    assert not pump.status.ready and pump.status.why == "away"
    stage.says = lambda _: Outcome([made([7], None)])
    pump.step(60.0)
    assert pump.status.ready and [row["n"] for row in rig.rows("out")] == [7]


# -- what is kept -------------------------------------------------------------


def test_who_keeps_something_is_told_what_comes_and_called_at_once(rig: Any) -> None:
    stage = Keeping(lambda _: Outcome(done={}))
    pump = rig.pump(stage)
    pump.step(0.0)
    assert sorted(stage.told) == [("assigned", p, None) for p in range(4)]
    assert stage.works == [[]], "so that it can ask to be called by time"
    other = rig.pump(Keeping(lambda _: Outcome(done={})), member="b")
    for _ in range(4):
        pump.step(0.0)
        other.step(0.0)
    assert len(stage.told) == 6 and {what for what, _, _ in stage.told[4:]} == {"revoked"}


def test_kept_rows_come_again_after_the_stage_was_sick(rig: Any) -> None:
    rig.publish([0, 4], 0)
    stage = Keeping(lambda _: Outcome(done={0: 0}))
    pump = rig.pump(stage)
    pump.step(0.0)

    def sick(_: Work) -> Outcome:
        raise Sick("away")

    stage.says, stage.told = sick, []
    rig.publish([1], 1)
    pump.step(0.0)
    stage.says = everything
    rig.drain(pump, 60)
    assert sorted(stage.told[:4]) == [("revoked", p, None) for p in range(4)]
    assert ("assigned", 0, 0) in stage.told[4:]
    assert sorted(row["n"] for row in rig.rows("out")) == [1, 4]


def test_what_cannot_be_decoded_waits_for_the_position_to_pass_it(rig: Any) -> None:
    rig.publish([0], 0)
    at = rig.log.plant_undecodable("in", 0, b"\xff", "cut short")
    rig.publish([4], 0)
    last = rig.log.plant_undecodable("in", 0, b"\xff", "cut short")
    stage = Keeping(lambda _: Outcome(done={}))
    pump = rig.pump(stage)
    pump.step(0.0)
    assert rig.rows("penstock.dead") == []
    rig.publish([1], 1)
    stage.says = lambda work: Outcome(done={0: at, 1: int(work.positions[-1])})
    pump.step(0.0)
    assert [row["offset"] for row in rig.rows("penstock.dead")] == [at]
    rig.publish([5], 1)
    stage.says = lambda work: Outcome(done={0: last - 4, 1: int(work.positions[-1])})
    pump.step(0.0)
    assert [row["offset"] for row in rig.rows("penstock.dead")] == [at, last]
    assert rig.lag(pump) == 0


def test_rows_that_cannot_be_decoded_do_not_put_off_the_call_by_time(rig: Any) -> None:
    rig.publish([0], 0)
    stage = Keeping(lambda work: Outcome(done={}, wake=5.0))
    pump = rig.pump(stage)
    pump.step(0.0)
    rig.log.plant_undecodable("in", 1, b"\xff", "cut short")
    pump.step(0.0)
    assert stage.works == [[0]] and [row["partition"] for row in rig.rows("penstock.dead")] == [1]
    rig.clock.advance(5.0)
    pump.step(0.0)
    assert stage.works == [[0], []]


class Losing:
    """A reader that has lost partition 0 when it commits first, and gets it back."""

    def __init__(self, reader: Any) -> None:
        self.reader, self.lost = reader, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        if not self.lost:
            self.lost = True
            self.reader.seek(Seek("in", 0, "committed"))
            raise Fenced([("in", 0)])
        self.reader.commit(done, outputs)


def with_a_partition_lost(rig: Any) -> None:
    """A stage makes rows of what it kept of two partitions, and one of them is lost before they are stored."""
    rig.publish([0, 1])
    kept: list[int] = []

    def says(work: Work) -> Outcome:
        kept.extend(work.rows.column("n").to_pylist())
        done = {int(p): int(at) for p, at in zip(work.partitions, work.positions, strict=True)}
        outputs = [made(kept.copy(), None)] if kept else []
        kept.clear()
        return Outcome(outputs, done=done)

    pump = rig.pump(Keeping(says))
    pump._reader = Losing(pump._reader)
    for _ in range(4):
        pump.step(0.0)
    ns = [row["n"] for row in rig.rows("out")]
    assert sorted(ns) == [0, 1], f"stored twice: {ns}"


def test_nothing_of_what_was_kept_is_stored_when_a_partition_of_it_is_lost(rig: Any) -> None:
    with_a_partition_lost(rig)


def test_mutant_that_stores_what_others_make_too_is_found(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "_inseparable", lambda *_: False)
    with pytest.raises(AssertionError, match="stored twice"):
        with_a_partition_lost(rig)


def test_what_a_displaced_member_makes_by_time_is_not_stored(rig: Any) -> None:
    stage = Keeping(lambda _: Outcome(wake=5.0))
    pump = rig.pump(stage)
    pump.step(0.0)
    rig.clock.advance(5.0)
    stage.says = lambda _: Outcome([made([666], None)])
    pump._reader = Losing(pump._reader)
    assert pump.step(0.0) == 0
    assert rig.rows("out") == [] and rig.measured["fenced"] == 1
    stage.says = lambda _: Outcome([made([7], None)])
    pump.step(0.0)
    assert [row["n"] for row in rig.rows("out")] == [7], "told anew what it owns, it is called again"
