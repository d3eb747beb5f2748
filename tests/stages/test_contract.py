"""What every stage promises, of those in the box and of two that deal with their work in parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from tests.stages.archive import MANIFEST, Archive, Files
from tests.stages.ladder import RETRY, Ladder, Outside, Sender
from tests.stages.lives import IN

import penstock as ps
from penstock.batch import DEAD, SYSTEM, TopicSpec
from penstock.clock import ManualClock
from penstock.declare.planning.build import plan_of
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.models.messages import MoveAlias
from penstock.plan.plan import Plan
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, prepare
from penstock.run.compose.stages import Composition
from penstock.runner.inline import InlineRunner
from penstock.settings import Settings
from penstock.stages.interface import Stage
from penstock.stages.registry_owner import GROUP
from penstock.stages.scoring.loading import at_once
from penstock.system.messages import to_rows
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.testing import StageContract
from penstock.testing.standins import StandIns

BAD = {7, 22, 23}  # numbers that no function deals with


@dataclass
class Number:
    n: int


@dataclass
class Half:
    n: int
    half: float


class Outages:
    away = False


def app_of_two(outages: Outages) -> ps.App:
    """A function that makes two rows of some numbers and none of others, and a model."""
    app = ps.App("contract")
    numbers, halves = app.topic("numbers", Number, partitions=3), app.topic("halves", Half, partitions=2)
    scores = app.topic("scores", Half)

    @app.on(numbers, to=halves)
    def halve(number: Number) -> list[Half]:
        if outages.away:
            raise ps.Unavailable("the table of halves is away")
        if number.n in BAD:
            raise ValueError(f"{number.n} is bad")
        return [Half(number.n, number.n / 2)] * (number.n % 3)

    app.score(numbers, app.model("halver", inputs=["n"], outputs=["half"]), to=scores, keep=["n"], name="scorer")
    return app


def numbers(partitions: int = 3, count: int = 10, schema: pa.Schema = IN.schema) -> list[pa.RecordBatch]:
    return [
        pa.RecordBatch.from_arrays([pa.array(range(p, partitions * count, partitions), pa.int64())], schema=schema)
        for p in range(partitions)
    ]


class OfAnApp(StageContract):
    """A stage as it is put together for an app."""

    name: str

    @pytest.fixture(autouse=True)
    def _app(self, tmp_path: Path) -> None:
        self.outages = Outages()
        self.models = {"halver": self.halver}
        self.app = app_of_two(self.outages)
        self.stand_ins, self.artifacts = StandIns(self.models), Artifacts(tmp_path)
        self.plan: Plan = self.stand_ins.without_artifacts(plan_of(self.app, signatures=self.stand_ins.signature_of))

    def halver(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self.outages.away:
            raise ps.Unavailable("the model asks somebody who is away")
        bad = pl.col("n").is_in(list(BAD))
        return rows.select(half=pl.when(bad).then(None).otherwise(pl.col("n") / 2))

    @property
    def source(self) -> str:
        return "numbers"

    def topics(self) -> Sequence[TopicSpec]:
        known = {topic.name: topic for topic in (*self.plan.topics, SYSTEM_TOPIC, SNAPSHOT_TOPIC)}
        return [known.pop(self.source), *known.values()]

    def rows(self) -> Sequence[pa.RecordBatch]:
        return numbers(schema=self.plan.topic("numbers").schema)

    def prepare(self, log: MemoryLog, clock: ManualClock) -> None:
        prepare(self.plan, log, self.artifacts, clock)
        self.stand_ins.install(self.plan, log, self.artifacts, clock)

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        def make_runner(stage: str, with_app: bool) -> InlineRunner:
            return InlineRunner(self.app, self.plan, models=self.models)

        composition = Composition(
            self.plan, log, clock, Settings(), "a", self.artifacts, make_runner, background=at_once
        )
        return next(line.pump._stage for line in composition.lines if line.name == self.name)

    def away(self) -> AbstractContextManager[None] | None:
        return away(self.outages)


@contextmanager
def away(outages: Outages) -> Iterator[None]:
    outages.away = True
    yield
    outages.away = False


class TestTransform(OfAnApp):
    name = "halve"
    answers_all = False


class TestScore(OfAnApp):
    name = "scorer"


class TestRegistryOwner(OfAnApp):
    """Of commands to move aliases, some of which are refused. Its answers lie between them."""

    name, source = GROUP, SYSTEM
    answers_all = redriven = False

    def rows(self) -> Sequence[pa.RecordBatch]:
        moves = [("a", 1, None), ("b", 1, None), ("a", 2, None), ("a", 1, 1), ("b", 1, 5), ("champion", 1, None)]
        commands = [
            MoveAlias(id=f"c{n}", model="halver", alias=alias, version=version, expected=expected)
            for n, (alias, version, expected) in enumerate(moves)
        ]
        return [to_rows(commands)]

    def contents(self, topic: str, row: Mapping[str, Any]) -> Iterable[object]:
        return [(row["_type"], row["json"])]

    def away(self) -> AbstractContextManager[None] | None:
        return None


class TestLadder(StageContract):
    """Its rows are due at different times; of those that could be sent nothing is in the log."""

    answers_all = False

    def topics(self) -> Sequence[TopicSpec]:
        return [RETRY]

    def rows(self) -> Sequence[pa.RecordBatch]:
        begin = ManualClock().now()
        parts = [([n + 10 * rung for n in range(10)], rung) for rung in range(RETRY.partitions)]
        return [
            pa.RecordBatch.from_arrays(
                [
                    pa.array(ns, pa.int64()),
                    pa.array([rung + 1] * len(ns), pa.int64()),
                    pa.array([begin + 1_000_000 * (n - 5) for n in ns], pa.int64()),
                ],
                schema=RETRY.schema,
            )
            for ns, rung in parts
        ]

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        return Ladder(Sender(Outside(lambda n: n % 4 == 0)), clock)

    def contents(self, topic: str, row: Mapping[str, Any]) -> Iterable[object]:
        return [json.loads(row["data"])["n"] if topic == DEAD else (row["n"], row["attempts"])]


class TestArchive(StageContract):
    answers_all = False

    @pytest.fixture(autouse=True)
    def _files(self) -> None:
        self.outages = Outages()
        self.files = Files(lambda: self.outages.away)

    def topics(self) -> Sequence[TopicSpec]:
        return [IN, MANIFEST]

    def rows(self) -> Sequence[pa.RecordBatch]:
        return numbers(IN.partitions)

    def stage(self, log: MemoryLog, clock: ManualClock) -> Stage:
        return Archive(self.files, clock)

    def contents(self, topic: str, row: Mapping[str, Any]) -> Iterable[object]:
        return self.files.written[row["file"]]

    def away(self) -> AbstractContextManager[None] | None:
        return away(self.outages)
