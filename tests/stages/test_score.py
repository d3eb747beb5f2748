"""Versions agree with activation records, whatever moved in between; calls share the stream's scorer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, Write
from penstock.errors import (
    Conflict,
    InputInvalid,
    InvalidEvent,
    ModelRefused,
    NotFound,
    PredictionInvalid,
    PredictionMisshapen,
)
from penstock.models.artifacts import Artifacts
from penstock.models.interface import Signature
from penstock.models.messages import MoveAlias, Register, Registered
from penstock.models.registry import Registry
from penstock.plan.plan import ModelSpec, Plan, ScoreSpec
from penstock.run.compose.bootstrap import open_registry
from penstock.runner.interface import Applied, Artifact, Services
from penstock.schema.rows import with_rules
from penstock.stages.inspection import Inspections
from penstock.stages.registry_owner import Registrar
from penstock.stages.score import Score
from penstock.stages.scoring.call_batcher import Combiner
from penstock.stages.scoring.call_server import Answers, ask
from penstock.stages.scoring.deployment import Deployment
from penstock.stages.scoring.loading import at_once
from penstock.stages.scoring.slots import Slots, of_its_own
from penstock.stages.scoring.versions import AliasVersions
from penstock.system.messages import Command, to_rows

INPUTS = pa.schema([pa.field("n", pa.int64())])
OUTPUTS = pa.schema([pa.field("copy", pa.int64())])


class Adds:
    """A runner whose model's answer is n + 1,000 * its version; 13 is a row it cannot answer, and it reads an int32."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.sizes: list[int] = []

    def apply(self, stage: str, rows: pa.RecordBatch, *, timeout: float, services: Services | None = None) -> Applied:
        raise NotImplementedError

    def predict(self, model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        self.sizes.append(rows.num_rows)
        n = rows.column("n").to_numpy()
        if len(wide := np.flatnonzero(n >= 2**31)):
            raise InputInvalid("column 'n' is beyond int32", wide.tolist())
        if 13 in n:
            raise PredictionInvalid("NaN in row 13")
        return pa.RecordBatch.from_arrays([pa.array(n + 1_000 * model.version.version)], schema=OUTPUTS)

    def inspect(
        self, artifact: Path, *, name: str, inputs: pa.Schema | None, outputs: list[str], trusted: bool, timeout: float
    ) -> tuple[str, Signature]:
        if artifact.read_bytes().startswith(b"bad"):
            raise ModelRefused("not a model")
        return "adds", self.signature

    def start(self) -> None: ...

    def close(self) -> None: ...


class House:
    def __init__(self, rig: Any, folder: Path, signature: Signature, **spec: Any) -> None:
        self.rig, self.artifacts = rig, Artifacts(folder)
        topics = tuple(rig.topics.values())
        self.spec = ScoreSpec("scores", "in", "out", "m", keep=("n",), **spec)
        self.model = ModelSpec("m", ("copy",))
        self.plan = Plan("app", "app.py:app", "code", topics, stages=(self.spec,), models=(self.model,))
        self.runner = Adds(signature)
        inspections = Inspections(lambda command: of_its_own(self.runner), lambda command: None, at_once)
        registrar = Registrar(self.plan, self.view(), self.artifacts, inspections, rig.clock, 30.0)
        self.registrar = rig.pump(registrar, member="r")
        self.registry = self.view()
        self.stage = self.scorer()
        self.nth = 0

    def view(self) -> Registry:
        return open_registry(self.rig.log, self.rig.clock, "view")

    def scorer(self) -> Score:
        clock, settings, view = self.rig.clock, self.rig.settings, self.view()
        slots = Slots((self.runner, self.runner), clock, rows=settings.batch_rows)
        deployment = Deployment("scores", view, self.artifacts, slots, clock, settings, background=at_once)
        return Score(
            self.spec, self.rig.topics["out"], AliasVersions(self.spec, self.model, view, deployment), clock, settings
        )

    def ask(self, command: Command) -> Any:
        self.rig.log.append([Write(SYSTEM, 0, to_rows([command]))])
        for _ in range(3):
            self.registrar.step(0.0)
        return self.registry.wait_for(command.id, 0.0)

    def register(self, content: bytes = b"model", **more: Any) -> Any:
        self.nth += 1
        digest = self.artifacts.put(content + str(self.nth).encode())
        return self.ask(Register(id=f"c{self.nth}", name="m", digest=digest, **more))

    def promote(self, version: int, expected: int | None = None) -> Any:
        self.nth += 1
        return self.ask(MoveAlias(id=f"c{self.nth}", model="m", alias="champion", version=version, expected=expected))

    def versions(self) -> dict[tuple[int, int], int]:
        """The version that made the prediction of each event."""
        made: dict[tuple[int, int], int] = {}
        for batch in self.rig.read("out"):
            parents = zip(*(batch.rows.column(c).to_pylist() for c in ("_parent_partition", "_parent")), strict=True)
            made |= dict.fromkeys(parents, batch.origin.version)
            n, copy = (batch.rows.column(c).to_numpy() for c in ("n", "copy"))
            assert (copy == n + 1_000 * batch.origin.version).all()
        return made


@pytest.fixture
def house(rig: Any, tmp_path: Path) -> House:
    return House(rig, tmp_path, Signature(INPUTS, OUTPUTS))


def test_it_waits_for_a_first_version_and_loses_nothing(house: House) -> None:
    rig = house.rig
    rig.publish(range(100, 200))
    pump = rig.pump(house.stage)
    for _ in range(2_000):
        pump.step(30.0)
    assert not pump.status.ready
    assert "no version yet" in pump.status.why
    house.register()
    rig.drain(pump)
    assert len(house.versions()) == 100
    assert rig.rows("penstock.dead") == []


def test_every_prediction_agrees_with_the_activation_records(house: House) -> None:
    rig = house.rig
    house.register()
    house.register()
    for round_ in range(6):
        rig.publish(range(100 + round_ * 40, 140 + round_ * 40))
        house.promote(1 + round_ % 2)
        pump = rig.pump(house.scorer(), rows=17, member=f"m{round_}")
        for _ in range(2):
            pump.step(0.0)
        house.promote(2 - round_ % 2)
        rig.drain(pump)
        pump._reader.close()
    made = house.versions()
    assert len(made) == 240
    house.registry.refresh()
    records = activations(house)
    for (partition, position), version in made.items():
        before = [r for r in records if r["partition"] == partition and r["from_offset"] <= position]
        assert before and before[-1]["version"] == version, "the records name another version, or none"
    for partition in range(4):
        epochs = [r["epoch"] for r in records if r["partition"] == partition]
        assert epochs == sorted(epochs)
    assert len({r["version"] for r in records}) == 2


def activations(house: House) -> list[dict[str, Any]]:
    import json

    return [json.loads(r["json"]) for r in house.rig.rows(SYSTEM) if r["_type"] == "penstock.model.activated"]


def test_a_row_without_a_valid_answer_is_dead_lettered(house: House) -> None:
    house.register()
    house.rig.publish(list(range(40)), 0)
    house.rig.pump(house.stage).step(0.0)
    assert len(house.versions()) == 39
    (dead,) = house.rig.rows("penstock.dead")
    assert (dead["error"], dead["stage"]) == ("PredictionInvalid", "scores")


def test_a_prediction_outside_its_topics_bounds_is_dead_lettered(house: House) -> None:
    bounded = with_rules(house.rig.topics["out"].schema.field("copy"), {"le": 1_020})
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False), bounded])
    house.rig.topics["out"] = replace(house.rig.topics["out"], schema=schema)
    house.register()
    house.rig.publish([1, 20, 21, 3], 0)
    house.rig.pump(house.scorer()).step(0.0)
    assert [row["n"] for row in house.rig.rows("out")] == [1, 20, 3]
    (dead,) = house.rig.rows("penstock.dead")
    assert (json.loads(dead["data"])["n"], dead["reason"]) == (21, "field 'copy': > 1020")


def test_a_model_that_answers_other_rows_holds_its_stage(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_for_all(model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        if rows.num_rows > 1:
            raise PredictionMisshapen("model m/1 answered 1 rows for several")
        return pa.RecordBatch.from_arrays([pa.array([0], pa.int64())], schema=OUTPUTS)

    house.register()
    monkeypatch.setattr(house.runner, "predict", one_for_all)
    house.rig.publish(list(range(40)), 0)
    pump = house.rig.pump(house.stage)
    pump.step(0.0)
    assert house.rig.rows("out") == [] and house.rig.rows("penstock.dead") == []
    assert "answered 1 rows for several; promote a version that does" in pump.status.why


def test_a_model_that_answers_all_but_some_rows_is_not_at_fault(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad event holds up no other."""
    predict = house.runner.predict

    def without_13(model: Artifact, rows: pa.RecordBatch, *, timeout: float) -> pa.RecordBatch:
        if 13 in rows.column("n").to_pylist():
            raise PredictionMisshapen(f"model m/1 answered {rows.num_rows - 1} rows for {rows.num_rows}")
        return predict(model, rows, timeout=timeout)

    house.register()
    monkeypatch.setattr(house.runner, "predict", without_13)
    house.rig.publish([13, *range(20, 60)], 0)
    house.rig.pump(house.stage).step(0.0)
    assert len(house.rig.rows("out")) == 40
    (dead,) = house.rig.rows("penstock.dead")
    assert (dead["offset"], dead["error"]) == (0, "PredictionInvalid") and "0 rows for 1" in dead["reason"]


@pytest.mark.parametrize("given", [[2**31], [2**40] * 50, [*range(20, 40), 2**31, 5, 2**32 + 5, 7]])
def test_rows_that_the_model_cannot_read_are_dead_at_once(house: House, given: list[int]) -> None:
    """Nothing is tried again, nobody waits: alone in their batch or among others, they will never be read."""
    house.register()
    house.rig.publish(given, 0)
    house.rig.pump(house.stage).step(0.0)
    wide = [n for n in given if n >= 2**31]
    assert len(house.versions()) == len(given) - len(wide)
    dead = house.rig.rows("penstock.dead")
    assert [d["offset"] for d in dead] == [place for place, n in enumerate(given) if n >= 2**31]
    assert {(d["error"], d["reason"], d["attempts"]) for d in dead} == {
        ("InputInvalid", "column 'n' is beyond int32", 1)
    }
    assert len(house.runner.sizes) <= 2


def test_they_stay_apart_from_rows_without_a_valid_answer(house: House) -> None:
    house.register()
    house.rig.publish([20, 2**31, 13, *range(30, 60), 2**31 + 5], 0)
    house.rig.pump(house.stage).step(0.0)
    assert len(house.versions()) == 31
    dead = [(d["offset"], d["error"]) for d in house.rig.rows("penstock.dead")]
    assert sorted(dead) == [(1, "InputInvalid"), (2, "PredictionInvalid"), (33, "InputInvalid")]


def test_the_registry_answers_each_command_once(house: House) -> None:
    first = house.register()
    assert (first.version, house.register().version) == (1, 2)
    assert house.promote(2, expected=1).epoch == 2
    with pytest.raises(Conflict):
        house.promote(1, expected=1)
    with pytest.raises(ModelRefused):
        house.register(b"bad")
    again = Register(id="c1", name="m", digest=first.digest)
    assert house.ask(again) == first
    assert len(house.registry.versions("m")) == 2


def test_commands_of_one_batch_see_each_other(house: House) -> None:
    digest = house.artifacts.put(b"x")
    commands = [Register(id=f"r{i}", name="m", digest=digest) for i in range(5)]
    house.rig.log.append([Write(SYSTEM, 0, to_rows(commands))])
    house.registrar.step(0.0)
    answers = [house.registry.wait_for(f"r{i}", 0.0) for i in range(5)]
    assert [answer.version for answer in answers if isinstance(answer, Registered)] == [1, 2, 3, 4, 5]


def test_a_signature_that_no_scorer_can_feed_is_refused(rig: Any, tmp_path: Path) -> None:
    house = House(rig, tmp_path, Signature(pa.schema([("absent", pa.float64())]), OUTPUTS))
    with pytest.raises(ModelRefused, match="absent"):
        house.register()


def rows(*values: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": pa.array(values, pa.int64())})


def test_calls_get_the_streams_version(house: House, tmp_path: Path) -> None:
    path = tmp_path / "answers.sock"
    answers = Answers(path, {"m": house.stage.answer})
    try:
        with pytest.raises(NotFound, match="no version yet"):
            asyncio.run(ask(path, "m", rows(1)))
        house.register()
        answer, ref = asyncio.run(ask(path, "m", rows(1, 2)))
        assert (answer.column("copy").to_pylist(), ref) == ([1_001, 1_002], "m/1")
        with pytest.raises(NotFound, match="'other'"):
            asyncio.run(ask(path, "other", rows(1)))
        with pytest.raises(InvalidEvent, match="'n'"):
            asyncio.run(ask(path, "m", pa.RecordBatch.from_pydict({"z": [1]})))
        with pytest.raises(PredictionInvalid):
            asyncio.run(ask(path, "m", rows(13)))
        with pytest.raises(InvalidEvent, match="row 1: column 'n' is beyond int32"):
            asyncio.run(ask(path, "m", rows(1, 2**31)))
    finally:
        answers.close()


def test_what_waits_is_put_into_one_call(house: House) -> None:
    house.register()
    house.registry.refresh()
    version = house.registry.versions("m")[0]
    artifact = Artifact(version, house.artifacts.path(version.digest, model=version.ref))
    combiner = Combiner(house.runner, house.rig.clock, rows=100)
    got: dict[int, list[int]] = {}

    def call(i: int) -> None:
        got[i] = combiner.predict(artifact, rows(i, i), 1.0).column("copy").to_pylist()

    with combiner.turn:
        threads = [Thread(target=call, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        while len(combiner._waiting) < 8:
            pass
    for thread in threads:
        thread.join()
    assert got == {i: [1_000 + i] * 2 for i in range(8)}
    assert house.runner.sizes == [16]


def test_a_record_of_another_version_would_be_seen(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AliasVersions, "records", lambda self, work, version: [])
    with pytest.raises(AssertionError, match="another version, or none"):
        test_every_prediction_agrees_with_the_activation_records(house)
