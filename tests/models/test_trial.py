"""A model must answer several rows as it answers each alone: what was made up to see that, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from penstock.errors import InputInvalid, ModelRefused
from penstock.models import trial
from penstock.models.trial import require_rowwise, rows_to_try

SCHEMA = pa.schema([("a", "f8"), ("b", "f8")])
Answer = Callable[[np.ndarray], np.ndarray]


class Answers:
    """Of a function over the matrix of its rows."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def predict(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        given = np.stack([column.to_numpy() for column in rows.columns], axis=1)
        return pa.RecordBatch.from_arrays([pa.array(self._answer(given))], names=["y"])


def fixed(size: int) -> Answer:
    def answer(x: np.ndarray) -> np.ndarray:
        if len(x) != size:
            raise ValueError(f"Got: {len(x)} Expected: {size}")
        return np.asarray(x.sum(axis=1))

    return answer


MIXED = "answers a row of .* otherwise than the same row alone .'y' of row .* is .* among others, .* alone"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: x.sum(axis=1) - x.mean(), MIXED),
        (lambda x: x.sum(axis=1)[::-1], MIXED),
        (lambda x: np.sort(x.sum(axis=1)), MIXED),
        (lambda x: np.cumsum(x.sum(axis=1)), MIXED),
        (lambda x: np.array([f"{len(x)}"] * len(x)), MIXED),
        (lambda x: np.array([x.sum()]), "answered a trial of 2 rows with 1: one answer a row"),
        (lambda x: np.repeat(x.sum(axis=1), 2), "answered a trial of 1 rows with 2: one answer a row"),
        (lambda x: np.repeat(x.sum(axis=1), len(x)), "answered a trial of 2 rows with 4: one answer a row"),
        (lambda x: x.sum(axis=1)[:10], "answered a trial of 64 rows with 10: one answer a row"),
        (fixed(1), r"answers one row and failed on a trial of 2: Got: 2 Expected: 1; .* batch dimension that is free"),
        (fixed(2), r"failed on a trial of one row: Got: 1 Expected: 2"),
    ],
)
def test_what_depends_on_the_batch_is_refused(answer: Answer, says: str) -> None:
    with pytest.raises(ModelRefused, match=says):
        require_rowwise(Answers(answer), rows_to_try(SCHEMA))


def test_the_comparison_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_differs", lambda answer, wanted: "")
    require_rowwise(Answers(lambda x: x.sum(axis=1) - x.mean()), rows_to_try(SCHEMA))


chance = np.random.default_rng(0)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x.sum(axis=1),
        lambda x: x.astype(np.float32).sum(axis=1) * (1 + 1e-6 * len(x)),  # another order of sums
        lambda x: np.where(x[:, 0] > 0, "yes", "no"),
        lambda x: np.full(len(x), np.nan),
        lambda x: chance.random(len(x)),  # chance is its author's choice
    ],
)
def test_what_does_not_is_taken(answer: Answer) -> None:
    require_rowwise(Answers(answer), rows_to_try(SCHEMA))


def picky(x: np.ndarray) -> np.ndarray:
    if (x[:, 0] != 0).any():
        raise InputInvalid("only zeros", np.flatnonzero(x[:, 0] != 0).tolist())
    return np.asarray(x.sum(axis=1))


def test_rows_that_cannot_be_answered_prove_nothing() -> None:
    require_rowwise(Answers(picky), rows_to_try(SCHEMA))
    require_rowwise(Answers(fixed(9)), rows_to_try(SCHEMA), must=False)


def test_rows_of_every_type_are_made_up_and_known_values_taken() -> None:
    lists = pa.list_(pa.float32(), 2)
    kinds = [pa.float32(), pa.string(), pa.bool_(), lists, pa.timestamp("us"), pa.null(), pa.uint8()]
    schema = pa.schema([(str(n), k) for n, k in enumerate(kinds)])
    rows = rows_to_try(schema, {"1": pa.array(["x", "y"])})
    assert rows.schema.types == kinds
    assert set(rows["1"].to_pylist()) == {"x", "y"}
    assert rows.slice(0, 1).to_pylist()[0]["0"] == 0.0
    assert rows.equals(rows_to_try(schema, {"1": pa.array(["x", "y"])}))
