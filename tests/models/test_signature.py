"""Signatures: as JSON, against columns, and against every answer."""

import pyarrow as pa
import pytest

from penstock.errors import ModelRefused, PredictionInvalid
from penstock.models import signature as signatures
from penstock.models.interface import Signature
from penstock.models.signature import FeatureColumns, check_answer, fits, from_json, offer, to_json

KINDS = [
    *("float", "double", "int8", "uint64", "bool", "string", "binary", "date32[day]", "timestamp[us]", "null"),
]
NESTED = [
    pa.list_(pa.float32(), 8),
    pa.list_(pa.string()),
    pa.timestamp("us", "UTC"),
    pa.struct([("a", pa.int64()), pa.field("b", pa.list_(pa.float64()), nullable=False)]),
]
SCORE = Signature(pa.schema([("a", "f4"), ("b", "string")]), pa.schema([("y", "f8"), ("n", "int64")]))


def test_json_and_back() -> None:
    fields = [(f"c{n}", pa.type_for_alias(k)) for n, k in enumerate(KINDS)]
    fields += [(f"n{n}", k) for n, k in enumerate(NESTED)]
    both = Signature(pa.schema(fields), pa.schema([pa.field("y", pa.float64(), nullable=False)]))
    assert from_json(to_json(both)) == both
    assert to_json(SCORE)["inputs"][0] == {"name": "a", "type": "float", "nullable": True}


@pytest.mark.parametrize("data", [{}, {"inputs": [], "outputs": [{}]}, {"inputs": 3, "outputs": []}])
def test_what_is_no_signature(data: dict[str, object]) -> None:
    with pytest.raises(ModelRefused, match="not a signature"):
        from_json(data)
    with pytest.raises(ModelRefused, match="not a signature"):
        from_json({"inputs": [{"name": "a", "type": "tea"}], "outputs": []})


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ([("a", "f8")], r"reads column 'b' \(string\), and its source has 'a'"),
        ([("a", "string"), ("b", "string")], "reads column 'a' as float, and its source has it as string"),
        ([("a", "f8"), ("b", "int64")], "'b' as string"),
        ([("a", pa.timestamp("us")), ("b", "string")], "'a' as float"),
    ],
)
def test_a_source_that_does_not_fit_is_told_the_column(columns: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(ModelRefused, match=says):
        fits(SCORE, pa.schema(columns))
    with pytest.raises(ModelRefused, match=says):
        FeatureColumns(SCORE)(pa.RecordBatch.from_pylist([], schema=pa.schema(columns)))


@pytest.mark.parametrize("kind", ["int8", "uint64", "bool", "f8", "halffloat", "null"])
def test_numbers_fit_numbers(kind: str) -> None:
    fits(SCORE, pa.schema([("b", "string"), ("a", kind), ("c", "int8")]))


def test_columns_are_taken_in_the_models_order() -> None:
    intake = FeatureColumns(SCORE)
    rows = pa.RecordBatch.from_pydict({"c": [1], "b": ["x"], "a": [0.5]})
    assert intake(rows).schema.names == ["a", "b"]
    assert intake(rows.select([2, 1, 0])).schema.names == ["a", "b"]


def test_declared_inputs_are_chosen_from_the_columns_on_offer() -> None:
    columns = pa.schema([("a", "f8"), ("b", "f8")])
    assert offer(columns, None) == columns
    chosen = offer(columns, ["b"])
    assert chosen is not None
    assert chosen.names == ["b"]
    assert signatures.is_declared(chosen)
    assert not signatures.is_declared(columns)
    with pytest.raises(ModelRefused, match="'c', and the source has 'a', 'b'"):
        offer(columns, ["c"])


def answer(y: list[float | None], n: list[int | None] | None = None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"y": y, "n": n or [1] * len(y)}, SCORE.outputs)


def test_a_whole_answer_passes() -> None:
    good = answer([0.5, 1.5])
    assert check_answer(SCORE, good, 2, model="m/1") is good


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (answer([0.5]), "answered 1 rows for 3"),
        (answer([0.5] * 3).select(["y"]), r"columns \(y: double\); its signature says \(y: double, n: int64\)"),
        (answer([0.5] * 3).rename_columns(["y", "m"]), "m: int64"),
        (answer([0.5] * 3).cast(pa.schema([("y", "f4"), ("n", "int64")])), "y: float"),
        (answer([0.5, float("nan"), float("-inf")]), "'y' is null, NaN or infinite in 2 of 3 rows, the first is row 1"),
        (answer([0.5, 0.5, None]), "'y' is null, NaN or infinite in 1 of 3 rows, the first is row 2"),
        (answer([0.5] * 3, [None, 1, 1]), "'n' is null"),
        (None, "answered with a NoneType"),
    ],
)
def test_a_wrong_answer_says_what_is_wrong(given: pa.RecordBatch, says: str) -> None:
    with pytest.raises(PredictionInvalid, match=f"model m/1.*{says}"):
        check_answer(SCORE, given, 3, model="m/1")


def test_vectors_are_looked_into() -> None:
    vectors = Signature(SCORE.inputs, pa.schema([("v", pa.list_(pa.float64()))]))
    rows = pa.RecordBatch.from_pydict({"v": [[1.0], [], [1.0, float("inf")], None]}, vectors.outputs)
    check_answer(vectors, rows.slice(0, 2), 2, model="m/1")
    with pytest.raises(PredictionInvalid, match="in 2 of 4 rows, the first is row 2"):
        check_answer(vectors, rows, 4, model="m/1")


def test_the_look_for_nan_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_check_values", lambda *args: None)
    check_answer(SCORE, answer([float("nan")]), 1, model="m/1")
