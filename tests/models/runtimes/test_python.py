"""Models that are Python files."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.errors import ModelRefused, PredictionInvalid
from penstock.models.interface import Runtime
from penstock.models.runtimes import choose
from penstock.models.runtimes.python import PythonRuntime
from penstock.testing.runtime_contract import OFFER, RuntimeContract

Keep = Callable[..., Path]

GOOD = b'''"""A model."""
import polars as pl

class Sum:
    def __init__(self) -> None:
        self.bias = 0.5

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(score=pl.sum_horizontal("a", "b", "c") + self.bias, note=pl.lit("x"))
'''


class TestPython(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return PythonRuntime(True)

    @pytest.fixture
    def artifact(self, keep: Keep) -> Path:
        return keep(GOOD)


def body(code: str, head: str = "") -> bytes:
    return f"import polars as pl\nclass M:\n{head}\n    def predict(self, rows):\n        {code}\n".encode()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"class (:\n", "does not run"),
        (b"class M:\n    pass\n", "one class with a method predict; this one has no columns"),
        (GOOD + GOOD.replace(b"Sum", b"Other"), "this one has 'Sum', 'Other'"),
        (b"raise SystemError('no')\nclass M: ...\n", "does not run: .*no"),
        (body("return 5"), "returned a int"),
        (body("return rows.select(other='a')"), "answers 'other', and outputs= names 'score'"),
        (body("return rows.select(score=pl.lit(None))"), "type of output 'score'"),
        (body("raise ValueError('empty')"), "without rows: .*empty"),
        (body("return rows", "    inputs = ['q']"), "reads 'q', and the columns on offer"),
        (body("return rows.select(score=pl.col('a').sum())"), "answered 1 rows for a frame without rows: .*each row"),
    ],
)
def test_what_cannot_be_a_model_is_refused(keep: Keep, source: bytes, says: str) -> None:
    with pytest.raises(ModelRefused, match=says):
        PythonRuntime(True).inspect(keep(source), inputs=OFFER, outputs=["score"])


def test_the_class_may_say_what_it_reads(keep: Keep) -> None:
    artifact = keep(body("return rows.select(score=pl.col('b') * 2)", "    inputs = ['b']"))
    assert PythonRuntime(True).inspect(artifact, inputs=OFFER, outputs=[]).inputs == pa.schema([("b", "f8")])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "return rows.select(score='a').head(1) if (rows['a'] == 2).any() else rows.select(score='a')",
            "answered 1 rows for 3",
        ),
        ("return rows.select(score='a' if not len(rows) else 'id')", "answered columns .score: string.; .* double"),
        ("return rows.select(score='a') if not len(rows) else rows.select(other='a')", "answered columns"),
        ("return rows.select(score=pl.col('a') / 0.0 * 0.0)", "'score' is null, NaN or infinite in 3 of 3 rows"),
        ("return rows.select(score=1 / (pl.col('a') - 1))", "in 1 of 3 rows, the first is row 1"),
    ],
)
def test_a_wrong_answer_is_no_answer(keep: Keep, code: str, says: str) -> None:
    artifact = keep(body(code))
    runtime, signature = choose.inspect(artifact, name="m.py", inputs=OFFER, outputs=["score"], trusted=True)
    model = choose.load(runtime, artifact, signature, trusted=True, name="m/1")
    rows = pa.RecordBatch.from_pydict({"id": ["x"] * 3, "a": [0.0, 1.0, 2.0], "b": [0.0] * 3, "c": [0.0] * 3})
    with pytest.raises(PredictionInvalid, match=f"model m/1.*{says}"):
        model.predict(rows)
