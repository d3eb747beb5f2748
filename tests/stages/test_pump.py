"""Exactly once inside the log: outputs and positions together, fences, holds."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any

import pyarrow as pa
import pytest

from penstock.batch import Write
from penstock.errors import Corrupt, DiskFailed, Fenced, LogError, LogRefused, LogUnreachable, LogUnusable, Overtaken
from penstock.log.interface import Advance, Seek
from penstock.notices import notices
from penstock.stages import pump as pump_module
from penstock.stages.commit_size import CommitSize
from penstock.stages.interface import Outcome, Work


class Killed(BaseException):
    """The process died here."""


class Kills:
    """A reader that dies at the nth commit, before or after it was stored."""

    def __init__(self, reader: Any, when: int, after: bool, order: str = "together") -> None:
        self.reader, self.when, self.after, self.order = reader, when, after, order

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        self.when -= 1
        orders: dict[str, list[tuple[Sequence[Advance], Sequence[Write]]]] = {
            "together": [(done, outputs)],
            "positions first": [(done, []), ([], outputs)],
            "outputs first": [([], outputs), (done, [])],
            "no positions": [([], outputs)],
        }
        for i, (positions, rows) in enumerate(orders[self.order]):
            if self.when == 0 and (not self.after or i > 0):
                raise Killed
            self.reader.commit(positions, rows)
        if self.when == 0:
            raise Killed


def scored_with_kills(new_rig: Any, copies: Any, order: str) -> list[int]:
    rig = new_rig()
    rig.publish(range(200))
    for i in range(300):
        pump = rig.pump(rig.transform(lambda rows, _: copies(rows)), rows=7, member=f"m{i}")
        reader = pump._reader
        pump._reader = Kills(reader, 1 + i % 3, after=i % 2 == 0, order=order)
        try:
            for _ in range(60):
                pump.step(0.0)
        except Killed:
            pass
        reader.close()
        if rig.lag(pump) == 0:
            break
    return sorted(row["n"] for row in rig.rows("out"))


def test_every_event_once_whatever_dies(new_rig: Any, copies: Any) -> None:
    assert scored_with_kills(new_rig, copies, "together") == list(range(200))


@pytest.mark.parametrize("mutant", ["positions first", "outputs first"])
def test_the_check_sees_a_commit_that_is_not_one(new_rig: Any, copies: Any, mutant: str) -> None:
    assert scored_with_kills(new_rig, copies, mutant) != list(range(200))


def test_order_of_a_key_is_kept(rig: Any, copies: Any) -> None:
    rig.publish(range(1_000))
    rig.drain(rig.pump(rig.transform(lambda rows, _: copies(rows, 2)), rows=13))
    seen: dict[str, list[int]] = {}
    for row in rig.rows("out"):
        seen.setdefault(row["_key"], []).append(row["n"])
    assert len(seen) == 12
    assert all(values == sorted(values) for values in seen.values())


class Silent:
    name, source = "silent", "in"

    def handle(self, work: Work) -> Outcome:
        return Outcome()


def test_nothing_made_still_advances(rig: Any) -> None:
    rig.publish(range(10))
    pump = rig.pump(Silent())
    assert pump.step(0.0) == 10
    assert rig.lag(pump) == 0


def test_a_fault_of_ours_holds_and_says_so(rig: Any) -> None:
    class Broken(Silent):
        def handle(self, work: Work) -> Outcome:
            raise KeyError("ours")

    rig.publish(range(10))
    pump = rig.pump(Broken())
    for _ in range(40):
        assert pump.step(0.25) == 0
    assert not pump.status.ready
    assert "KeyError" in pump.status.why
    assert rig.lag(pump) == 10
    assert rig.rows("penstock.dead") == []


def test_it_recovers_when_the_stage_does(rig: Any, copies: Any, zoo: Any) -> None:
    animals = zoo(rig.clock, away=True)
    rig.publish(range(10))
    pump = rig.pump(rig.transform(animals))
    pump.step(0.0)
    assert not pump.status.ready
    animals.away = False
    rig.drain(pump, 60)
    assert pump.status.ready
    assert sorted(r["n"] for r in rig.rows("out")) == list(range(10))


def test_a_lost_partition_drops_only_its_own_work(rig: Any, copies: Any) -> None:
    rig.publish(range(40))
    others: list[Any] = []

    def script(rows: pa.RecordBatch, timeout: float) -> Any:
        if not others:
            # Long enough for the group to take the silent member for dead and give half to another.
            rig.clock.advance(rig.settings.member_timeout + 1)
            others.append(rig.pump(rig.transform(lambda r, _: copies(r)), member="b"))
            others[0].step(0.0)
        return copies(rows)

    first = rig.pump(rig.transform(script), member="a")
    for _ in range(10):
        first.step(0.0)
        for other in others:
            other.step(0.0)
    rig.drain(first)
    assert rig.measured.get("fenced", 0) > 0
    assert sorted(r["n"] for r in rig.rows("out")) == list(range(40))


def test_undecodable_rows_are_dead_lettered_and_passed(rig: Any, copies: Any) -> None:
    rig.publish(range(4))
    position = rig.log.plant_undecodable("in", 2, b"\xffjunk", "cut short")
    rig.publish(range(4, 8))
    rig.drain(rig.pump(rig.transform(lambda rows, _: copies(rows))))
    assert sorted(r["n"] for r in rig.rows("out")) == list(range(8))
    (dead,) = rig.rows("penstock.dead")
    assert (dead["topic"], dead["partition"], dead["offset"], dead["_parent"]) == ("in", 2, position, position)
    assert (dead["error"], dead["reason"], dead["data"]) == ("Undecodable", "cut short", b"\xffjunk".hex())


def test_stopping_finishes_the_batch_in_hand_and_leaves(rig: Any, copies: Any) -> None:
    rig.publish(range(8))
    stop = Event()

    def script(rows: pa.RecordBatch, timeout: float) -> Any:
        stop.set()
        return copies(rows)

    pump = rig.pump(rig.transform(script))
    pump.run(stop)
    assert rig.lag(pump) == 0
    assert all(g.owner is None for g in rig.log.groups())


class Failing(Silent):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def handle(self, work: Work) -> Outcome:
        raise self.error


@pytest.mark.parametrize("error", [LogUnusable("damaged"), DiskFailed("fsync failed")])
def test_a_log_that_failed_stops_the_process(rig: Any, error: Exception) -> None:
    rig.publish(range(1))
    pump = rig.pump(Failing(error))
    with pytest.raises(type(error)):
        pump.run(Event())
    assert pump.failed
    assert not pump.status.ready
    assert str(error) in pump.status.why


def test_mutant_that_takes_a_failed_disk_for_a_sick_stage(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "FATAL", (LogUnusable,))
    rig.publish(range(1))
    assert rig.pump(Failing(DiskFailed("fsync failed"))).step(0.0) == 0, "held, and it would try again for ever"


# -- what it says -------------------------------------------------------------


def test_lag_grows_while_the_stage_is_sick(rig: Any, zoo: Any) -> None:
    animals = zoo(rig.clock, away=True)
    rig.publish(range(10))
    pump = rig.pump(rig.transform(animals))
    lags = []
    for _ in range(5):
        pump.step(10.0)
        lags.append(pump.status.lag)
    assert lags == sorted(set(lags))
    assert lags[-1] == pytest.approx(rig.clock.monotonic(), abs=2e-6), "times of appends are whole microseconds"
    animals.away = False
    rig.drain(pump, 60)
    pump.step(0.0)
    assert pump.status.lag == 0


def test_lag_grows_while_a_call_hangs(rig: Any, copies: Any) -> None:
    seen: list[float] = []

    def script(rows: pa.RecordBatch, timeout: float) -> Any:
        rig.clock.advance(3.0)
        seen.append(pump.status.lag)
        return copies(rows)

    rig.publish(range(4))
    pump = rig.pump(rig.transform(script))
    pump.step(0.0)
    assert seen == [3.0]


def test_what_another_member_took_over_is_its_business(rig: Any, copies: Any, zoo: Any) -> None:
    animals = zoo(rig.clock, away=True)
    rig.publish(range(8))
    first = rig.pump(rig.transform(animals), member="a")
    first.step(0.0)
    assert not first.status.ready
    # Silent for so long that the group takes it for dead.
    rig.clock.advance(rig.settings.member_timeout + 1)
    second = rig.pump(rig.transform(lambda rows, _: copies(rows)), member="b")
    rig.drain(second, 60)
    animals.away = False
    for _ in range(10):
        first.step(1.0)
    assert first.status.ready
    assert first.status.lag == 0
    assert sorted(r["n"] for r in rig.rows("out")) == list(range(8))


class Raising:
    """A reader that raises what it is given first, and reads on then."""

    def __init__(self, reader: Any, errors: list[Exception]) -> None:
        self.reader, self.errors = reader, errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def read(self, rows: int, wait: float) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return self.reader.read(rows, wait)


def test_retention_that_overtook_is_measured_and_reading_goes_on(rig: Any, copies: Any) -> None:
    rig.publish(range(8))
    pump = rig.pump(rig.transform(lambda rows, _: copies(rows)))
    missed = Overtaken("in/2: events were removed", topic="in", partition=2, earliest=0)
    pump._reader = Raising(pump._reader, [missed])
    assert pump.step(0.0) == 0
    assert "removed" in pump.status.error
    assert pump.step(0.0) == 8
    assert rig.measured["overtaken"] == 1
    assert pump.status.ready


def test_who_was_overtaken_stands_in_the_notices_and_is_said_once_while_held(
    rig: Any, copies: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pump = rig.pump(rig.transform(lambda rows, _: copies(rows)))
    missed = [Overtaken(f"in/2: events from {n} on", topic="in", partition=2, earliest=8) for n in (0, 0, 0, 3)]
    pump._reader = Raising(pump._reader, list(missed))
    for _ in missed:
        assert pump.step(0.0) == 0
    told = [r.getMessage() for r in caplog.records]
    assert told == [f"retention overtook the stage: in/2: events from {n} on" for n in (0, 3)]
    assert rig.measured["overtaken"] == 2
    (notice,) = [n for n in notices().standing() if "overtook" in n.reason]
    assert notice.stage == pump._stage.name and "retain=" in notice.mend
    assert notice.reason == told[-1]


def test_a_damaged_partition_is_named_and_said_once_to_the_log(
    rig: Any, copies: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig.publish(range(8))
    pump = rig.pump(rig.transform(lambda rows, _: copies(rows)))
    damaged = Corrupt("in/2: batch at 0 is damaged", topic="in", partition=2, position=0)
    pump._reader = Raising(pump._reader, [damaged] * 5)
    for _ in range(5):
        assert pump.step(1.0) == 0
    assert not pump.status.ready
    assert "in/2" in pump.status.why
    assert rig.clock.monotonic() == 4.0, "it does not spin on what it knows"
    assert [r.getMessage() for r in caplog.records].count("partition damaged") == 1


@pytest.mark.parametrize("error", [LogUnreachable("the brokers are away"), LogRefused("no right to read in")])
def test_a_log_that_does_not_answer_is_told_without_a_traceback(
    rig: Any, copies: Any, caplog: pytest.LogCaptureFixture, error: LogError
) -> None:
    """It is tried again for as long as they are away, and no line of code is to blame."""
    rig.publish(range(8))
    pump = rig.pump(rig.transform(lambda rows, _: copies(rows)))
    pump._reader = Raising(pump._reader, [error])
    pump.step(0.0)
    assert not pump.status.ready and str(error) in pump.status.why
    assert caplog.records and not any(record.exc_info for record in caplog.records)
    rig.drain(pump, 60)
    assert pump.status.ready and len(rig.rows("out")) == 8


class Throttled:
    """A reader of a log that stores ``rate`` rows a second, and gives up what takes it ten seconds.

    ``fences``: as Kafka does, when it is not known what became of a transaction; else as it does without transactions.
    """

    def __init__(self, rig: Any, reader: Any, rate: float, fences: bool) -> None:
        self.rig, self.reader, self.rate, self.fences = rig, reader, rate, fences

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def commit(self, done: Any, outputs: Any) -> None:
        seconds = sum(write.rows.num_rows for write in outputs) / self.rate
        self.rig.clock.advance(min(seconds, 10.0))
        if seconds < 10.0:
            self.reader.commit(done, outputs)
            return
        if not self.fences:
            raise LogUnreachable("not acknowledged in time")
        self.reader.seek(Seek("in", None, "committed"))
        raise Fenced([(advance.topic, advance.partition) for advance in done])


def throttled(rig: Any, copies: Any, fences: bool) -> None:
    """4,000 rows, of which fewer than 200 are stored in time."""
    rig.publish(range(4_000))
    pump = rig.pump(rig.transform(lambda rows, _: copies(rows)))
    pump._reader = Throttled(rig, pump._reader, 20.0, fences)
    rig.drain(pump, 600)
    assert sorted(r["n"] for r in rig.rows("out")) == list(range(4_000)), (
        "more than can be stored in time is never stored"
    )


@pytest.mark.parametrize("fences", [True, False])
def test_a_backlog_too_large_for_one_transaction_is_dealt_with(rig: Any, copies: Any, fences: bool) -> None:
    throttled(rig, copies, fences)


@pytest.mark.parametrize("fences", [True, False])
def test_mutant_that_tries_as_many_again(rig: Any, copies: Any, fences: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommitSize, "failed", lambda *_: None)
    with pytest.raises(AssertionError, match="never stored"):
        throttled(rig, copies, fences)


def test_a_partition_that_reads_again_is_well_again(rig: Any, copies: Any) -> None:
    pump = rig.pump(rig.transform(lambda rows, _: copies(rows)))
    pump._reader = Raising(pump._reader, [Corrupt("in/2: damaged", topic="in", partition=2, position=0)])
    pump.step(0.0)
    rig.publish([0, 1], 1)
    pump.step(0.0)
    assert not pump.status.ready, "another partition says nothing of this one"
    rig.publish([2, 3], 2)
    pump.step(0.0)
    assert pump.status.ready
