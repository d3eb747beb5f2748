"""The stages as a worker runs them: the embedded log, real children, real models."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.stages.stack import eventually, stack

from penstock.batch import SYSTEM
from penstock.models.registry import Registry
from penstock.schema.encode import to_json

MODEL = """
import polars as pl

class Doubles:
    inputs = ["x"]
    def predict(self, rows):
        return rows.select(y=pl.col("x") * 2.0)
"""

# -- topics without a type ----------------------------------------------------

UNTYPED = """
import polars as pl
import penstock as ps

app = ps.App("untyped")
events = app.topic("events", partitions=2)
features = app.topic("features", partitions=2)
answers = app.topic("answers", partitions=2)
anything = app.topic("anything", partitions=2)

@app.on(events, to=features)
def prepare(event: dict[str, object]) -> Features:
    return Features(int(event["id"]), float(event["x"]))

times = app.model("times", "times.onnx", outputs=["y"], inputs=["x"])
app.score(features, times, to=answers, keep=["id"])

@app.on(answers, to=anything)
def either(rows: pl.DataFrame) -> pl.DataFrame:
    return rows
"""
TYPE = """
from dataclasses import dataclass

@dataclass
class Features:
    id: int
    x: float
"""


@pytest.mark.parametrize("inline", [True, False])
def test_topics_without_a_type_hold_json_or_the_columns_that_are_made(tmp_path: Path, inline: bool) -> None:
    (tmp_path / "times.onnx").write_bytes(times(2.0))
    with stack(tmp_path, TYPE + UNTYPED, inline=inline) as built:
        good = [f'{{"id": {n}, "x": {n}.5, "more": [1]}}' for n in range(20)]
        bad = ['{"id": 20}', '{"id": 21, "x": null}', '{"id": 22, "x": {"y": 1}}', "[1]", "null"]
        built.publish("events", {"json": [*good[:10], *bad, *good[10:]]})
        made = {row["id"]: row["y"] for row in built.wait_for("anything", 20)}
        dead = built.wait_for("penstock.dead", 5)
    assert made == {n: 2 * (n + 0.5) for n in range(20)}
    assert sorted(row["data"] for row in dead) == sorted(bad)
    assert all(row["stage"] == "prepare" and row["reason"] for row in dead)


def with_model(folder: Path, text: str, model: str = MODEL) -> str:
    (folder / "doubles.txt").write_text(model)
    return text.replace("{digest}", hashlib.sha256(model.encode()).hexdigest())


# -- the registry from a handler ----------------------------------------------

WORKFLOW = """
from dataclasses import dataclass
from pathlib import Path
import penstock as ps

app = ps.App("workflow")

@dataclass
class Row:
    x: float

@dataclass
class Answer:
    x: float
    y: float

rows = app.topic("rows", Row, partitions=2)
answers = app.topic("answers", Answer, partitions=2)
doubles = app.model("doubles", outputs=["y"])
challenger = app.model("challenger", outputs=["y"], inputs=["x"])
app.score(rows, doubles, to=answers, keep=["x"])
HERE = Path(__file__).parent

@app.on(ps.ModelRegistered, where="model = 'challenger'")
def adopt(new: ps.ModelRegistered, models: ps.Models) -> None:
    version = models.register("doubles", HERE / "second.onnx", metrics={"auc": 0.9}, dataset_id="d1")
    same = models.register("doubles", HERE / "third.onnx")
    assert same == version + 1
    models.promote("doubles", version)

@app.on(ps.ModelPromoted, where="model = 'doubles' AND version = 2 AND previous = 1")
def told(moved: ps.ModelPromoted, models: ps.Models) -> None:
    models.set_alias("doubles", "seen", moved.version)
"""


def times(factor: float) -> bytes:
    """x [N, 1] times a constant, as ONNX."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "f"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("f", TensorProto.FLOAT, [1], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return bytes(model.SerializeToString())


def ask(built: Any, model: str, content: Path, id: str) -> Any:
    from penstock.batch import Write
    from penstock.models.messages import Register
    from penstock.system.messages import to_rows

    digest = built.composition.artifacts.put(content)
    command = Register(id=id, name=model, digest=digest, outputs=("y",), inputs=("x",))
    built.log.append([Write(SYSTEM, 0, to_rows([command]))])
    return built.composition.registry.wait_for(id, 30.0)


def promoted_of(registry: Registry) -> int:
    alias = registry.alias("doubles")
    assert alias is not None
    return alias.version


def test_a_handler_registers_and_promotes_and_the_scorer_follows(tmp_path: Path) -> None:
    for name, factor in (("first", 1.0), ("second", 2.0), ("third", 3.0)):
        (tmp_path / f"{name}.onnx").write_bytes(times(factor))
    with stack(tmp_path, WORKFLOW) as built:
        registry = built.composition.registry
        ask(built, "doubles", tmp_path / "first.onnx", "c1")
        built.publish("rows", {"x": [1.0, 2.0]})
        assert [row["y"] for row in built.wait_for("answers", 2)] == [1.0, 2.0]
        ask(built, "challenger", tmp_path / "first.onnx", "c2")

        def seen() -> bool:
            registry.refresh()
            return registry.alias("doubles", "seen") is not None

        eventually(seen)
        _, second, _ = registry.versions("doubles")
        assert (second.metrics, second.dataset_id, promoted_of(registry)) == ({"auc": 0.9}, "d1", 2)
        scores = built.line("answers")

        def taken() -> bool:
            built.composition.models[0].follow()
            return scores.standing().version == "doubles/2"

        eventually(taken)
        built.publish("rows", {"x": [1.0, 2.0]}, partition=1)
        built.wait_for("answers", 4)
        assert [r["y"] for b in built.batches("answers") if b.partition == 1 for r in b.rows.to_pylist()] == [2.0, 4.0]
        assert {line.name: line.pump.status.why for line in built.composition.lines if line.pump.status.why} == {}
        assert built.rows("penstock.dead") == []


def test_an_event_handled_again_registers_nothing_again(tmp_path: Path) -> None:
    """The handler registers, waits for the answer, and dies before its commit; the second time it is given the same."""
    text = WORKFLOW.replace(
        '    models.promote("doubles", version)',
        '    if not (HERE / "once").exists():\n        (HERE / "once").touch()\n        __import__("os")._exit(3)\n'
        '    models.promote("doubles", version)',
    )
    for name, factor in (("first", 1.0), ("second", 2.0), ("third", 3.0)):
        (tmp_path / f"{name}.onnx").write_bytes(times(factor))
    with stack(tmp_path, text) as built:
        registry = built.composition.registry
        ask(built, "doubles", tmp_path / "first.onnx", "c1")
        ask(built, "challenger", tmp_path / "first.onnx", "c2")

        def promoted() -> bool:
            registry.refresh()
            return promoted_of(registry) == 2

        eventually(promoted)
        assert (tmp_path / "once").exists()
        assert len(registry.versions("doubles")) == 3


# -- what models answer -------------------------------------------------------

SCORE = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("score")

@dataclass
class Row:
    n: int
    x: float | None = None

@dataclass
class Answer:
    n: int
    y: float

rows = app.topic("rows", Row, partitions=1)
answers = app.topic("answers", Answer, partitions=1)
model = app.model("m", "{file}", outputs=["y"], {more})
app.score(rows, model, to=answers, keep=["n"])
"""


def leaf(default: float) -> bytes:
    """A tree that sends a missing value to a branch of its own: y = 1 for x < 0.5, 2 from there on, else default."""
    import lightgbm
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    x = np.repeat([[0.0], [1.0], [np.nan]], 50, axis=0)
    y = np.repeat([1.0, 2.0, default], 50)
    options = {
        "objective": "regression",
        "verbosity": -1,
        "min_data_in_leaf": 1,
        "learning_rate": 1.0,
        "num_threads": 1,
    }
    booster = lightgbm.train(options, lightgbm.Dataset(x, y), 3)
    model = onnxmltools.convert_lightgbm(booster, initial_types=[("input", FloatTensorType([None, 1]))])
    assert isinstance(model, onnx.ModelProto)
    return bytes(model.SerializeToString())


def test_a_missing_feature_is_scored_as_missing(tmp_path: Path) -> None:
    (tmp_path / "leaf.onnx").write_bytes(leaf(9.0))
    text = SCORE.replace("{file}", "leaf.onnx").replace("{more}", "inputs=['x']")
    with stack(tmp_path, text) as built:
        built.publish("rows", {"n": [0, 1, 2, 3], "x": [0.0, None, 1.0, None]})
        answers = {row["n"]: row["y"] for row in built.wait_for("answers", 4)}
        assert built.rows("penstock.dead") == []
    assert answers == pytest.approx({0: 1.0, 1: 9.0, 2: 2.0, 3: 9.0})


@pytest.mark.parametrize("kind", ["onnx", "python"])
def test_a_row_without_an_answer_is_dead_lettered_alone(tmp_path: Path, kind: str) -> None:
    """A missing feature times two is no number."""
    (tmp_path / "times.onnx").write_bytes(times(2.0))
    text = SCORE.replace("{file}", "times.onnx").replace("{more}", "inputs=['x']")
    if kind == "python":
        text = with_model(tmp_path, SCORE.replace("{file}", "doubles.txt").replace("{more}", "trust='sha256:{digest}'"))
    with stack(tmp_path, text) as built:
        xs = [float(n) if n not in (3, 77) else None for n in range(100)]
        built.publish("rows", {"n": list(range(100)), "x": xs})
        answers = {row["n"]: row["y"] for row in built.wait_for("answers", 98)}
        dead = built.wait_for("penstock.dead", 2)
    assert answers == {n: 2.0 * n for n in range(100) if n not in (3, 77)}
    assert sorted(row["data"] for row in dead) == ['{"n":3,"x":null}', '{"n":77,"x":null}']
    assert {row["error"] for row in dead} == {"PredictionInvalid"}
    assert all("'y' is null, NaN or infinite" in row["reason"] for row in dead)


# -- values that could not be read again --------------------------------------

TIMES = """
from dataclasses import dataclass
from datetime import datetime
import polars as pl
import penstock as ps

app = ps.App("times")

@dataclass
class Raw:
    id: int
    ts: int

@dataclass
class Made:
    id: int
    at: datetime
    all: list[datetime]

@dataclass
class Seen:
    id: int

raw = app.topic("raw", Raw, partitions=1)
made = app.topic("made", Made, partitions=1)
seen = app.topic("seen", Seen, partitions=1)

@app.on(raw, to=made)
def make(rows: pl.DataFrame) -> pl.DataFrame:
    at = pl.from_epoch("ts", time_unit="s")
    return rows.select("id", at=at, all=pl.concat_list(at))

@app.on(made, to=seen)
def each(event: Made) -> Seen:
    return Seen(event.id)
"""


def test_a_time_beyond_the_calendar_fails_its_row_where_it_is_made(tmp_path: Path) -> None:
    """Milliseconds taken for seconds. Stored, it would hold the next stage and every reader of the topic."""
    seconds = [1_704_067_200, 1_704_067_200_000, 1_704_067_201]
    with stack(tmp_path, TIMES, inline=True) as built:
        built.publish("raw", {"id": [1, 2, 3], "ts": seconds})
        assert sorted(row["id"] for row in built.wait_for("seen", 2)) == [1, 3]
        (dead,) = built.wait_for("penstock.dead", 1)
        readable = b"".join(to_json(batch, built.plan.topic("made"), "times") for batch in built.batches("made"))
    assert (dead["stage"], dead["data"]) == ("make", '{"id":2,"ts":1704067200000}')
    assert dead["reason"] == "field 'at': outside the years 1 to 9999"
    assert b"2024-01-01T00:00:00Z" in readable


# -- roll-backs ---------------------------------------------------------------

BEFORE = """
from dataclasses import dataclass
import polars as pl
import penstock as ps

app = ps.App("versions")

@dataclass
class Payment:
    id: int
    amount: float

@dataclass
class Seen:
    id: int
    columns: int

payments = app.topic("payments", Payment, partitions=1)
seen = app.topic("seen", Seen, partitions=1)

@app.on(payments, to=seen)
def look(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("id", columns=pl.lit(rows.width, pl.Int64).repeat_by(1).explode())
"""
AFTER = BEFORE.replace("    amount: float", "    amount: float\n    country: str | None = None").replace(
    "    columns: int", "    columns: int\n    tags: list[str] | None = None"
)


def test_the_version_before_runs_again_after_fields_were_added(tmp_path: Path) -> None:
    for version, text in enumerate((BEFORE, AFTER, BEFORE, AFTER)):
        folder = tmp_path / f"{version}"  # this process imports a file once
        folder.mkdir()
        with stack(folder, text, inline=True, data=tmp_path / "data") as built:
            more = {"country": ["NL"]} if text is AFTER else {}
            built.publish("payments", {"id": [version], "amount": [1.0], **more})
            seen = built.wait_for("seen", version + 1)
            rows = built.rows("payments")
    assert [(row["id"], row["columns"]) for row in seen] == [(0, 3), (1, 4), (2, 3), (3, 4)]  # _row is one
    assert [row["country"] for row in rows] == [None, "NL", None, "NL"]
    assert [row["tags"] for row in seen] == [None] * 4
