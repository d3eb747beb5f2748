"""Ready before the first event: resources open, and the current version loaded, also one that comes later."""

import hashlib
import time
from collections.abc import Callable, Iterator
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
from penstock.models.messages import MoveAlias, Register
from penstock.notices import notices
from penstock.run.compose.bootstrap import prepare
from penstock.run.compose.stages import Composition, RunningStage
from penstock.run.compose.warming import Missing, keep_warm
from penstock.runner.inline import InlineRunner
from penstock.runner.interface import Artifact
from penstock.settings import Settings
from penstock.stages.pump import Pump
from penstock.stages.registry_owner import GROUP
from penstock.stages.scoring.deployment import Standing
from penstock.stages.scoring.loading import at_once
from penstock.system.messages import to_rows

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
    started: list[bool]
    broken = False

    def start(self) -> None:
        self.started.append(True)

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
        self.started: list[bool] = []
        app, clock, settings = app_noting(self.opened), ManualClock(), Settings()
        plan = plan_of(app, environ={})
        self.log, self.artifacts = MemoryLog(clock, settings=settings), Artifacts(folder)
        prepare(plan, self.log, self.artifacts, clock)

        def runner(stage: str, with_app: bool) -> Noting:
            made = Noting(app, plan)
            made.calls, made.closed, made.started = self.calls, self.closed, self.started
            return made

        self.clock = clock
        self.composition = Composition(
            plan, self.log, clock, settings, "test", self.artifacts, runner, background=at_once
        )
        self.folder = folder

    def line(self, name: str) -> RunningStage:
        return next(line for line in self.composition.lines if line.name == name)

    def warm(self, name: str) -> Missing | None:
        return self.line(name).preparation.warm()

    def follow(self) -> None:
        (model,) = self.composition.models
        model.follow()

    def register(self, number: int, *, answered: bool = True) -> None:
        digest, trust = self.put(number), self.trust(number)
        command = Register(id=f"r{number}", name="twice", digest=digest, outputs=("y",), inputs=("x",), trust=trust)
        self.log.append([Write(SYSTEM, 0, to_rows([command]))])
        if answered:
            self.answer()

    def put(self, number: int) -> str:
        path = self.folder / f"v{number}.py"
        path.write_text(TWICE + f"# {number}\n")
        return self.artifacts.put(path)

    def trust(self, number: int) -> str:
        return "sha256:" + hashlib.sha256((self.folder / f"v{number}.py").read_bytes()).hexdigest()

    def promote(self, version: int) -> None:
        self.ask(MoveAlias(id=f"p{version}", model="twice", alias="champion", version=version))

    def ask(self, command: Register | MoveAlias) -> None:
        self.log.append([Write(SYSTEM, 0, to_rows([command]))])
        self.answer()

    def answer(self) -> None:
        for _ in range(3):  # a member that was silent for long joins again first
            self.line(GROUP).pump.step(0.0)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.composition.close()
    house.log.close()


def test_a_function_opens_its_resources_and_is_not_called(house: House) -> None:
    assert house.warm("note") is None
    assert house.opened == ["opened"]


def test_a_stage_that_is_being_made_ready_holds_nothing_yet(house: House) -> None:
    line = house.line("note")
    line.preparation.run(Event())
    assert house.opened == ["opened"]
    assert not [state for state in house.log.groups() if state.group == "note" and state.owner]
    line.pump.step(0.0)
    assert {state.owner for state in house.log.groups() if state.group == "note"} == {"test"}


def test_without_a_version_nothing_is_loaded(house: House) -> None:
    missing = house.warm("scored")
    assert missing == Missing(
        "waits", "it waits for the first version of model 'twice'", mend="penstock models register twice FILE"
    )
    assert house.calls == []


def test_a_version_that_is_being_registered_is_on_its_way_and_its_runner_started(house: House) -> None:
    house.register(1, answered=False)
    missing = house.warm("scored")
    assert missing is not None and (missing.kind, house.started) == ("soon", [True])
    house.answer()
    assert house.warm("scored") is None


def test_a_registration_that_was_refused_is_the_reason(house: House) -> None:
    house.ask(Register(id="r1", name="twice", digest="ab" * 32, outputs=("y",), inputs=("x",)))
    missing = house.warm("scored")
    assert missing is not None and missing.kind == "waits"
    assert "no artifact sha256:abab" in missing.reason
    house.register(2)
    assert house.warm("scored") is None


def test_an_alias_that_nothing_points_to_is_the_reason(house: House) -> None:
    command = Register(id="r1", name="twice", digest=house.put(1), outputs=("y",), inputs=("x",), alias="other")
    house.ask(Register(**{f: getattr(command, f) for f in command.__struct_fields__} | {"trust": house.trust(1)}))
    assert house.warm("scored") == Missing(
        "waits",
        "no version of model 'twice' is its 'champion'",
        mend="penstock models alias twice champion VERSION",
    )


def test_the_current_version_is_loaded_once(house: House) -> None:
    house.register(1)
    house.register(2)
    for _ in range(3):
        house.warm("scored")
        house.follow()
    assert house.calls == [("twice/1", 0)]
    house.promote(2)
    for _ in range(3):
        house.follow()
    assert set(house.calls[1:]) == {("twice/2", 0)}
    assert house.line("scored").standing() == Standing("twice/2")


def test_what_was_before_is_let_go_in_time(house: House) -> None:
    house.register(1)
    house.register(2)
    house.warm("scored")
    house.promote(2)
    for _ in range(2):
        house.follow()
    house.closed.clear()  # those that looked at the artifacts
    house.clock.advance(Settings().keep_warm - 1)
    house.follow()
    assert house.closed == []
    for _ in range(3):
        house.clock.advance(2)
        house.follow()
    assert len(house.closed) == 1
    house.promote(1)
    for _ in range(2):
        house.follow()
    assert house.line("scored").standing() == Standing("twice/1"), "it is loaded again"


def test_what_fails_is_told_and_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.register(1)
    monkeypatch.setattr(Noting, "broken", True)
    for _ in range(3):
        missing = house.warm("scored")
        assert missing is not None and missing.kind == "failed" and "at once" in missing.reason
    assert house.calls == [("twice/1", 0)] * 3
    monkeypatch.setattr(Noting, "broken", False)
    assert house.warm("scored") is None


def test_a_stage_is_ready_before_it_joins_its_group(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    line, stop = house.line("note"), Event()
    monkeypatch.setattr(line.preparation, "run", lambda stop, waiting: done.append("prepared"))
    monkeypatch.setattr(line.pump, "run", lambda stop: done.append("pumping"))
    line.run(stop)
    assert done == ["prepared", "pumping"]


def test_one_that_waits_for_a_first_version_has_a_place_already(house: House, patience: float = 10.0) -> None:
    """Else what retention takes until then would be missed by nobody."""
    line, stop = house.line("scored"), Event()
    thread = Thread(target=line.run, args=(stop,), daemon=True)
    thread.start()
    try:
        wait_for(lambda: "scored" in {state.group for state in house.log.groups()}, patience)
    finally:
        stop.set()
        thread.join()


def test_one_that_joins_with_its_first_version_only_is_found(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pump, "wait_as_member", lambda self: None)
    with pytest.raises(AssertionError, match="did not happen in time"):
        test_one_that_waits_for_a_first_version_has_a_place_already(house, patience=0.5)


def test_what_is_missing_is_said_until_it_is_there(house: House) -> None:
    preparation, stop = house.line("scored").preparation, Event()
    assert preparation.missing is not None and preparation.missing.kind == "soon"
    thread = Thread(target=preparation.run, args=(stop,), daemon=True)
    thread.start()
    wait_for(lambda: preparation.missing is not None and preparation.missing.kind == "waits")
    assert [n.stage for n in notices().standing()] == ["scored"]
    house.register(1)
    wait_for(lambda: preparation.missing is None)
    thread.join()
    assert house.calls == [("twice/1", 0)] and notices().standing() == ()


def test_one_that_is_told_to_stop_meanwhile_is_not_ready(house: House) -> None:
    preparation, stop = house.line("scored").preparation, Event()
    stop.set()
    preparation.run(stop)
    assert preparation.missing is not None


def test_a_version_that_comes_later_is_loaded_without_an_event(house: House) -> None:
    house.register(1)
    house.warm("scored")
    house.register(2)
    house.promote(2)
    stop = Event()
    thread = Thread(target=keep_warm, args=(house.composition.models, stop))
    thread.start()
    wait_for(lambda: ("twice/2", 0) in house.calls)
    stop.set()
    thread.join()


def wait_for(holds: Callable[[], bool], patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
