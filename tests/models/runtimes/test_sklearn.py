"""scikit-learn by skops, and by pickle only where the digest is trusted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from penstock.errors import ModelRefused
from penstock.models.interface import Runtime
from penstock.models.runtimes import choose
from penstock.models.runtimes.sklearn import PickleRuntime, SkopsRuntime
from penstock.testing.runtime_contract import OFFER, RuntimeContract

from .conftest import X

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
    with pytest.raises(ModelRefused, match=r"2 rows with shape \(2, 2\), 3 rows with shape \(3, 3\)"):
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
    monkeypatch.setattr("penstock.models.runtimes.sklearn.LIMIT", 100)
    with pytest.raises(ModelRefused, match="when unpacked"):
        SkopsRuntime(False).inspect(keep(choose.serialise(linear)[0]), inputs=OFFER, outputs=["p"])


def test_what_is_no_estimator_is_refused(tmp_path: Path) -> None:
    joblib.dump({"a": 1}, tmp_path / "m")
    with pytest.raises(ModelRefused, match="holds a dict"):
        PickleRuntime(True).inspect(tmp_path / "m", inputs=OFFER, outputs=["p"])
