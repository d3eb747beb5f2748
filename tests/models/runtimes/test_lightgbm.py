"""The LightGBM runtime, and its parity with the same trees in ONNX."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
from tests.models.runtimes.conftest import X

from penstock.errors import ModelRefused
from penstock.models.interface import Runtime
from penstock.models.packing import Packer
from penstock.models.runtimes import choose
from penstock.models.runtimes import lightgbm as lightgbm_runtime
from penstock.models.runtimes.categories import Categories
from penstock.models.runtimes.lightgbm import LightgbmRuntime
from penstock.testing.runtime_contract import OFFER, RuntimeContract

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


# -- categories of a pandas frame ---------------------------------------------


MONTHS = pd.DataFrame({"month": np.tile(np.arange(1, 13), 60), "d": np.random.default_rng(4).normal(size=720)})
EFFECT = np.where(MONTHS["month"] == 1, 50.0, np.where(MONTHS["month"] == 2, -50.0, MONTHS["month"])) + MONTHS["d"]
OPTIONS = {"verbosity": -1, "num_threads": 1, "min_data_per_group": 1, "cat_smooth": 0, "cat_l2": 0}
LISTED = {
    "integers": MONTHS["month"] * 1,
    "texts": MONTHS["month"].map("m{:02}".format),
    "floats": MONTHS["month"] / 4,
    "booleans": MONTHS["month"] < 7,
}


def fitted(values: "pd.Series[Any]", **more: Any) -> tuple[lightgbm.Booster, pd.DataFrame]:
    frame = MONTHS.assign(month=pd.Categorical(values), **more)
    return lightgbm.train(OPTIONS, lightgbm.Dataset(frame, EFFECT), 20), frame


@pytest.mark.parametrize("name", LISTED)
def test_a_category_is_scored_as_the_value_that_it_is(keep: Keep, name: str) -> None:
    """The file's categories are codes to LightGBM; a value taken for a code is another category."""
    booster, frame = fitted(LISTED[name])
    plain = pa.array(LISTED[name].tolist())
    rows = pa.RecordBatch.from_arrays([plain, pa.array(MONTHS["d"])], ["month", "d"])
    runtime, signature = choose.inspect(
        keep(choose.serialise(booster)[0]), name="m", inputs=rows.schema, outputs=["y"], trusted=False
    )
    assert signature.inputs == pa.schema([("month", plain.type), ("d", "f8")])
    model = choose.load(runtime, keep(choose.serialise(booster)[0]), signature, trusted=False, name="m/1")
    assert model.predict(rows)["y"].to_numpy() == pytest.approx(booster.predict(frame), abs=1e-9)
    lacking = pa.RecordBatch.from_arrays([pa.nulls(720, plain.type), rows["d"]], ["month", "d"])
    assert model.predict(lacking)["y"].to_numpy() == pytest.approx(
        booster.predict(frame.assign(month=pd.Categorical([None] * 720, categories=frame["month"].cat.categories)))
    )


def test_a_value_that_was_never_seen_is_missing_as_in_lightgbm(keep: Keep) -> None:
    booster, frame = fitted(LISTED["integers"])
    unseen = frame.head(1).assign(month=pd.Categorical([99]), d=0.0)
    artifact = keep(choose.serialise(booster)[0])
    source = pa.schema([("month", "int64"), ("d", "f8")])
    signature = LightgbmRuntime().inspect(artifact, inputs=source, outputs=["y"])
    answer = (
        LightgbmRuntime().load(artifact, signature).predict(pa.RecordBatch.from_pydict({"month": [99], "d": [0.0]}))
    )
    assert answer["y"].to_pylist() == pytest.approx(booster.predict(unseen))


@pytest.mark.parametrize(
    "more",
    [
        {"size": pd.Categorical(np.where(MONTHS["d"] > 0, 2, 1), ordered=True)},
        {"half": MONTHS["month"].to_numpy() - 1},
    ],
    ids=["an ordered category, which is no categorical feature", "a column that could be the one with the list"],
)
def test_lists_that_belong_to_nobody_knows_whom_are_refused(keep: Keep, more: dict[str, Any]) -> None:
    booster, _ = fitted(LISTED["integers"], **more)
    with pytest.raises(ModelRefused, match="its file does not say which columns they were; fit it on the codes"):
        LightgbmRuntime().inspect(keep(choose.serialise(booster)[0]), inputs=None, outputs=["y"])


def test_the_coding_is_tested(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, month 1 is scored as the category with code 1, which is February."""
    booster, frame = fitted(LISTED["integers"])
    monkeypatch.setattr(lightgbm_runtime, "categories_of", lambda booster: Categories())
    artifact = keep(choose.serialise(booster)[0])
    source = pa.schema([("month", "int64"), ("d", "f8")])
    signature = LightgbmRuntime().inspect(artifact, inputs=source, outputs=["y"])
    rows = pa.RecordBatch.from_pydict({"month": MONTHS["month"].tolist(), "d": MONTHS["d"].tolist()})
    answer = LightgbmRuntime().load(artifact, signature).predict(rows)["y"].to_numpy()
    assert np.abs(answer - booster.predict(frame)).max() > 50


# -- half a file, and worse ---------------------------------------------------


@pytest.mark.parametrize("keep_share", [0.2, 0.5, 0.9])
def test_a_file_whose_middle_is_gone_never_reaches_the_native_parser(
    keep: Keep, booster: lightgbm.Booster, monkeypatch: pytest.MonkeyPatch, keep_share: float
) -> None:
    """It would end the process, and with it whoever only looked at the file."""
    text = booster.model_to_string()
    cut = text[: int(len(text) * keep_share)] + "\nend of trees\n"
    monkeypatch.setattr(lightgbm, "Booster", lambda *given, **named: pytest.fail("it was parsed natively"))
    with pytest.raises(ModelRefused, match=r"not a whole LightGBM model: tree .* is not where|last tree does not end"):
        LightgbmRuntime().inspect(keep(cut.encode()), inputs=OFFER, outputs=["y"])


def test_lines_that_end_as_on_windows_are_read(keep: Keep, booster: lightgbm.Booster) -> None:
    artifact = keep(booster.model_to_string().replace("\n", "\r\n").encode())
    signature = LightgbmRuntime().inspect(artifact, inputs=OFFER, outputs=["y"])
    answer = LightgbmRuntime().load(artifact, signature).predict(pa.RecordBatch.from_arrays(list(X.T), list("abc")))
    assert answer["y"].to_numpy() == pytest.approx(booster.predict(X))


def test_more_classes_than_anybody_has(keep: Keep, booster: lightgbm.Booster) -> None:
    text = booster.model_to_string().replace("num_class=1", "num_class=2000000000")
    with pytest.raises(ModelRefused, match="says that it has 2000000000 classes; 100000 are the most"):
        LightgbmRuntime().inspect(keep(text.encode()), inputs=OFFER, outputs=["y"])


def test_more_trees_a_round_than_there_are(keep: Keep, booster: lightgbm.Booster) -> None:
    text = booster.model_to_string().replace("num_tree_per_iteration=1", "num_tree_per_iteration=2000000000")
    with pytest.raises(ModelRefused, match=r"says that it has 2000000000 trees a round|not a model that LightGBM"):
        LightgbmRuntime().inspect(keep(text.encode()), inputs=OFFER, outputs=["y"])


@pytest.mark.parametrize("lists", ["[[1,2]]", "[" * 100_000, '{"a":1}', "5", '["a"]', '[[1,"a"]]', "[[[1]]]"])
def test_a_list_of_categories_that_is_none(keep: Keep, booster: lightgbm.Booster, lists: str) -> None:
    text = booster.model_to_string().replace("pandas_categorical:null", "pandas_categorical:" + lists)
    with pytest.raises(ModelRefused):
        LightgbmRuntime().inspect(keep(text.encode()), inputs=OFFER, outputs=["y"])
