"""scikit-learn by skops, and by pickle only where the digest is trusted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder
from tests.models.runtimes.conftest import X

from penstock.errors import ModelRefused
from penstock.models.interface import Runtime
from penstock.models.runtimes import choose
from penstock.models.runtimes.sklearn import PickleRuntime, SkopsRuntime
from penstock.testing.runtime_contract import OFFER, RuntimeContract

Keep = Callable[..., Path]


class TestSkops(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return SkopsRuntime(False)

    @pytest.fixture
    def artifact(self, keep: Keep, linear: LinearRegression) -> Path:
        data, runtime = choose.serialise(linear)
        assert runtime == "sklearn"
        return keep(data)


class TestPickle(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return PickleRuntime(True)

    @pytest.fixture
    def artifact(self, tmp_path: Path, linear: LinearRegression) -> Path:
        joblib.dump(linear, tmp_path / "m")
        return tmp_path / "m"


def test_trees_load_without_trust_and_answer_a_probability(
    keep: Keep, classifier: HistGradientBoostingClassifier
) -> None:
    artifact = keep(choose.serialise(classifier)[0])
    signature = SkopsRuntime(False).inspect(artifact, inputs=OFFER, outputs=["p"])
    model = choose.load("sklearn", artifact, signature, trusted=False, name="m/1")
    answer = model.predict(pa.RecordBatch.from_arrays(list(X.T), list("abc")))["p"].to_numpy()
    assert answer == pytest.approx(classifier.predict_proba(X)[:, 1])


def test_label_and_probability(keep: Keep, classifier: HistGradientBoostingClassifier) -> None:
    signature = SkopsRuntime(False).inspect(keep(choose.serialise(classifier)[0]), inputs=OFFER, outputs=["fraud", "p"])
    assert signature.outputs == pa.schema([("fraud", pa.bool_()), ("p", pa.float64())])


TARGETS = np.c_[X[:, 0] > 0.5, X[:, 1] > 0.5].astype(int)


@pytest.mark.parametrize(
    "model", [MultiOutputClassifier(LogisticRegression()), RandomForestClassifier(5, random_state=0)], ids=type
)
def test_two_targets_answer_the_same_for_any_number_of_rows(tmp_path: Path, model: Any) -> None:
    """A list of two arrays, one a target, looks like two rows where there are two."""
    joblib.dump(model.fit(X, TARGETS), tmp_path / "m")
    names = ["a0", "a1", "b0", "b1"]
    signature = PickleRuntime(True).inspect(tmp_path / "m", inputs=OFFER, outputs=names)
    loaded = choose.load("pickle", tmp_path / "m", signature, trusted=True, name="m/1")
    for count in (1, 2, 3, 7):
        answer = loaded.predict(pa.RecordBatch.from_arrays(list(X[:count].T), list("abc")))
        wanted = np.concatenate(model.predict_proba(X[:count]), axis=1)
        assert np.column_stack([answer[name].to_numpy() for name in names]) == pytest.approx(wanted)


def test_of_two_targets_none_is_the_positive_class(tmp_path: Path) -> None:
    joblib.dump(LinearRegression().fit(X, TARGETS), tmp_path / "m")
    with pytest.raises(ModelRefused, match=r"'predict' \(2 a row\); outputs= names 'p': name one column for each"):
        PickleRuntime(True).inspect(tmp_path / "m", inputs=OFFER, outputs=["p"])


class OfTwoRows:
    """Answers right for the number of rows that its first trial happens to have."""

    n_features_in_ = 3

    def predict(self, rows: Any) -> Any:
        return np.zeros((2, len(rows))).T if len(rows) == 2 else np.zeros((len(rows), 3))


def test_an_answer_that_grows_with_the_rows_is_refused(tmp_path: Path) -> None:
    joblib.dump(OfTwoRows(), tmp_path / "m")
    with pytest.raises(ModelRefused, match="3 a row"):
        PickleRuntime(True).inspect(tmp_path / "m", inputs=OFFER, outputs=["p", "q"])


@pytest.mark.parametrize("unknown", ["ignore", "error"])
def test_a_pipeline_over_named_columns_reads_texts(keep: Keep, unknown: str) -> None:
    frame = pl.DataFrame({"amount": X[:, 0], "kind": ["x", "y"] * 200})
    columns = [("n", "passthrough", ["amount"]), ("k", OneHotEncoder(handle_unknown=unknown), ["kind"])]
    pipeline = make_pipeline(ColumnTransformer(columns), LogisticRegression()).fit(frame, X[:, 0] > 0.5)
    artifact = keep(choose.serialise(pipeline)[0])
    source = pa.schema([("id", "string"), ("kind", "string"), ("amount", "f8")])
    signature = SkopsRuntime(False).inspect(artifact, inputs=source, outputs=["p"])
    assert signature.inputs == pa.schema([("amount", "f8"), ("kind", "string")])
    model = choose.load("sklearn", artifact, signature, trusted=False, name="m/1")
    rows = pa.RecordBatch.from_pydict({"kind": ["x"], "amount": [0.9]})
    expected = pipeline.predict_proba(pl.DataFrame({"amount": [0.9], "kind": ["x"]}))[0, 1]
    assert model.predict(rows)["p"].to_pylist() == pytest.approx([expected])


def test_types_that_nobody_knows_are_listed(keep: Keep) -> None:
    pipeline = make_pipeline(FunctionTransformer(joblib.hash), LinearRegression())
    pipeline.steps[0][1].n_features_in_ = 3
    artifact = keep(choose.serialise(pipeline)[0])
    with pytest.raises(ModelRefused, match=r"joblib\.hashing\.hash.*trust='sha256"):
        SkopsRuntime(False).inspect(artifact, inputs=OFFER, outputs=["p"])
    with pytest.raises(ModelRefused, match="trial"):  # loaded, and then no model
        SkopsRuntime(True).inspect(artifact, inputs=OFFER, outputs=["p"])


def test_an_archive_that_swells_is_refused(
    keep: Keep, linear: LinearRegression, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.models.runtimes.sklearn.LIMIT_BYTES", 100)
    with pytest.raises(ModelRefused, match="when unpacked"):
        SkopsRuntime(False).inspect(keep(choose.serialise(linear)[0]), inputs=OFFER, outputs=["p"])


def test_what_is_no_estimator_is_refused(tmp_path: Path) -> None:
    joblib.dump({"a": 1}, tmp_path / "m")
    with pytest.raises(ModelRefused, match="holds a dict"):
        PickleRuntime(True).inspect(tmp_path / "m", inputs=OFFER, outputs=["p"])


# -- several targets ----------------------------------------------------------

TARGETS = np.c_[X[:, 0] > 0.5, X[:, 1] > 0.5].astype(int)


def pickled(estimator: Any, place: Path) -> Path:
    joblib.dump(estimator, place)
    return place


def scored(artifact: Path, offer: pa.Schema, outputs: list[str], rows: pa.RecordBatch) -> pa.RecordBatch:
    runtime, signature = choose.inspect(artifact, name="m.joblib", inputs=offer, outputs=outputs, trusted=True)
    return choose.load(runtime, artifact, signature, trusted=True, name="m/1").predict(rows)


@pytest.mark.parametrize("estimator", [MultiOutputClassifier(LogisticRegression()), RandomForestClassifier(5)])
@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_the_probabilities_of_several_targets_are_columns(tmp_path: Path, estimator: Any, count: int) -> None:
    estimator.fit(X, TARGETS)
    rows = pa.RecordBatch.from_arrays(list(X[:count].T), list("abc"))
    answer = scored(pickled(estimator, tmp_path / "m"), OFFER, ["a0", "a1", "b0", "b1"], rows)
    wanted = np.concatenate(estimator.predict_proba(X[:count]), axis=1)
    assert np.stack([c.to_numpy() for c in answer.columns], axis=1) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("estimator", "outputs", "says"),
    [
        (LinearRegression(), ["y"], r"answers 'predict' \(2 a row\)"),
        (LinearRegression(), ["x", "y", "z"], r"answers 'predict' \(2 a row\)"),
        (RandomForestClassifier(5), ["y"], r"answers 'predict' \(2 a row\), 'predict_proba' \(4 a row\)"),
        (RandomForestClassifier(5), ["x", "y"], r"'predict_proba' \(4 a row\); .* name one column for each"),
    ],
)
def test_several_targets_need_a_name_each(tmp_path: Path, estimator: Any, outputs: list[str], says: str) -> None:
    estimator.fit(X, TARGETS)
    with pytest.raises(ModelRefused, match=says):
        PickleRuntime(True).inspect(pickled(estimator, tmp_path / "m"), inputs=OFFER, outputs=outputs)


def test_two_values_of_a_regressor_are_two_columns(tmp_path: Path) -> None:
    estimator = LinearRegression().fit(X, np.c_[X[:, 0], X[:, 1] * 1000])
    rows = pa.RecordBatch.from_arrays(list(X.T), list("abc"))
    answer = scored(pickled(estimator, tmp_path / "m"), OFFER, ["u", "v"], rows)
    assert answer["v"].to_numpy() == pytest.approx(X[:, 1] * 1000)


class Centred(LinearRegression):  # type: ignore[misc]
    """Its answer depends on who came along."""

    def predict(self, x: Any) -> Any:
        return super().predict(x) - np.mean(x)


def test_an_estimator_whose_answer_depends_on_the_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="otherwise than the same row alone"):
        PickleRuntime(True).inspect(pickled(Centred().fit(X, X[:, 0]), tmp_path / "m"), inputs=OFFER, outputs=["y"])


# -- values that an encoder knows ---------------------------------------------

FRAME = pd.DataFrame({"amount": X[:, 0], "kind": ["x", "y"] * 200, "month": np.tile(np.arange(1, 11), 40)})
SOURCE = pa.schema([("amount", "f8"), ("kind", "string"), ("month", "int64")])
WANTED = X[:, 0] + (FRAME["kind"] == "x") * 3.0 + FRAME["month"]


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(),
        OrdinalEncoder(),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="error")),
    ],
)
@pytest.mark.parametrize("columns", [["kind", "month"], [1, 2], slice(1, 3), [False, True, True]])
def test_a_pipeline_is_tried_with_values_that_it_knows(tmp_path: Path, encoder: Any, columns: Any) -> None:
    """Zeros and empty texts are none that it was fitted on: it would refuse them, and is right."""
    pipeline = make_pipeline(ColumnTransformer([("k", encoder, columns)], remainder="passthrough"), LinearRegression())
    pipeline.fit(FRAME, WANTED)
    rows = pa.RecordBatch.from_arrays([pa.array(FRAME[n].tolist()) for n in FRAME], list(FRAME))
    answer = scored(pickled(pipeline, tmp_path / "m"), SOURCE, ["y"], rows)
    assert answer["y"].to_numpy() == pytest.approx(pipeline.predict(FRAME))


def test_texts_that_nobody_can_make_up_are_refused_with_what_to_do(tmp_path: Path) -> None:
    pipeline = make_pipeline(FunctionTransformer(numbered, feature_names_out="one-to-one"), LinearRegression())
    pipeline.fit(FRAME.assign(kind=["7", "8"] * 200)[["kind"]], WANTED)
    with pytest.raises(ModelRefused, match=r"a trial of 5 rows such as \{'kind': ''\}: .* register a Python file"):
        PickleRuntime(True).inspect(pickled(pipeline, tmp_path / "m"), inputs=SOURCE, outputs=["y"])


def numbered(frame: Any) -> Any:
    return np.array([[float(value)] for value in np.asarray(frame)[:, 0]])


# -- boosters with categories, in a pickle ------------------------------------

CATEGORIES = FRAME.assign(kind=pd.Categorical(FRAME["kind"]), month=pd.Categorical(FRAME["month"]))


@pytest.mark.parametrize(
    "estimator",
    [
        lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, min_data_per_group=1, cat_smooth=0),
        xgboost.XGBRegressor(n_estimators=20, enable_categorical=True),
    ],
    ids=["lightgbm", "xgboost"],
)
def test_categories_in_a_pickle_are_scored_as_their_values(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(CATEGORIES, WANTED)
    rows = pa.RecordBatch.from_arrays([pa.array(FRAME[n].tolist()) for n in FRAME], list(FRAME))
    answer = scored(pickled(estimator, tmp_path / "m"), SOURCE, ["y"], rows)
    assert answer["y"].to_numpy() == pytest.approx(estimator.predict(CATEGORIES), abs=1e-5)


def test_a_booster_with_categories_within_another_estimator_is_refused(tmp_path: Path) -> None:
    inner = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1, min_data_per_group=1)
    outer = make_pipeline(FunctionTransformer(feature_names_out="one-to-one"), inner).fit(CATEGORIES, WANTED)
    with pytest.raises(ModelRefused, match="the Pipeline holds a LGBMRegressor fitted on a frame with categories"):
        PickleRuntime(True).inspect(pickled(outer, tmp_path / "m"), inputs=SOURCE, outputs=["y"])
