"""A stage driven by the real pump over a log in memory, in whatever batches, and what it made of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import pyarrow as pa

from ..batch import DEAD, TopicSpec, Write
from ..clock import ManualClock
from ..errors import LogUnreachable
from ..log.interface import Advance
from ..log.memory import MemoryLog
from ..stages.emit import Emitter
from ..stages.failures.dead import DEAD_TOPIC
from ..stages.failures.poison_policy import Sick
from ..stages.interface import Keeps, Outcome, Stage, Work
from ..stages.pump import Pump
from .crashes import CrashingMembers

ROUNDS = 1_000
IDLE_S = 5.0  # seconds that pass when nothing is to do

Made = Mapping[tuple[str, int, int | None], Sequence[str]]
"""What was made, in order, by topic, partition and partition of the parents; None: their order says nothing."""


class StageUnderTest(Protocol):
    """What the suite is given; see ``StageContract``."""

    def topics(self) -> Sequence[TopicSpec]: ...

    def rows(self) -> Sequence[pa.RecordBatch]: ...

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage: ...

    def prepare(self, log: MemoryLog, clock: ManualClock) -> None: ...

    def contents(self, topic: str, row: dict[str, Any]) -> Iterable[object]: ...


@dataclass(frozen=True)
class Cut:
    """How rows come to a stage: at most ``rows`` in a pass; it is called after each ``every`` that were published, by
    turns of the partitions or one partition after the other."""

    rows: int = 4_096
    every: int = 4_096
    by_turns: bool = True


class Observed:
    """A stage, and what it was given, answered and raised."""

    def __init__(self, stage: Stage) -> None:
        self.name, self.source, self._stage = stage.name, stage.source, stage
        self.passes: list[tuple[Work, Outcome]] = []
        self.sick: list[str] = []

    def handle(self, work: Work) -> Outcome:
        try:
            outcome = self._stage.handle(work)
        except Sick as sick:
            self.sick.append(sick.reason)
            raise
        self.passes.append((work, outcome))
        return outcome


class ObservedKeeper(Observed):
    def __init__(self, stage: Stage, keeper: Keeps) -> None:
        super().__init__(stage)
        self.assigned, self.revoked = keeper.assigned, keeper.revoked


class FailingReader:
    """A reader of which every second commit is not stored: all of it comes again."""

    def __init__(self, reader: Any) -> None:
        self._reader, self._commits = reader, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        self._commits += 1
        if self._commits % 2:
            raise LogUnreachable("this commit was not stored")
        self._reader.commit(done, outputs)


@dataclass
class StageRun:
    """A log with the topics of a stage, and its rows published one by one, so that they always have the same positions.

    Not thread-safe; everything happens in ``settle`` and ``crash``, on a clock that these move.
    """

    given: StageUnderTest
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.log = MemoryLog(self.clock, gap=3)
        self.topics = {topic.name: topic for topic in (*self.given.topics(), DEAD_TOPIC)}
        for topic in self.topics.values():
            self.log.create(topic)
        self.given.prepare(self.log, self.clock)
        self.source = self.given.topics()[0].name
        self.passes: list[tuple[Work, Outcome]] = []
        self.error = ""  # of a pass, other than that the stage said to be sick

    # -- ways to drive it -----------------------------------------------------

    def settle(self, cut: Cut = Cut(), *, failing: bool = False) -> StageRun:  # frozen
        """Publish all rows and let one member deal with them."""
        observed, pump = self.member(cut.rows, failing=failing)
        for start in range(0, len(writes := self.writes(by_turns=cut.by_turns)), cut.every):
            for write in writes[start : start + cut.every]:
                self.log.append([write])
            pump.step(0.0)
        self.work(pump)
        self.passes = observed.passes
        self.error = "" if pump.status.error in observed.sick else pump.status.error
        return self

    def crash(self, seed: int) -> StageRun:
        """Publish all rows to members that crash at their commits."""
        members = CrashingMembers(
            self.log,
            Random(seed),
            self.clock,
            self.topics,
            lambda: [(self.given.stage(self.log, self.clock), lambda *_: None)],
            [[write] for write in self.writes()],
            jumps=(IDLE_S, 3 * IDLE_S),
        )
        members.run(lambda: self.left() == 0)
        return self

    def member(self, rows: int = 4_096, *, failing: bool = False) -> tuple[Observed, Pump]:
        stage = self.given.stage(self.log, self.clock)
        observed = ObservedKeeper(stage, stage) if isinstance(stage, Keeps) else Observed(stage)
        reader: Any = self.log.reader(stage.name, [stage.source], "a")
        emitter = Emitter(stage.name, stage.source, "code", self.topics)
        pump = Pump(observed, FailingReader(reader) if failing else reader, emitter, self.clock, rows=lambda: rows)
        return observed, pump

    def work(self, pump: Pump) -> None:
        """Until nothing is left, or for so many rounds."""
        for _ in range(ROUNDS):
            if pump.step(0.0):
                continue
            if self.left() == 0:
                return
            self.clock.advance(IDLE_S)

    def publish(self) -> None:
        for write in self.writes():
            self.log.append([write])

    def writes(self, *, by_turns: bool = True) -> list[Write]:
        """A row each."""
        rows = [(n, p, part.slice(n, 1)) for p, part in enumerate(self.given.rows()) for n in range(part.num_rows)]
        if by_turns:
            rows.sort(key=lambda row: row[:2])
        return [Write(self.source, p, row) for _, p, row in rows]

    # -- what became of it ----------------------------------------------------

    def left(self) -> int:
        """Rows that no position has passed."""
        groups = [group for group in self.log.groups() if group.topic == self.source]
        return sum(group.lag_events for group in groups)

    def check(self) -> None:
        assert not self.error, f"it was held: {self.error}"
        assert not (left := self.left()), f"{left} rows were never dealt with"

    def made(self) -> Made:
        """Not what was published. Of what it gives to itself the order follows from when it came."""
        found: dict[tuple[str, int, int | None], list[str]] = {}
        for topic in self.topics:
            reader = self.log.reader(None, [topic], "look")
            while batches := reader.read(100_000, 0.0):
                for batch in batches:
                    if topic == self.source and batch.origin is None:
                        continue
                    for row in batch.rows.to_pylist():
                        parent = None if topic in (self.source, DEAD) else row.get("_parent_partition")
                        place = topic, batch.partition, parent
                        found.setdefault(place, []).extend(map(repr, self.given.contents(topic, row)))
            reader.close()
        return {place: rows if place[2] is not None else sorted(rows) for place, rows in found.items() if rows}


def difference(expected: Made, found: Made) -> str:
    """Empty where there is none."""
    wanted, there = (Counter((place[0], row) for place in made for row in made[place]) for made in (expected, found))
    lost, more = wanted - there, there - wanted
    kinds = {
        "lost": lost,
        "made twice": [row for row in more if row in wanted],
        "made otherwise": [row for row in more if row not in wanted],
    }
    if told := [f"{kind}: {_some(rows)}" for kind, rows in kinds.items() if rows]:
        return "; ".join(told)
    return "" if expected == found else "made in another order, or in other partitions"


def _some(rows: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{row} in {topic}" for topic, row in sorted(rows)[:3])
