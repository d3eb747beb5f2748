"""A stage that holds its events stays a good member of its group: on the embedded log, with real members."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest

from penstock.batch import DEAD, JSON_SCHEMA, TopicSpec, Write
from penstock.clock import SystemClock
from penstock.errors import DiskFailed
from penstock.log.embedded import EmbeddedLog
from penstock.log.sqlite.store.tables import connect, key
from penstock.settings import Settings
from penstock.stages.emit import Emitter
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.stages.failures.poison_policy import Sick
from penstock.stages.interface import Outcome, Output, Work
from penstock.stages.pump import Pump

IN, OUT = TopicSpec("in", JSON_SCHEMA, 4), TopicSpec("out", JSON_SCHEMA, 4)
SILENCE = 1.0  # seconds after which the group takes a silent process for dead


class Copy:
    name, source = "copy", "in"

    def __init__(self, *, away: bool = False) -> None:
        self.away = away

    def handle(self, work: Work) -> Outcome:
        if self.away:
            raise Sick("the database is away", unavailable=True)
        rows = work.rows.select(["json"]).cast(JSON_SCHEMA)
        return Outcome([Output("out", rows, pa.array(range(len(work))).to_numpy())])


class Member:
    """A process: a log of its own in the shared directory, and a pump."""

    def __init__(self, directory: Path, name: str, *, away: bool = False) -> None:
        self.log = EmbeddedLog(directory, settings=Settings(member_timeout=SILENCE))
        for topic in (IN, OUT, DEAD_TOPIC):
            self.log.create(topic)
        self.stage = Copy(away=away)
        topics = {"in": IN, "out": OUT, DEAD: DEAD_TOPIC}
        reader = self.log.reader("copy", ["in"], name)
        self.pump = Pump(self.stage, reader, Emitter("copy", "in", "code", topics), SystemClock(), rows=lambda: 100)

    def owns(self, name: str) -> set[int]:
        return {g.partition for g in self.log.groups() if g.owner == name and g.group == "copy"}

    def publish(self, count: int = 8) -> None:
        for partition in range(4):
            rows = pa.record_batch({"json": [f'{{"n": {n}}}' for n in range(count)]}, schema=JSON_SCHEMA)
            self.log.append([Write("in", partition, rows)])

    def out(self) -> int:
        return sum(state.events for state in self.log.partitions("out"))


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Any]:
    made: list[Member] = []

    def member(name: str, **more: Any) -> Member:
        made.append(Member(tmp_path / "data", name, **more))
        return made[-1]

    yield member
    for one in made:
        one.pump._reader.close()
        one.log.close()


def deep_in_backoff(member: Member) -> None:
    """It failed so often that its next try is half a minute away."""
    member.pump.step(0.0)
    member.pump._backoff._in_a_row = 12
    member.pump._hold(Sick("the database is away", unavailable=True))
    assert member.pump._backoff.left() > 10


def shared(members: Any) -> tuple[Member, Member]:
    first = members("a", away=True)
    first.publish()
    deep_in_backoff(first)
    second = members("b")
    until = time.monotonic() + 3
    while time.monotonic() < until and second.out() < 16:
        first.pump.step(0.05)
        second.pump.step(0.05)
    return first, second


def test_a_neighbour_gets_its_share_of_what_is_held(members: Any) -> None:
    first, second = shared(members)
    assert first.pump._backoff.left() > 5, "and the one that is sick was not hurried"
    assert len(second.owns("b")) == len(second.owns("a")) == 2
    assert second.out() == 16
    first.stage.away = False
    first.pump._backoff.over()
    for _ in range(20):
        first.pump.step(0.05)
        second.pump.step(0.05)
    assert second.out() == 32


def test_mutant_that_only_sleeps_keeps_everything(members: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "_rest", lambda self, seconds: time.sleep(seconds))
    _, second = shared(members)
    assert len(second.owns("b")) == 0


def test_a_member_that_holds_is_not_taken_for_dead(members: Any) -> None:
    first = members("a", away=True)
    first.publish()
    deep_in_backoff(first)
    second = members("b")
    until = time.monotonic() + 2.5 * SILENCE
    while time.monotonic() < until:
        first.pump.step(0.1)
        second.pump.step(0.0)
    assert len(second.owns("a")) == 2
    assert second.out() == 16


def test_what_is_held_is_taken_over_from_one_that_leaves(members: Any) -> None:
    first = members("a", away=True)
    first.publish()
    deep_in_backoff(first)
    second = members("b")
    first.pump._reader.close()
    until = time.monotonic() + 3
    while time.monotonic() < until and second.out() < 32:
        second.pump.step(0.05)
    assert second.out() == 32


def test_a_damaged_batch_stops_its_partition_alone(members: Any, tmp_path: Path) -> None:
    first = members("a")
    first.publish()
    first.log.close()
    db = connect(tmp_path / "data" / "log.db")
    db.execute("UPDATE batch SET time = time + 1 WHERE id = ?", (key(_tp(db, "in", 2), 0),))
    db.close()
    again = members("b")
    for _ in range(20):
        again.pump.step(0.05)
    assert again.out() == 24
    assert not again.pump.status.ready
    assert "in/2" in again.pump.status.why


def _tp(db: Any, topic: str, partition: int) -> int:
    query = "SELECT tp FROM partition JOIN topic ON topic.id = topic WHERE name = ? AND number = ?"
    number: int = db.execute(query, (topic, partition)).get
    return number


def test_after_a_failed_write_nothing_is_tried_again(members: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says DiskFailed; the pump ends, and so does its process."""
    import apsw

    first = members("a")
    first.publish()
    writer, tries = first.log._engine.writer, []

    class Db:
        def __init__(self, db: Any) -> None:
            self.db = db

        def __getattr__(self, name: str) -> Any:
            return getattr(self.db, name)

        def execute(self, text: str, *values: Any) -> Any:
            if text == "COMMIT":
                tries.append(text)
                raise apsw.IOError("disk I/O error")
            return self.db.execute(text, *values)

    plain = writer._connection
    monkeypatch.setattr(writer, "_connection", lambda: Db(plain()))
    with pytest.raises(DiskFailed):
        first.pump.run(Event())
    assert first.pump.failed
    assert len(tries) == 1
