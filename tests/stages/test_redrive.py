"""Events put back to the stage that failed: once, to that stage alone, with the ids that they would have had."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import DEAD, Batch, TopicSpec, Write, event_ids
from penstock.errors import Corrupt, Overtaken
from penstock.log.interface import Advance
from penstock.log.topic_schema import concat_evolved
from penstock.notices import notices
from penstock.stages import redrive as redriving
from penstock.stages.emit import Emitter
from penstock.stages.failures.dead import DROPPED, REDRIVEN, dead_letter_rows, event_of, marks
from penstock.stages.failures.ledger import Ledger
from penstock.stages.interface import Failure, Work
from penstock.stages.pump import Pump
from penstock.stages.redrive import Redrive, group_of


def pumped(rig: Any, stage: Any, beside: Any = None, member: str = "a") -> Pump:
    """``beside``: what reads the dead letters."""
    emitter = Emitter(stage.name, stage.source, "code", rig.topics)
    reader = rig.log.reader(stage.name, [stage.source], member)
    beside = beside or rig.log.reader(group_of(stage.name), [DEAD], member)
    redrive = Redrive(stage, beside, emitter, rig.log, rig.clock, measure=rig.measure)
    return Pump(stage, reader, emitter, rig.clock, rows=lambda: 4_096, measure=rig.measure, redrive=redrive)


def ledger(rig: Any) -> Ledger:
    found = Ledger()
    for batch in rig.read(DEAD):
        found.take(batch)
    return found


def mark(rig: Any, mark: str = REDRIVEN) -> int:
    """Ask for every letter that is nothing but dead, as the door does."""
    dead = {(e.partition, e.at) for e in ledger(rig).entries.values() if e.became == "dead"}
    count = 0
    for batch in rig.read(DEAD):
        mine = [i for i, at in enumerate(batch.positions.tolist()) if (batch.partition, at) in dead]
        if mine:
            rig.log.append([Write(DEAD, batch.partition, marks(batch.rows.take(pa.array(mine)), mark))])
            count += len(mine)
    return count


def turn(rig: Any, pump: Pump, seconds: float = 60.0) -> None:
    end = rig.clock.monotonic() + seconds
    while rig.clock.monotonic() < end and any(e.became == "redriven" for e in ledger(rig).entries.values()):
        pump.step(0.0)
        rig.clock.advance(0.25)


def became(rig: Any) -> dict[str, int]:
    found = [entry.became for entry in ledger(rig).entries.values()]
    return {state: found.count(state) for state in set(found)}


@pytest.fixture
def bad(rig: Any, zoo: Any) -> Any:
    """Forty events of which three fail, and the animals that say which do."""
    animals = zoo(rig.clock, raises=frozenset({3, 17, 22}))
    rig.publish(range(40))
    rig.drain(pumped(rig, rig.transform(animals)))
    assert became(rig) == {"dead": 3}
    return animals


def test_what_is_put_back_is_as_though_it_had_never_failed(rig: Any, bad: Any, new_rig: Any, copies: Any) -> None:
    bad.raises = frozenset()
    assert mark(rig) == 3
    turn(rig, pumped(rig, rig.transform(bad), member="b"))
    assert became(rig) == {"done": 3}

    clean = new_rig()
    clean.publish(range(40))
    clean.drain(clean.pump(clean.transform(lambda rows, _: copies(rows))))
    assert ids_of(rig) == ids_of(clean)
    assert sorted(row["n"] for row in rig.rows("out")) == list(range(40))
    assert {r["n"]: r["_key"] for r in rig.rows("out")} == {r["n"]: r["_key"] for r in clean.rows("out")}


def ids_of(rig: Any) -> dict[int, list[str]]:
    return {partition: sorted(str(id) for id in ids) for partition, ids in rig.ids("out").items()}


def test_no_other_stage_sees_it(rig: Any, bad: Any) -> None:
    other = rig.transform(bad)
    other.name = "other"
    pump = pumped(rig, other)
    rig.drain(pump)
    before = len(rig.rows("out"))
    bad.raises = frozenset()
    for entry, batch in ((e, b) for b in rig.read(DEAD) for e in ledger(rig).entries.items()):
        if entry[0].stage == "copy" and entry[1].partition == batch.partition and entry[1].at in batch.positions:
            row = int(np.flatnonzero(batch.positions == entry[1].at)[0])
            rig.log.append([Write(DEAD, batch.partition, marks(batch.rows.slice(row, 1), REDRIVEN))])
    for _ in range(5):
        pump.step(0.0)
    assert len(rig.rows("out")) == before
    turn(rig, pumped(rig, rig.transform(bad)))
    assert len(rig.rows("out")) == before + 3
    assert became(rig) == {"done": 3, "dead": 3}


def test_one_that_fails_again_is_a_letter_of_the_next_round(rig: Any, bad: Any) -> None:
    bad.raises = frozenset({17})
    mark(rig)
    turn(rig, pumped(rig, rig.transform(bad)))
    assert became(rig) == {"done": 2, "dead": 1}
    (left,) = [row for row in rig.rows(DEAD) if row["round"]]
    assert (left["round"], left["error"], left["mark"]) == (1, "ValueError", None)
    assert left["data"].startswith('{"n":17'), left["data"]
    bad.raises = frozenset()
    assert mark(rig) == 1
    turn(rig, pumped(rig, rig.transform(bad)))
    assert became(rig) == {"done": 3}
    assert sorted(row["n"] for row in rig.rows("out")) == list(range(40))


def twice(rig: Any, bad: Any) -> list[int]:
    """Two who ask at once: each saw the letters before the other's marks."""
    bad.raises = frozenset()
    dead = rig.read(DEAD)
    for _ in range(2):
        rig.log.append([Write(DEAD, b.partition, marks(b.rows, REDRIVEN)) for b in dead])
    pump = pumped(rig, rig.transform(bad))
    for _ in range(20):
        pump.step(0.0)
    return sorted(row["n"] for row in rig.rows("out"))


def test_a_letter_put_back_twice_counts_once(rig: Any, bad: Any) -> None:
    assert twice(rig, bad) == list(range(40))
    assert became(rig) == {"done": 3}


def test_the_check_sees_a_stage_that_believes_every_mark(rig: Any, bad: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Redrive, "_that_count", lambda self, batch, rows: rows)
    assert twice(rig, bad) != list(range(40))


def test_a_letter_that_was_dropped_is_not_put_back(rig: Any, bad: Any) -> None:
    bad.raises = frozenset()
    dead = rig.read(DEAD)
    for each in (DROPPED, REDRIVEN):
        rig.log.append([Write(DEAD, b.partition, marks(b.rows, each)) for b in dead])
    pump = pumped(rig, rig.transform(bad))
    for _ in range(20):
        pump.step(0.0)
    assert became(rig) == {"dropped": 3}
    assert len(rig.rows("out")) == 37


def test_while_a_dependency_is_away_they_wait_and_the_source_does_not(rig: Any, bad: Any, copies: Any) -> None:
    away = True

    def script(rows: pa.RecordBatch, timeout: float) -> Any:
        if away and set(rows.column("n").to_pylist()) & {3, 17, 22}:
            return type(bad)(rig.clock, away=True)(rows, timeout)
        return copies(rows)

    pump = pumped(rig, rig.transform(script))
    mark(rig)
    for value in range(100, 140):
        rig.publish([value])
        pump.step(0.0)
        rig.clock.advance(1.0)
    assert sorted(r["n"] for r in rig.rows("out") if r["n"] >= 100) == list(range(100, 140)), "the source waited too"
    assert became(rig) == {"redriven": 3}
    assert any("events put back wait" in notice.reason for notice in notices().standing())
    away = False
    turn(rig, pump)
    assert became(rig) == {"done": 3}
    assert not any("events put back wait" in notice.reason for notice in notices().standing())


def test_what_another_member_owns_by_now_is_its_business(rig: Any, bad: Any) -> None:
    bad.away = True
    pump = pumped(rig, rig.transform(bad))
    mark(rig)
    for _ in range(2):  # the letters, and the marks behind them
        pump.step(0.0)
    assert any("events put back wait" in notice.reason for notice in notices().standing())
    assert pump._redrive is not None
    pump._redrive.close()
    other = rig.log.reader(group_of("copy"), [DEAD], "other")
    assert other.read(100, 0.0), "it has all partitions, and keeps those of which it has rows in hand"
    pump._redrive._reader = rig.log.reader(group_of("copy"), [DEAD], "a")
    rig.clock.advance(1.0)
    pump.step(0.0)
    assert any("events put back wait" in notice.reason for notice in notices().standing())
    rig.clock.advance(redriving.LONGEST_S)
    pump.step(0.0)
    assert not any("events put back wait" in notice.reason for notice in notices().standing())


class Reads:
    """A reader that counts how often it is read, and first raises what it is given."""

    def __init__(self, reader: Any, *errors: Exception) -> None:
        self._reader, self._errors = reader, list(errors)
        self.waits: list[float | None] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, rows: int, wait: float | None) -> Any:
        self.waits.append(wait)
        if self._errors:
            raise self._errors.pop(0)
        return self._reader.read(rows, wait)


def test_a_busy_source_is_left_for_a_look_once_a_second_that_takes_no_time(rig: Any, bad: Any) -> None:
    beside = Reads(rig.log.reader(group_of("copy"), [DEAD], "a"))
    pump = pumped(rig, rig.transform(bad), beside)
    while pump.step(1.0) or pump._redrive.busy:  # type: ignore[union-attr]
        pass
    beside.waits.clear()
    for value in range(100, 110):
        rig.publish([value])
        assert pump.step(1.0) == 1
        rig.clock.advance(redriving.LOOK_S / 4)
    assert beside.waits == [None] * 2  # of ten passes in 2.5 seconds; the first look is due, the letters are read


def test_while_there_is_more_to_put_back_an_idle_source_is_not_waited_for(rig: Any, bad: Any) -> None:
    bad.raises = frozenset()
    mark(rig)
    pump = pumped(rig, rig.transform(bad))
    pump._reader = source = Reads(pump._reader)
    while pump.step(1.0) or pump._redrive.busy:  # type: ignore[union-attr]
        pass
    assert became(rig) == {"done": 3}
    assert source.waits[0] == 1.0 and set(source.waits[1:]) == {None}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Corrupt("penstock.dead/1: damaged", topic=DEAD, partition=1, position=3), "penstock.dead/1: damaged"),
        (Overtaken("penstock.dead/1: gone", topic=DEAD, partition=1, earliest=3), "letters have expired"),
    ],
)
def test_what_cannot_be_read_of_the_letters_is_told_and_the_source_goes_on(
    rig: Any, bad: Any, error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    beside = Reads(rig.log.reader(group_of("copy"), [DEAD], "a"), error)
    pump = pumped(rig, rig.transform(bad), beside)
    rig.publish([100])
    assert pump.step(0.0) == 1
    assert told in caplog.text
    assert pump.status.ready and not pump.status.error
    bad.raises = frozenset()
    mark(rig)
    turn(rig, pump)
    assert became(rig) == {"done": 3}


def test_while_the_history_of_a_letter_cannot_be_read_it_waits(rig: Any, bad: Any, monkeypatch: Any) -> None:
    def damaged(*_: Any) -> Any:
        raise Corrupt("penstock.dead/0: damaged", topic=DEAD, partition=0, position=0)

    bad.raises = frozenset()
    mark(rig)
    pump = pumped(rig, rig.transform(bad))
    with monkeypatch.context() as patched:
        patched.setattr(redriving, "history", damaged)
        for _ in range(4):
            pump.step(0.0)
    rig.clock.advance(redriving.FIRST_S)
    turn(rig, pump)
    assert became(rig) == {"done": 3}


def test_when_none_passes_each_is_judged_before_long_and_the_source_goes_on(rig: Any, bad: Any) -> None:
    pump = pumped(rig, rig.transform(bad))
    mark(rig)
    began = rig.clock.monotonic()
    while became(rig) != {"dead": 3} and rig.clock.monotonic() < began + 60:
        rig.publish([100])
        pump.step(0.0)
        rig.clock.advance(0.25)
    assert became(rig) == {"dead": 3}
    assert redriving.PATIENCE <= rig.clock.monotonic() - began < redriving.PATIENCE + 10
    assert sorted({row["round"] for row in rig.rows(DEAD) if row["mark"] is None} - {None}) == [1]
    assert {row["error"] for row in rig.rows(DEAD) if row["round"] == 1 and row["mark"] is None} == {"ValueError"}
    assert pump.status.ready


def test_a_row_that_no_longer_fits_its_topic_is_a_letter_again(rig: Any, bad: Any) -> None:
    bad.raises = frozenset()
    mark(rig)
    stage = rig.transform(bad)
    pump = pumped(rig, stage)
    assert pump._redrive is not None
    pump._redrive._emitter = Emitter(
        "copy", "in", "code", rig.topics | {"in": TopicSpec("in", pa.schema([("m", pa.int64())]))}
    )
    turn(rig, pump)
    assert {row["error"] for row in rig.rows(DEAD) if row["round"] == 1} == {"CannotRedrive"}


# -- killed at any moment -------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A reader whose process dies: before a commit, after it, and, as a mutant, between its two halves."""

    def __init__(self, reader: Any, chance: random.Random, mutant: str) -> None:
        self._reader, self._chance, self._mutant = reader, chance, mutant

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        die = self._chance.random()
        if die < 0.25:
            raise Killed
        if self._mutant == "outputs first":
            self._reader.commit([], [w for w in outputs if w.topic != DEAD])
            if die < 0.5:
                raise Killed
            self._reader.commit(done, [w for w in outputs if w.topic == DEAD])
        elif self._mutant == "positions first":
            self._reader.commit(done, [])
            if die < 0.5:
                raise Killed
            self._reader.commit([], outputs)
        else:
            self._reader.commit(done, outputs)
            if die < 0.5:
                raise Killed


def put_back_with_kills(new_rig: Any, zoo: Any, mutant: str = "") -> list[int]:
    rig, chance = new_rig(), random.Random(7)
    animals = zoo(rig.clock, raises=frozenset(range(0, 60, 3)))
    rig.publish(range(60))
    rig.drain(pumped(rig, rig.transform(animals)))
    animals.raises = frozenset()
    rig.clock.advance(rig.settings.member_timeout + 1)
    assert mark(rig) == 20
    for life in range(200):
        member = f"life-{life}"
        beside = rig.log.reader(group_of("copy"), [DEAD], member)
        pump = pumped(rig, rig.transform(animals), Mortal(beside, chance, mutant), member)
        try:
            for _ in range(8):
                pump.step(0.0)
        except Killed:
            pass
        pump._reader.close()
        beside.close()
        if became(rig) == {"done": 20}:
            break
    return sorted(row["n"] for row in rig.rows("out"))


def test_every_letter_once_whatever_dies(new_rig: Any, zoo: Any) -> None:
    assert put_back_with_kills(new_rig, zoo) == list(range(60))


@pytest.mark.parametrize(("mutant", "fault"), [("outputs first", "twice"), ("positions first", "lost")])
def test_the_check_sees_halves_of_a_commit(new_rig: Any, zoo: Any, mutant: str, fault: str) -> None:
    found = put_back_with_kills(new_rig, zoo, mutant)
    assert (len(found) > len(set(found))) is (fault == "twice")
    assert (set(found) < set(range(60))) is (fault == "lost")


# -- exactly what it was ----------------------------------------------------------

EXACT = pa.schema(
    [
        pa.field("raw", pa.binary()),
        pa.field("x", pa.float64()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("price", pa.decimal128(38, 9)),
        pa.field("tags", pa.list_(pa.string())),
    ]
)


def test_a_letter_keeps_the_event_exactly() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    rows = pa.RecordBatch.from_pydict(
        {
            "raw": [b"\x00\xff", None],
            "x": [float("nan"), float("inf")],
            "at": [moment, None],
            "price": [Decimal("0.123456789"), None],
            "tags": [["a", "ä"], []],
            "_id": ["one", None],
            "_time": [None, moment],
            "_source": ["/till/7", None],
            "_type": ["sold", None],
            "_subject": ["s", None],
            "_extensions": ['{"traceparent":"00"}', None],
            "_key": ["k", None],
        },
        schema=pa.schema([*EXACT, *((n, t) for n, t in _ENVELOPE.items())]),
    )
    numbers = np.array([5, 9], np.int64)
    work = Work("in", rows, np.array([1, 1], np.int32), numbers, np.array([10, 20], np.int64))
    found = dead_letter_rows("stage", work, [Failure(n, "E", "r", "t", 1) for n in (0, 1)], None).rows
    assert found.column("source").to_pylist() == ["/till/7", None]
    assert found.column("extensions").to_pylist() == ['{"traceparent":"00"}', None]
    kept = concat_evolved(EXACT, [event_of(each) for each in found.column("event").to_pylist()])
    assert str(kept.column("x").to_pylist()) == "[nan, inf]"
    for name in ("raw", "at", "price", "tags", "_source", "_type", "_subject", "_extensions", "_key"):
        assert kept.column(name).equals(rows.column(name)), name
    assert kept.column("_id").to_pylist() == ["one", "in/1/9"]
    assert kept.column("_time").to_pylist() == [datetime(1970, 1, 1, microsecond=10, tzinfo=UTC), moment]


_ENVELOPE = {
    "_id": pa.string(),
    "_time": pa.timestamp("us", tz="UTC"),
    "_source": pa.string(),
    "_type": pa.string(),
    "_subject": pa.string(),
    "_extensions": pa.string(),
    "_key": pa.string(),
}


def test_ids_of_letters_and_marks_are_all_different(rig: Any, bad: Any) -> None:
    bad.raises = frozenset({17})
    mark(rig)
    turn(rig, pumped(rig, rig.transform(bad)))
    ids = [id for batch in rig.read(DEAD) for id in event_ids(batch).to_pylist()]
    assert len(ids) == len(set(ids))


def test_letters_of_before_are_read_beside_new_ones(rig: Any) -> None:
    old = pa.schema([f for f in rig.topics[DEAD].schema if f.name in _OLD])
    values = {"topic": "in", "partition": 0, "offset": 4, "stage": "copy", "error": "E", "reason": "r", "traceback": ""}
    values |= {"attempts": 1, "id": "in/0/4", "key": None, "time": datetime.now(UTC), "data": "{}"}
    rig.log.append([Write(DEAD, 0, pa.RecordBatch.from_pylist([values], schema=old))])
    (batch,) = rig.read(DEAD)
    assert isinstance(batch, Batch)
    assert became(rig) == {"dead": 1}


_OLD = "topic partition offset stage error reason traceback attempts id key time data".split()
