"""A log in memory, a clock moved by hand, and runners whose code is a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import JSON_SCHEMA, SYSTEM, Batch, TopicSpec, Write, event_ids
from penstock.clock import ManualClock
from penstock.errors import RunnerDied, TaskFailed
from penstock.log.memory import MemoryLog
from penstock.models.interface import Signature
from penstock.plan.plan import FunctionSpec
from penstock.runner.interface import Applied, Artifact, RowFailure, Services
from penstock.settings import Settings
from penstock.stages.emit import Emitter
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.stages.failures.in_hand import InHand
from penstock.stages.interface import Stage
from penstock.stages.pump import Pump
from penstock.stages.transform import Transform
from penstock.system.snapshots import SNAPSHOT_TOPIC

SOURCE = TopicSpec("in", pa.schema([pa.field("n", pa.int64(), nullable=False), ("who", pa.string())]), 4, key="who")
TARGET = TopicSpec("out", pa.schema([pa.field("n", pa.int64(), nullable=False), ("copy", pa.int64())]), 4)
SYSTEM_TOPIC = TopicSpec(SYSTEM, JSON_SCHEMA, 1)

Script = Callable[[pa.RecordBatch, float], Applied]


class Scripted:
    """A runner whose code is one function of the rows and the time limit."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[int] = []

    def apply(self, stage: str, rows: pa.RecordBatch, *, timeout: float, services: Services | None = None) -> Applied:
        self.calls.append(rows.num_rows)
        return self.script(rows, timeout)

    def predict(self, model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        raise NotImplementedError

    def inspect(
        self, artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool, timeout: float
    ) -> tuple[str, Signature]:
        raise NotImplementedError

    def start(self) -> None: ...

    def close(self) -> None: ...


def made(rows: pa.RecordBatch, copies: int = 1) -> Applied:
    """What a good function makes: ``copies`` rows of each."""
    parents = np.repeat(np.arange(rows.num_rows, dtype=np.int64), copies)
    n = rows.column("n").take(pa.array(parents))
    nth = np.tile(np.arange(copies, dtype=np.int64), rows.num_rows)
    return Applied(pa.RecordBatch.from_arrays([n, pa.array(nth)], schema=TARGET.schema), parents)


@dataclass
class Zoo:
    """A batch function with animals in it: the value of ``n`` says what happens, whatever else is in the batch."""

    clock: ManualClock
    raises: frozenset[int] = frozenset()
    hangs: frozenset[int] = frozenset()
    crashes: frozenset[int] = frozenset()
    away: bool = False
    tells: bool = False  # a runner that knows the row it died at, and reports rows by itself: per event
    seconds: float = 0.0  # of one row

    def __call__(self, rows: pa.RecordBatch, timeout: float) -> Applied:
        values = rows.column("n").to_pylist()
        if self.away:
            raise TaskFailed("Unavailable", "the database is away", "", unavailable=True)
        for row, value in enumerate(values):
            if value in self.hangs:
                self.clock.advance(timeout)
                raise RunnerDied(f"no answer within {timeout:g} s", row if self.tells else None)
            if value in self.crashes:
                raise RunnerDied("killed by SIGSEGV", row if self.tells else None)
        self.clock.advance(self.seconds * len(values))
        bad = [row for row, value in enumerate(values) if value in self.raises]
        if bad and not self.tells:
            raise TaskFailed("ValueError", f"{values[bad[0]]} is bad", "Traceback …")
        good = np.array([row for row in range(len(values)) if row not in bad], np.int64)
        applied = made(rows.take(pa.array(good)))
        failures = [RowFailure(row, "ValueError", f"{values[row]} is bad", "Traceback …") for row in bad]
        return Applied(applied.rows, good[applied.parents], failures)


@dataclass
class Rig:
    clock: ManualClock = field(default_factory=ManualClock)
    settings: Settings = field(default_factory=Settings)
    measured: dict[str, float] = field(default_factory=dict)
    limit: int | None = None  # bytes of a row that the log takes

    def __post_init__(self) -> None:
        self.log = MemoryLog(self.clock, gap=3, limit=self.limit)
        for topic in (SOURCE, TARGET, DEAD_TOPIC, SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            self.log.create(topic)
        self.topics = {t.name: t for t in (SOURCE, TARGET, DEAD_TOPIC, SYSTEM_TOPIC, SNAPSHOT_TOPIC)}

    def publish(self, values: range | list[int], partition: int | None = None, *, who: str | None = None) -> None:
        """One write a partition; value v goes to partition v % 4 unless told."""
        for p in range(4) if partition is None else [partition]:
            mine = [v for v in values if partition is not None or v % 4 == p]
            if mine:
                names = [who or f"key-{v % 4}-{v % 3}" for v in mine]
                rows = pa.RecordBatch.from_arrays([pa.array(mine, pa.int64()), pa.array(names)], schema=SOURCE.schema)
                self.log.append([Write("in", p, rows)])

    def measure(self, name: str, value: float) -> None:
        self.measured[name] = self.measured.get(name, 0) + value

    def transform(self, script: Script, *, in_hand: InHand | None = None, **spec: object) -> Transform:
        declared = FunctionSpec("copy", "in", "out", "frame", **spec)  # type: ignore[arg-type]
        return Transform(declared, TARGET, Scripted(script), self.clock, self.settings, in_hand=in_hand)

    def pump(self, stage: Stage, rows: int = 4_096, member: str = "a") -> Pump:
        emitter = Emitter(stage.name, stage.source, "code", self.topics)
        reader = self.log.reader(stage.name, [stage.source], member)
        return Pump(stage, reader, emitter, self.clock, rows=lambda: rows, measure=self.measure)

    def drain(self, pump: Pump, seconds: float = 3_600.0) -> None:
        """Step until nothing is left to read, or so much time has passed."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end and self.lag(pump) > 0:
            pump.step(30.0)

    def lag(self, pump: Pump) -> int:
        return sum(g.lag_events for g in self.log.groups() if g.group == pump._stage.name)

    def read(self, topic: str) -> list[Batch]:
        reader = self.log.reader(None, [topic], "test")
        batches: list[Batch] = []
        while found := reader.read(100_000, 0.0):
            batches += found
        return batches

    def rows(self, topic: str) -> list[dict[str, object]]:
        return [row for batch in self.read(topic) for row in batch.rows.to_pylist()]

    def ids(self, topic: str) -> dict[int, list[str]]:
        ids: dict[int, list[str]] = {}
        for batch in self.read(topic):
            ids.setdefault(batch.partition, []).extend(event_ids(batch))
        return ids


@pytest.fixture
def rig() -> Iterator[Rig]:
    yield Rig()


@pytest.fixture
def new_rig() -> type[Rig]:
    return Rig


@pytest.fixture
def zoo() -> type[Zoo]:
    return Zoo


@pytest.fixture
def copies() -> Callable[..., Applied]:
    return made
