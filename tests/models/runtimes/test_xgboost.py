"""XGBoost in its own formats: the numbers of the library, and nothing for its native parser that would harm it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.runtimes.conftest import X, Y

from penstock.errors import InputInvalid, ModelRefused
from penstock.models.interface import Runtime
from penstock.models.runtimes import choose, ubjson
from penstock.models.runtimes.xgboost import XgboostRuntime, read_document
from penstock.testing.runtime_contract import OFFER, RuntimeContract

Keep = Callable[..., Path]
FORMATS = ["json", "ubj"]


def trained(target: Any = Y, **options: Any) -> xgboost.Booster:
    return xgboost.train({"nthread": 1, "seed": 1, **options}, xgboost.DMatrix(X, target), 10)


def raw(booster: xgboost.Booster, kind: str = "ubj") -> bytes:
    return bytes(booster.save_raw(kind))


def batch(values: Any = X) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(column) for column in np.asarray(values).T], list("abc"))


def scored(artifact: Path, outputs: list[str], rows: pa.RecordBatch, offer: pa.Schema = OFFER) -> np.ndarray:
    runtime, signature = choose.inspect(artifact, name="m", inputs=offer, outputs=outputs, trusted=False)
    assert runtime == "xgboost"
    answer = choose.load(runtime, artifact, signature, trusted=False, name="m/1").predict(rows)
    return np.stack([column.to_numpy() for column in answer.columns], axis=1)


class TestXgboostUbj(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return XgboostRuntime()

    @pytest.fixture
    def artifact(self, keep: Keep) -> Path:
        data, runtime = choose.serialise(trained())
        assert runtime == "xgboost"
        return keep(data)


class TestXgboostJson(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return XgboostRuntime()

    @pytest.fixture
    def artifact(self, keep: Keep) -> Path:
        return keep(raw(trained(), "json"))


CLASSES = (X[:, 0] * 3).astype(int)
OBJECTIVES: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "reg:squarederror": (Y, {}, ["y"]),
    "binary:logistic": (Y > 1, {}, ["p"]),
    "binary:hinge": (Y > 1, {}, ["p"]),
    "multi:softprob": (CLASSES, {"num_class": 3}, ["x", "y", "z"]),
    "multi:softmax": (CLASSES, {"num_class": 3}, ["class"]),
    "rank:ndcg": (CLASSES, {}, ["score"]),
    "count:poisson": (CLASSES, {}, ["n"]),
    "reg:quantileerror": (Y, {"quantile_alpha": np.array([0.1, 0.9])}, ["low", "high"]),
    "two targets": (np.c_[Y, -Y], {"objective": "reg:squarederror"}, ["u", "v"]),
    "gblinear": (Y, {"booster": "gblinear", "objective": "reg:squarederror"}, ["y"]),
    "dart": (Y, {"booster": "dart", "objective": "reg:squarederror"}, ["y"]),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_answers_are_those_of_a_dmatrix(keep: Keep, objective: str, kind: str) -> None:
    target, options, names = OBJECTIVES[objective]
    booster = trained(target, **{"objective": objective, **options})
    rows = np.random.default_rng(3).normal(size=(500, 3))
    rows[::7, 1] = np.nan
    wanted = booster.predict(xgboost.DMatrix(rows)).reshape(len(rows), -1)
    assert scored(keep(raw(booster, kind)), names, batch(rows)) == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_two_classes_and_one_name_is_the_second(keep: Keep) -> None:
    booster = trained(Y > 1, objective="multi:softprob", num_class=2)
    wanted = booster.predict(xgboost.DMatrix(X))[:, 1:]
    assert scored(keep(raw(booster)), ["p"], batch()) == pytest.approx(wanted, abs=1e-6)


def test_two_targets_and_one_name_are_refused(keep: Keep) -> None:
    with pytest.raises(ModelRefused, match=r"answers 'prediction' \(2 a row\); .* name one column for each"):
        scored(keep(raw(trained(np.c_[Y, -Y]))), ["y"], batch())


def test_the_names_it_was_fitted_with_are_its_inputs_in_their_order(keep: Keep) -> None:
    data = xgboost.DMatrix(X, Y, feature_names=["c", "a", "b"])
    booster = xgboost.train({"nthread": 1}, data, 5)
    rows = pa.RecordBatch.from_arrays([pa.array(X[:, n]) for n in (1, 2, 0)], list("abc"))
    assert scored(keep(raw(booster)), ["y"], rows)[:, 0] == pytest.approx(booster.predict(data), abs=1e-6)
    with pytest.raises(ModelRefused, match="names input 'a', 'b'"):
        scored(keep(raw(booster)), ["y"], rows, pa.schema([("c", "f8"), ("d", "f8")]))


def test_an_estimator_answers_as_itself(keep: Keep) -> None:
    """It stops at the best of its rounds; its booster alone would take them all."""
    noise = np.random.default_rng(5).random(len(X)) > 0.5
    estimator = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=1.0, n_jobs=1)
    estimator.fit(X, Y > 1, eval_set=[(X, noise)], verbose=False)
    assert estimator.best_iteration + 1 < estimator.get_booster().num_boosted_rounds()
    data, runtime = choose.serialise(estimator)
    assert runtime == "xgboost"
    assert scored(keep(data), ["p"], batch())[:, 0] == pytest.approx(estimator.predict_proba(X)[:, 1], abs=1e-6)


def test_beyond_float32_is_the_rows_fault(keep: Keep) -> None:
    with pytest.raises(InputInvalid, match=r"column 'b' has a value that is no float, .*, in row 1"):
        scored(keep(raw(trained())), ["y"], batch([[1.0, 1, 1], [1, 1e300, 1]]))


def test_one_thread(keep: Keep) -> None:
    artifact = keep(raw(trained()))
    model = XgboostRuntime().load(artifact, XgboostRuntime().inspect(artifact, inputs=OFFER, outputs=["y"]))
    assert json.loads(model._booster.save_config())["learner"]["generic_param"]["nthread"] == "1"


# -- categories ---------------------------------------------------------------


def frame() -> pd.DataFrame:
    chosen = np.random.default_rng(2)
    kind = pd.Categorical(chosen.choice(["x", "y", "z"], 800))
    return pd.DataFrame({"a": chosen.random(800), "kind": kind, "month": pd.Categorical(chosen.integers(1, 13, 800))})


TARGET = frame()["kind"].map({"x": 5.0, "y": -3.0, "z": 0.0}).astype(float) + frame()["month"].astype(int) % 5
SOURCE = pa.schema([("kind", "string"), ("month", "int64"), ("a", "f8")])


@pytest.mark.parametrize("kind", FORMATS)
def test_categories_are_read_by_their_values(keep: Keep, kind: str) -> None:
    data = xgboost.DMatrix(frame(), TARGET, enable_categorical=True)
    booster = xgboost.train({"nthread": 1}, data, 20)
    plain = frame().astype({"kind": str, "month": int})
    rows = pa.RecordBatch.from_pydict({"month": plain["month"], "a": plain["a"], "kind": plain["kind"].tolist()})
    artifact = keep(raw(booster, kind))
    assert scored(artifact, ["y"], rows, SOURCE)[:, 0] == pytest.approx(booster.predict(data), abs=1e-6)
    strange = pa.RecordBatch.from_pydict({"month": [1, 13], "a": [0.5, 0.5], "kind": ["x", "x"]})
    with pytest.raises(InputInvalid, match=r"column 'month' holds '13', none of the 12 values .* in row 1"):
        scored(artifact, ["y"], strange, SOURCE)
    missing = pa.RecordBatch.from_pydict({"month": pa.array([None], "i8"), "a": [0.5], "kind": ["x"]})
    assert np.isfinite(scored(artifact, ["y"], missing, SOURCE)).all()


def test_a_file_too_old_to_hold_its_categories_is_refused(keep: Keep) -> None:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(frame(), TARGET, enable_categorical=True), 3)
    document = json.loads(raw(booster, "json"))
    document["version"] = [3, 0, 5]
    document["learner"]["gradient_booster"]["model"].pop("cats")
    with pytest.raises(ModelRefused, match=r"which values their codes stand for: .* XGBoost 3\.1 or newer"):
        scored(keep(json.dumps(document).encode()), ["y"], batch(), SOURCE)


# -- what is no model, or worse -----------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"learner": {}}', "not a whole XGBoost model: Object missing required field"),
        (b'{"learner": {"learner_model_param": 5}, "version": [3, 2, 0]}', "not a whole XGBoost model"),
        (b'{"learner": ' + b"[" * 100_000, "not a whole XGBoost model"),
        (b'{"learner": {"a": ' + b'{"a":' * 100_000, "not a whole XGBoost model"),
        (b'{"version": [3, 2, 0], "learner": {"gradient_booster"', "not a whole XGBoost model"),
        (b"{L\0\0\0\0\0\0\0\x07learner{" + b"[" * 100_000, "the UBJSON document|not a UBJSON document|no length"),
        (b"{L\0\0\0\0\0\0\0\x07learner[" + b"[" * 100_000, "UBJSON document more than 64 deep"),
        (b"{L\0\0\0\0\0\0\0\x07learner[$d#L\x7f" + b"\xff" * 7, "ends at byte .* in the middle of a value"),
        (b"{L\0\0\0\0\0\0\0\x07learner[$Z#L\0\0\0\0\x7f\xff\xff\xff", "in the middle of a value"),
        (b"{L\0\0\0\0\0\0\0\x07learner[#L\xff" + b"\xff" * 7, "a UBJSON length of -1"),
    ],
)
def test_nothing_harmful_reaches_the_native_parser(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, data: bytes, says: str
) -> None:
    monkeypatch.setattr(xgboost.Booster, "load_model", lambda *given: pytest.fail("it was parsed natively"))
    with pytest.raises(ModelRefused, match=says):
        choose.inspect(keep(data), name="m.json", inputs=OFFER, outputs=["y"], trusted=False)


@pytest.mark.parametrize("features", ["0", "1000001", "99999999999999999999", "-1", "many"])
def test_a_number_of_columns_that_makes_no_sense(keep: Keep, features: str) -> None:
    document = json.loads(raw(trained(), "json"))
    document["learner"]["learner_model_param"]["num_feature"] = features
    with pytest.raises(ModelRefused, match="XGBoost model"):
        choose.inspect(keep(json.dumps(document).encode()), name="m", inputs=OFFER, outputs=["y"], trusted=False)


@pytest.mark.parametrize("answers", [{"num_class": "1000000000"}, {"num_target": "100001"}, {"num_class": "-5"}])
def test_a_number_of_answers_that_makes_no_sense(keep: Keep, answers: dict[str, str]) -> None:
    document = json.loads(raw(trained(), "json"))
    document["learner"]["learner_model_param"] |= answers
    with pytest.raises(ModelRefused, match="values a row; 100000 are the most"):
        choose.inspect(keep(json.dumps(document).encode()), name="m", inputs=OFFER, outputs=["y"], trusted=False)


def test_a_best_round_that_it_does_not_have(keep: Keep) -> None:
    document = json.loads(raw(trained(), "json"))
    document["learner"]["attributes"] = {"best_iteration": "9000", "scikit_learn": "{}"}
    with pytest.raises(ModelRefused, match="the model failed on a trial of 5 rows"):
        choose.inspect(keep(json.dumps(document).encode()), name="m", inputs=OFFER, outputs=["y"], trusted=False)


@settings(max_examples=150, deadline=None)
@given(st.integers(0), st.integers(0, 255), st.sampled_from(FORMATS))
def test_a_changed_byte_is_read_or_refused(place: int, value: int, kind: str) -> None:
    data = bytearray(SAMPLES[kind])
    data[place % len(data)] = value
    try:
        read_document(bytes(data))
    except ModelRefused:
        pass


@settings(max_examples=150, deadline=None)
@given(st.integers(0), st.sampled_from(FORMATS))
def test_a_cut_file_is_refused(place: int, kind: str) -> None:
    with pytest.raises(ModelRefused, match=r"XGBoost|UBJSON"):
        read_document(SAMPLES[kind][: place % len(SAMPLES[kind])])


SAMPLES = {kind: raw(trained(), kind) for kind in FORMATS}

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(plain)
def test_ubjson_is_read_as_it_was_written(document: Any) -> None:
    assert ubjson.read(written(document)) == document


def written(value: Any) -> bytes:
    if value is None:
        return b"Z"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"D" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"S" + counted(value)
    if isinstance(value, list):
        return b"[" + b"".join(map(written, value)) + b"]"
    return b"{" + b"".join(counted(name) + written(item) for name, item in value.items()) + b"}"


def counted(text: str) -> bytes:
    data = text.encode()
    return b"L" + struct.pack(">q", len(data)) + data
