"""What every runner does. A test module derives from the class and gives the fixture ``runner``."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from penstock.declare.load import load
from penstock.declare.planning.build import resolve
from penstock.errors import (
    ArtifactDamaged,
    InputInvalid,
    ModelRefused,
    NotFound,
    PredictionInvalid,
    PredictionMisshapen,
    ResultMisshapen,
    TaskFailed,
)
from penstock.models.interface import ModelVersion, Signature
from penstock.plan.places import located
from penstock.plan.plan import Plan
from penstock.runner.handles import models
from penstock.runner.interface import Applied, Artifact, Runner, SetAlias

ZOO = load(str(Path(__file__).with_name("zoo.py")))
PLAN: Plan = located(  # its mistakes are what is tested here
    resolve(ZOO.app, target=ZOO.target, code=ZOO.code).plan, Path(__file__).parent
)
LIMIT = 10.0

TWICE = """
import polars as pl
class Twice:
    def predict(self, rows):
        return rows.select(y=pl.col("x") * FACTOR)
"""
SIGNATURE = Signature(pa.schema([("x", pa.float64())]), pa.schema([("y", pa.float64())]))


def given(*xs: int) -> pa.RecordBatch:
    names = pa.array([f"n{x}" for x in xs], pa.string())
    return pa.record_batch({"x": pa.array(xs, pa.int64()), "name": names, "_key": names})


def made(applied: Applied) -> list[tuple[int, int]]:
    """(parent, x) of each output."""
    if applied.rows is None:
        return []
    return list(zip(applied.parents.tolist(), applied.rows.column("x").to_pylist(), strict=True))


def model(folder: Path, number: int, body: str = TWICE, name: str | None = None) -> Artifact:
    """Of a model named after the test, as one runner serves many tests and a version never changes."""
    name = name or folder.name
    path = folder / f"{name}-{number}"
    path.write_text(body.replace("FACTOR", str(number)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Artifact(ModelVersion(name, number, digest, "python", SIGNATURE, 0, trusted=True), path)


def features(count: int = 3) -> pa.RecordBatch:
    return pa.record_batch({"x": np.arange(count, dtype=np.float64), "other": pa.nulls(count)})


class Shelf:
    """Services over a dict."""

    def __init__(self, artifacts: dict[str, Artifact] | None = None) -> None:
        self.artifacts = artifacts or {}
        self.registered: list[tuple[str, Path, dict[str, float], int]] = []

    def answer(self, handle: str, method: str, body: bytes) -> bytes:
        assert handle == models.NAME
        return models.answer(self, method, body)

    def resolve(self, ref: str) -> Artifact:
        if ref not in self.artifacts:
            raise NotFound(f"no model {ref}")
        return self.artifacts[ref]

    def register(
        self, name: str, artifact: Path, *, dataset_id: str | None, metrics: dict[str, float], nth: int
    ) -> int:
        self.registered.append((name, artifact, metrics, nth))
        return 7


def registered_event(version: int) -> pa.RecordBatch:
    text = f'{{"model": "m", "version": {version}, "dataset_id": null, "metrics": {{}}}}'
    return pa.record_batch({"json": [text], "_type": ["penstock.model.registered"]})


class RunnerContract:
    # -- functions of events --------------------------------------------------

    def test_one_or_no_output_an_event(self, runner: Runner) -> None:
        applied = runner.apply("one", given(3, -1, 5), timeout=LIMIT)
        assert made(applied) == [(0, 3), (2, 5)]
        assert applied.rows is not None and applied.rows.schema == PLAN.topic("target").schema

    def test_one_that_is_started_before_its_first_call(self, runner: Runner) -> None:
        runner.start()
        runner.start()
        assert made(runner.apply("one", given(3), timeout=LIMIT)) == [(0, 3)]

    def test_several_outputs_keep_their_parent(self, runner: Runner) -> None:
        assert made(runner.apply("several", given(2, 0, 1), timeout=LIMIT)) == [(0, 2), (0, 2), (2, 1)]

    def test_async_outputs_keep_the_order_and_failures_their_row(self, runner: Runner) -> None:
        applied = runner.apply("slow_first", given(0, 1, 13, 2, 3, 4), timeout=LIMIT)
        assert made(applied) == [(0, 0), (1, 1), (3, 2), (4, 3), (5, 4)]
        assert [(f.row, f.error) for f in applied.failures] == [(2, "ValueError")]

    def test_a_list_answers_one_each(self, runner: Runner) -> None:
        assert made(runner.apply("listed", given(1, 13, 2), timeout=LIMIT)) == [(0, 1), (2, 2)]

    def test_an_envelope_knows_its_place(self, runner: Runner) -> None:
        rows = given(1)
        rows = rows.append_column("_partition", pa.array([2], pa.int32()))
        rows = rows.append_column("_offset", pa.array([41], pa.int64()))
        applied = runner.apply("enveloped", rows, timeout=LIMIT)
        assert applied.rows is not None and applied.rows.to_pylist() == [{"x": 41, "double": 2.0}]

    def test_a_row_that_raises_fails_alone(self, runner: Runner) -> None:
        applied = runner.apply("raising", given(1, 13, 2), timeout=LIMIT)
        assert made(applied) == [(0, 1), (2, 2)]
        (failure,) = applied.failures
        assert (failure.row, failure.error, failure.reason) == (1, "ValueError", "thirteen")
        assert "zoo.py" in failure.traceback and not failure.rejected and not failure.transient

    def test_exit_is_the_rows_failure(self, runner: Runner) -> None:
        applied = runner.apply("exiting", given(1, 13, 2), timeout=LIMIT)
        assert made(applied) == [(0, 1), (2, 2)]
        assert "exit(enough)" in applied.failures[0].reason

    def test_an_error_without_a_message_that_can_be_made(self, runner: Runner) -> None:
        (failure,) = runner.apply("rude", given(13), timeout=LIMIT).failures
        assert failure.error == "Rude" and "RuntimeError" in failure.reason

    def test_a_lost_connection_is_transient(self, runner: Runner) -> None:
        applied = runner.apply("sink", given(1, 13), timeout=LIMIT)
        assert applied.rows is None
        assert [(f.row, f.transient) for f in applied.failures] == [(1, True)]

    def test_unavailable_fails_the_call(self, runner: Runner) -> None:
        with pytest.raises(TaskFailed, match="the warehouse is closed") as caught:
            runner.apply("unavailable", given(1, 13), timeout=LIMIT)
        assert caught.value.unavailable

    def test_an_output_of_the_wrong_type_fails_its_row(self, runner: Runner) -> None:
        applied = runner.apply("wrong_type", given(1, 13, 2), timeout=LIMIT)
        assert made(applied) == [(0, 1), (2, 2)]
        assert applied.failures[0].row == 1 and "double" in applied.failures[0].reason

    def test_what_numpy_and_pandas_hand_out_is_taken(self, runner: Runner) -> None:
        applied = runner.apply("scalars", given(1, 2), timeout=LIMIT)
        assert not applied.failures and applied.rows is not None
        assert applied.rows.to_pydict() == {"x": [1, 2], "double": [2.0, 4.0]}

    # -- functions of frames --------------------------------------------------

    def test_a_frame_with_a_resource(self, runner: Runner) -> None:
        applied = runner.apply("frame", given(1, 2), timeout=LIMIT)
        assert applied.rows is not None
        assert applied.rows.to_pydict() == {"x": [1, 2], "double": [1002.0, 1004.0]}

    def test_fields_that_a_later_version_added_are_not_given(self, runner: Runner) -> None:
        rows = given(5, 6).append_column("later", pa.array([1.5, None]))
        assert made(runner.apply("arrow", rows, timeout=LIMIT)) == [(0, 5), (1, 6)]
        applied = runner.apply("columns", rows, timeout=LIMIT)
        assert applied.rows is not None and applied.rows.column("x").to_pylist() == [3, 3]  # with _row

    def test_without_rows_the_code_is_not_asked(self, runner: Runner) -> None:
        for stage in ("one", "frame", "listed", "thinned"):
            applied = runner.apply(stage, pa.record_batch({}), timeout=LIMIT)
            assert applied.rows is None and len(applied.parents) == 0 and not applied.failures

    def test_rows_keep_their_parent_in_any_order(self, runner: Runner) -> None:
        assert made(runner.apply("thinned", given(1, 2, 3, 4), timeout=LIMIT)) == [(3, 4), (1, 2)]

    def test_arrow(self, runner: Runner) -> None:
        assert made(runner.apply("arrow", given(5, 6), timeout=LIMIT)) == [(0, 5), (1, 6)]

    def test_rejected_rows_fail_and_the_rest_runs(self, runner: Runner) -> None:
        applied = runner.apply("rejecting", given(1, 13, 2), timeout=LIMIT)
        assert made(applied) == [(0, 1), (2, 2)]
        assert [(f.row, f.reason, f.rejected) for f in applied.failures] == [(1, "unlucky", True)]

    def test_all_rows_rejected(self, runner: Runner) -> None:
        applied = runner.apply("rejecting", given(13, 13), timeout=LIMIT)
        assert made(applied) == [] and [f.row for f in applied.failures] == [0, 1]

    def test_a_null_where_a_value_must_be_fails_its_row(self, runner: Runner) -> None:
        applied = runner.apply("nulls", given(1, 13, 2), timeout=LIMIT)
        assert made(applied) == [(0, 1), (2, 2)]
        assert [f.row for f in applied.failures] == [1]

    def test_a_nan_where_a_value_must_be_fails_its_row(self, runner: Runner) -> None:
        applied = runner.apply("nans", given(1, 13, 2), timeout=LIMIT)
        assert made(applied) == [(0, 1), (2, 2)]
        assert [(f.row, f.error) for f in applied.failures] == [(1, "ResultInvalid")]
        assert "field 'double': NaN or infinity, and it is not optional" in applied.failures[0].reason

    def test_a_target_without_columns_gets_json(self, runner: Runner) -> None:
        applied = runner.apply("untyped", given(1), timeout=LIMIT)
        assert applied.rows is not None
        assert applied.rows.to_pydict() == {"json": ['{"x":1,"text":"é"}']}

    def test_a_column_of_another_type_fails_the_call(self, runner: Runner) -> None:
        with pytest.raises(TaskFailed, match=r"column 'double' as .*string; its topic has double") as caught:
            runner.apply("wrong_column", given(1, 2, 3), timeout=LIMIT)
        assert caught.value.error == "ResultInvalid" and not caught.value.unavailable

    @pytest.mark.parametrize(
        ("stage", "said"),
        [
            ("wrong_count", r"returned 1 rows for 3 without '_row': keep the column '_row'"),
            ("wrong_row", r"'_row' 3, which is no row"),
            ("wrong_length", r"returned 1 results for 3 events: return one for each"),
            ("wrong_kind", r"returned dict; it writes to 'target', so return a frame"),
        ],
    )
    def test_rows_that_cannot_be_told_to_events_are_the_functions_fault(
        self, runner: Runner, stage: str, said: str
    ) -> None:
        with pytest.raises(ResultMisshapen, match=said):
            runner.apply(stage, given(1, 2, 3), timeout=LIMIT)

    def test_a_prediction_of_other_rows_is_the_models_fault(self, runner: Runner, tmp_path: Path) -> None:
        body = TWICE.replace("rows.select(", "rows.head(1).select(")
        with pytest.raises(PredictionMisshapen, match="1 rows for 3"):
            runner.predict(model(tmp_path, 1, body), features(), timeout=LIMIT)

    def test_a_frame_kept_by_the_user_does_not_change(self, runner: Runner) -> None:
        runner.apply("keeping", given(1, 2), timeout=LIMIT)
        assert made(runner.apply("keeping", given(8, 9), timeout=LIMIT)) == [(0, 1), (1, 2)]

    def test_an_unknown_stage(self, runner: Runner) -> None:
        with pytest.raises(TaskFailed, match="no function 'nobody'"):
            runner.apply("nobody", given(1), timeout=LIMIT)

    # -- ps.Models ------------------------------------------------------------

    def test_registering_and_promoting(self, runner: Runner) -> None:
        shelf = Shelf()
        applied = runner.apply("registered", registered_event(1), timeout=LIMIT, services=shelf)
        assert applied.commands == [SetAlias("m", "champion", 7)]
        assert [(name, metrics, nth) for name, _, metrics, nth in shelf.registered] == [
            ("m", {"n": 1.0}, 0),
            ("m", {}, 1),
        ]

    def test_an_event_that_fails_moves_no_alias(self, runner: Runner) -> None:
        applied = runner.apply("registered", registered_event(13), timeout=LIMIT, services=Shelf())
        assert [f.row for f in applied.failures] == [0] and list(applied.commands) == []

    def test_loading_a_model(self, runner: Runner, tmp_path: Path) -> None:
        shelf = Shelf({"m@champion": model(tmp_path, 2)})
        assert not runner.apply("loading", registered_event(1), timeout=LIMIT, services=shelf).failures

    def test_a_model_that_is_not_there(self, runner: Runner) -> None:
        (failure,) = runner.apply("loading", registered_event(1), timeout=LIMIT, services=Shelf()).failures
        assert (failure.error, failure.reason) == ("NotFound", "no model m@champion")

    @pytest.mark.parametrize(("stage", "asked"), [("deleting", "delete"), ("rummaging", "mdrop")])
    def test_what_a_handle_does_not_do(self, runner: Runner, stage: str, asked: str) -> None:
        """The event fails as by any error, and the next one finds everything as it was."""
        (failure,) = runner.apply(stage, registered_event(1), timeout=LIMIT, services=Shelf()).failures
        assert failure.error == "NotOffered" and f"ps.Models has no '{asked}'" in failure.reason
        assert not runner.apply("registered", registered_event(1), timeout=LIMIT, services=Shelf()).failures

    def test_without_a_registry(self, runner: Runner) -> None:
        with pytest.raises(TaskFailed, match="no registry can be reached") as caught:
            runner.apply("loading", registered_event(1), timeout=LIMIT)
        assert caught.value.unavailable

    # -- models ---------------------------------------------------------------

    def test_two_versions_side_by_side(self, runner: Runner, tmp_path: Path) -> None:
        second, third = model(tmp_path, 2), model(tmp_path, 3)
        for artifact, factor in ((second, 2), (third, 3), (second, 2)):
            answer = runner.predict(artifact, features(), timeout=LIMIT)
            assert answer.to_pydict() == {"y": [0.0, 1.0 * factor, 2.0 * factor]}

    def test_without_rows_a_model_is_loaded(self, runner: Runner, tmp_path: Path) -> None:
        artifact = model(tmp_path, 2, TWICE.replace("return", "assert rows.height\n        return"))
        assert runner.predict(artifact, features(0), timeout=LIMIT).schema == SIGNATURE.outputs
        artifact.path.unlink()
        assert runner.predict(artifact, features(2), timeout=LIMIT).column("y").to_pylist() == [0.0, 2.0]

    def test_many_versions(self, runner: Runner, tmp_path: Path) -> None:
        artifacts = [model(tmp_path, number) for number in range(1, 7)]
        for artifact in artifacts + artifacts:
            answer = runner.predict(artifact, features(2), timeout=LIMIT)
            assert answer.column("y").to_pylist() == [0.0, float(artifact.version.version)]

    def test_damaged_bytes_are_not_loaded(self, runner: Runner, tmp_path: Path) -> None:
        artifact = model(tmp_path, 2)
        artifact.path.write_text(artifact.path.read_text() + "#")
        with pytest.raises(ArtifactDamaged):
            runner.predict(artifact, features(), timeout=LIMIT)

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            ('rows.select(y=pl.lit(float("nan")).repeat_by(1).explode()).head(1)', "1 rows for 3"),
            ('rows.select(y=pl.col("x") * float("nan"))', "NaN"),
            ('rows.select(y=pl.col("x").cast(pl.Int64))', "int64"),
            ('rows.select(z=pl.col("x"))', "columns"),
        ],
    )
    def test_a_wrong_prediction(self, runner: Runner, tmp_path: Path, answer: str, said: str) -> None:
        body = TWICE.replace('rows.select(y=pl.col("x") * FACTOR)', answer)
        with pytest.raises(PredictionInvalid, match=said):
            runner.predict(model(tmp_path, 1, body), features(), timeout=LIMIT)

    def test_a_model_that_raises(self, runner: Runner, tmp_path: Path) -> None:
        body = TWICE.replace("return", "raise ValueError('no')\n        return")
        with pytest.raises(TaskFailed, match="ValueError: no"):
            runner.predict(model(tmp_path, 1, body), features(), timeout=LIMIT)

    def test_rows_that_a_model_cannot_read(self, runner: Runner, tmp_path: Path) -> None:
        raises = "from penstock.errors import InputInvalid; raise InputInvalid('no such x', [1, 2])"
        body = f"class M:\n    def predict(self, rows):\n        {raises}"
        with pytest.raises(InputInvalid, match="no such x, in row 1 and 1 more") as said:
            runner.predict(model(tmp_path, 1, body), features(), timeout=LIMIT)
        assert said.value.rows == [1, 2]

    def test_a_model_that_exits(self, runner: Runner, tmp_path: Path) -> None:
        body = TWICE.replace("return", "raise SystemExit(3)\n        return")
        with pytest.raises(TaskFailed, match="SystemExit"):
            runner.predict(model(tmp_path, 1, body), features(), timeout=LIMIT)

    def test_inspecting(self, runner: Runner, tmp_path: Path) -> None:
        artifact = model(tmp_path, 2)
        columns = pa.schema([("x", pa.float64())])
        found = runner.inspect(
            artifact.path, name="twice.py", inputs=columns, outputs=["y"], trusted=True, timeout=LIMIT
        )
        assert found[0] == "python" and found[1].outputs.names == ["y"]

    def test_code_that_nobody_trusts(self, runner: Runner, tmp_path: Path) -> None:
        with pytest.raises(ModelRefused, match="trust"):
            runner.inspect(
                model(tmp_path, 2).path, name="twice.py", inputs=None, outputs=["y"], trusted=False, timeout=LIMIT
            )

    def test_close_is_harmless_twice(self, runner: Runner) -> None:
        runner.apply("one", given(1), timeout=LIMIT)
        runner.close()
        runner.close()
