"""The LightGBM runtime, and its parity with the same trees in ONNX."""

from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import pyarrow as pa
import pytest

from penstock.errors import ModelRefused
from penstock.models.interface import Runtime
from penstock.models.packing import Packer
from penstock.models.runtimes import choose
from penstock.models.runtimes.lightgbm import LightgbmRuntime
from penstock.testing.runtime_contract import OFFER, RuntimeContract

from .conftest import X

Keep = Callable[..., Path]


class TestLightgbm(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return LightgbmRuntime()

    @pytest.fixture
    def artifact(self, keep: Keep, booster: lightgbm.Booster) -> Path:
        data, runtime = choose.serialise(booster)
        assert runtime == "lightgbm"
        return keep(data)


def test_the_names_it_was_fitted_with_are_its_inputs(keep: Keep) -> None:
    named = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(X, X[:, 0], feature_name=["c", "a", "b"]), 2)
    artifact = keep(choose.serialise(named)[0])
    assert LightgbmRuntime().inspect(artifact, inputs=OFFER, outputs=["y"]).inputs.names == ["c", "a", "b"]
    with pytest.raises(ModelRefused, match=r"names input 'a', 'b', and the columns on offer are 'c', 'd'; write"):
        LightgbmRuntime().inspect(artifact, inputs=pa.schema([("c", "f8"), ("d", "f8")]), outputs=["y"])


def test_an_estimator_is_stored_by_its_booster(keep: Keep) -> None:
    estimator = lightgbm.LGBMClassifier(n_estimators=3, verbosity=-1, n_jobs=1).fit(X, X[:, 0] > 0.5)
    data, runtime = choose.serialise(estimator)
    assert runtime == "lightgbm"
    assert LightgbmRuntime().inspect(keep(data), inputs=OFFER, outputs=["p"]).outputs.names == ["p"]


def test_several_classes_are_several_columns(keep: Keep) -> None:
    classes = (X[:, 0] * 3).astype(int)
    options = {"objective": "multiclass", "num_class": 3, "verbosity": -1}
    artifact = keep(choose.serialise(lightgbm.train(options, lightgbm.Dataset(X, classes), 2))[0])
    signature = LightgbmRuntime().inspect(artifact, inputs=OFFER, outputs=["x", "y", "z"])
    answer = LightgbmRuntime().load(artifact, signature).predict(pa.RecordBatch.from_arrays(list(X.T), list("abc")))
    assert np.sum([answer.column(n).to_numpy() for n in range(3)], axis=0) == pytest.approx(np.ones(len(X)))
    with pytest.raises(ModelRefused, match="3 a row"):
        LightgbmRuntime().inspect(artifact, inputs=OFFER, outputs=["x"])


def test_the_same_trees_answer_alike_in_onnx(keep: Keep, booster: lightgbm.Booster, graph: onnx.ModelProto) -> None:
    rows = np.random.default_rng(1).random((2_000, 3)).astype(np.float32).astype(np.float64)
    rows[::7, 1] = np.nan
    batch = pa.RecordBatch.from_arrays(list(rows.T), list("abc"))
    answers = []
    for model in (booster, graph):
        artifact = keep(choose.serialise(model)[0], type(model).__name__)
        name, signature = choose.inspect(artifact, name="m", inputs=OFFER, outputs=["y"], trusted=False)
        answers.append(choose.load(name, artifact, signature, trusted=False, name="m/1").predict(batch).column(0))
    assert np.abs(answers[0].to_numpy() - answers[1].to_numpy()).max() <= 1e-4
    assert Packer(np.float32)(batch).dtype == np.float32
