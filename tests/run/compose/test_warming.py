"""Ready before the first event: resources open, and the current version loaded, also one that comes later."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, Write
from penstock.clock import ManualClock
from penstock.declare.app import App
from penstock.declare.planning.build import plan_of
from penstock.errors import RunnerDied
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.models.messages import MoveAlias, Register, to_rows
from penstock.run.compose.prepare import prepare
from penstock.run.compose.stages import Composition, Line
from penstock.run.compose.warming import keep_warm
from penstock.runner.inline import InlineRunner
from penstock.runner.interface import Artifact
from penstock.settings import Settings
from penstock.stages.register import GROUP
from penstock.stages.scoring.deployment import Standing
from penstock.stages.scoring.loading import at_once

TWICE = """
import polars as pl
class Twice:
    def predict(self, rows):
        return rows.select(y=pl.col("x") * 2)
model = Twice()
"""


@dataclass
class Number:
    x: float


@dataclass
class Answer:
    y: float


@dataclass
class Journal:
    lines: list[str]


def app_noting(opened: list[str]) -> App:
    app = App("warm")
    numbers, answers = app.topic("numbers", Number), app.topic("answers", Answer)

    @app.resource
    def journal() -> Iterator[Journal]:
        opened.append("opened")
        yield Journal(opened)

    @app.on(numbers)
    def note(event: Number, journal: Journal) -> None:
        journal.lines.append("called")

    app.score(numbers, app.model("twice", outputs=["y"], inputs=["x"]), to=answers, name="scored")
    return app


class Noting(InlineRunner):
    """Inline, and it notes which version was asked for how many rows."""

    calls: list[tuple[str, int]]
    closed: list[object]
    broken = False

    def predict(self, model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        self.calls.append((model.version.ref, rows.num_rows))
        if self.broken:
            raise RunnerDied("at once")
        return super().predict(model, rows, timeout=timeout)

    def close(self) -> None:
        self.closed.append(self)
        super().close()


class House:
    def __init__(self, folder: Path) -> None:
        self.opened: list[str] = []
        self.calls: list[tuple[str, int]] = []
        self.closed: list[object] = []
        app, clock, settings = app_noting(self.opened), ManualClock(), Settings()
        plan = plan_of(app, environ={})
        self.log, self.artifacts = MemoryLog(clock, settings=settings), Artifacts(folder)
        prepare(plan, self.log, self.artifacts, clock)

        def runner(stage: str, with_app: bool) -> Noting:
            made = Noting(app, plan)
            made.calls, made.closed = self.calls, self.closed
            return made

        self.clock = clock
        self.composition = Composition(plan, self.log, self.artifacts, clock, settings, "test", runner, at_once)
        self.folder = folder

    def line(self, name: str) -> Line:
        return next(line for line in self.composition.lines if line.name == name)

    def register(self, number: int) -> None:
        path = self.folder / f"v{number}.py"
        path.write_text(TWICE + f"# {number}\n")
        digest = self.artifacts.put(path)
        trust = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        self.ask(Register(id=f"r{number}", name="twice", digest=digest, outputs=("y",), inputs=("x",), trust=trust))

    def promote(self, version: int) -> None:
        self.ask(MoveAlias(id=f"p{version}", model="twice", alias="champion", version=version))

    def ask(self, command: Register | MoveAlias) -> None:
        self.log.append([Write(SYSTEM, 0, to_rows([command]))])
        for _ in range(3):  # a member that was silent for long joins again first
            self.line(GROUP).pump.step(0.0)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.composition.close()
    house.log.close()


def test_a_function_opens_its_resources_and_is_not_called(house: House) -> None:
    house.line("note").warm()
    assert house.opened == ["opened"]


def test_a_stage_that_is_being_made_ready_holds_nothing_yet(house: House) -> None:
    line = house.line("note")
    line.warm()
    assert house.opened == ["opened"]
    assert not [state for state in house.log.groups() if state.group == "note" and state.owner]
    line.pump.step(0.0)
    assert {state.owner for state in house.log.groups() if state.group == "note"} == {"test"}


def test_without_a_version_nothing_is_loaded(house: House) -> None:
    house.line("scored").warm()
    assert house.calls == []


def test_the_current_version_is_loaded_once(house: House) -> None:
    house.register(1)
    house.register(2)
    for _ in range(3):
        house.line("scored").warm()
    assert house.calls == [("twice/1", 0)]
    house.promote(2)
    for _ in range(3):
        house.line("scored").warm()
    assert set(house.calls[1:]) == {("twice/2", 0)}
    assert house.line("scored").standing() == Standing("twice/2")


def test_what_was_before_is_let_go_in_time(house: House) -> None:
    house.register(1)
    house.register(2)
    house.line("scored").warm()
    house.promote(2)
    for _ in range(2):
        house.line("scored").warm()
    house.clock.advance(Settings().keep_warm - 1)
    house.line("scored").warm()
    assert house.closed == []
    for _ in range(3):
        house.clock.advance(2)
        house.line("scored").warm()
    assert len(house.closed) == 1
    house.promote(1)
    for _ in range(2):
        house.line("scored").warm()
    assert house.line("scored").standing() == Standing("twice/1"), "it is loaded again"


def test_what_fails_is_left_to_the_first_event(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.register(1)
    monkeypatch.setattr(Noting, "broken", True)
    for _ in range(3):
        house.line("scored").warm()
    assert house.calls == [("twice/1", 0)]


def test_a_stage_is_ready_before_it_joins_its_group(house: House) -> None:
    stop = Event()
    stop.set()
    house.line("note").run(stop)
    assert house.opened == ["opened"]


def test_a_version_that_comes_later_is_loaded_without_an_event(house: House) -> None:
    stop = Event()
    thread = Thread(target=keep_warm, args=(house.composition.models, stop))
    thread.start()
    house.register(1)
    deadline = time.monotonic() + 10
    while not house.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert house.calls == [("twice/1", 0)]
