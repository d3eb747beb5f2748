"""What a caller may hand over: what becomes of each kind of rows, and how what cannot be sent is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.client import bodies
from penstock.errors import InvalidEvent


@dataclass
class Reading:
    n: int
    x: float


class Struct(msgspec.Struct):
    n: int
    x: float


class Model(pydantic.BaseModel):
    n: int
    x: float


def table(rows: bodies.Rows) -> pa.Table:
    parts = list(bodies.bodies(rows))
    assert {part.kind for part in parts} == {bodies.ARROW}
    return pa.concat_tables([pa.ipc.open_stream(part.data).read_all() for part in parts])


def lines(rows: bodies.Rows) -> list[Any]:
    parts = list(bodies.bodies(rows))
    assert {part.kind for part in parts} <= {bodies.NDJSON}
    return [msgspec.json.decode(line) for part in parts for line in part.data.splitlines()]


ONE = {"n": 1, "x": 0.5}


@pytest.mark.parametrize(
    "event", [ONE, Reading(1, 0.5), Struct(1, 0.5), Model(n=1, x=0.5)], ids=lambda e: type(e).__name__
)
def test_an_event_alone_is_one_event(event: Any) -> None:
    assert lines(event) == lines([event]) == lines(iter([event])) == [ONE]


FRAME = pl.DataFrame({"n": [1, 2], "x": [0.5, 1.5]})


@pytest.mark.parametrize(
    "rows",
    [FRAME, FRAME.lazy(), FRAME.to_arrow(), FRAME.to_arrow().to_batches()[0], FRAME.to_arrow().to_reader(),
     FRAME.to_pandas(), FRAME.to_pandas(use_pyarrow_extension_array=True)],
    ids=["polars", "lazy", "table", "batch", "reader", "pandas", "pandas of arrow"],
)  # fmt: skip
def test_columns_of_every_library_are_the_same_columns(rows: Any) -> None:
    assert table(rows).to_pydict() == FRAME.to_dict(as_series=False)


@pytest.mark.parametrize("rows", [FRAME.clear(), FRAME.to_pandas().iloc[:0], [], iter([])])
def test_no_rows_are_no_request(rows: Any) -> None:
    assert list(bodies.bodies(rows)) == []


def test_what_pandas_has_for_a_missing_value_is_null() -> None:
    frame = pd.DataFrame(
        {
            "f": [1.0, float("nan")],
            "i": pd.array([1, None], dtype="Int64"),
            "s": ["x", None],
            "t": pd.to_datetime(["2026-01-01", None], utc=True),
            "c": pd.Categorical(["u", None]),
        }
    )
    found = table(frame).to_pylist()
    assert found[0] == {"f": 1.0, "i": 1, "s": "x", "t": datetime(2026, 1, 1, tzinfo=UTC), "c": "u"}
    assert found[1] == {"f": None, "i": None, "s": None, "t": None, "c": None}


def test_in_a_polars_frame_nan_stays_nan() -> None:
    (value,) = table(pl.DataFrame({"x": [float("nan")]}))["x"].to_pylist()
    assert np.isnan(value)


def test_an_index_is_a_column_where_it_has_a_name() -> None:
    frame = pd.DataFrame({"x": [0.5, 1.5]})
    assert table(frame.set_index(pd.Index([7, 8]))).column_names == ["x"]
    assert table(frame.set_index(pd.Index([7, 8], name="n"))).to_pydict() == {"n": [7, 8], "x": [0.5, 1.5]}
    levels = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["n", None])
    assert table(frame.set_index(levels)).to_pydict() == {"n": [1, 2], "x": [0.5, 1.5]}


def test_nested_columns_of_pandas() -> None:
    frame = pd.DataFrame({"l": [[1, 2], []], "o": [{"q": 1}, {"q": 2}], "a": [np.array([1.0]), np.array([2.0])]})
    assert table(frame).to_pylist()[0] == {"l": [1, 2], "o": {"q": 1}, "a": [1.0]}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pd.DataFrame({0: [1]}), "the column 0 has no text as its name"),
        (pd.DataFrame([[1, 2]], columns=["n", "n"]), "field 'n': two columns"),
        (pd.DataFrame({"n": [1, "x"]}), "column n"),
        (pd.DataFrame({"n": [1]}, index=pd.Index([1], name="n")), "already exists"),
        (pd.DataFrame({"n": [1]}).n, "Series"),
        (FRAME["n"], "Series"),
        (pl.DataFrame({"n": [object()]}), "field 'n': a column of Python objects"),
        ("n,x\n1,0.5", "str is neither a frame nor an event nor a list of events"),
        (b"{}", "bytes is neither"),
        (7, "int is neither"),
        (None, "NoneType is neither"),
        ([ONE, {"n": object()}], "row 1: what is of type object has no JSON form"),
        ([ONE, ONE, {"x": float("inf")}], "row 2: inf is no number of JSON"),
        ({"deep": [{"x": -float("inf")}]}, "row 0: -inf is no number"),
    ],
)
def test_what_cannot_be_sent_says_which_and_why(rows: Any, said: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        list(bodies.bodies(rows))
    assert said in str(caught.value)


def test_values_of_numpy_and_pandas_inside_events() -> None:
    event = {
        "f": np.float32(0.5),
        "i": np.int64(3),
        "b": np.bool_(True),
        "s": np.str_("x"),
        "l": np.array([1, 2]),
        "p": pl.Series([1, 2]),
        "d": np.datetime64("2026-01-01T00:00:00"),
        "t": pd.Timestamp("2026-01-01", tz="UTC"),
        "m": Model(n=1, x=0.5),
        "none": [pd.NA, pd.NaT, float("nan"), np.datetime64("NaT")],
    }
    assert lines(event) == [
        {
            "f": 0.5, "i": 3, "b": True, "s": "x", "l": [1, 2], "p": [1, 2], "d": "2026-01-01T00:00:00",
            "t": "2026-01-01T00:00:00Z", "m": ONE, "none": [None] * 4,
        }
    ]  # fmt: skip


def test_a_list_is_looked_at_whole_and_an_iterator_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "CHUNK_ROWS", 2)
    bad: list[Any] = [ONE, ONE, ONE, object()]
    with pytest.raises(InvalidEvent, match="row 3"):
        next(bodies.bodies(bad))
    asked: list[int] = []

    def endless() -> Iterator[dict[str, Any]]:
        while True:
            asked.append(1)
            yield ONE

    assert next(bodies.bodies(endless())).rows == 2 and len(asked) == 3


@given(
    st.lists(st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.none(), max_size=3), max_size=30)
)
def test_no_event_is_lost_between_requests(rows: list[dict[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "CHUNK_ROWS", 4)
        patch.setattr(bodies, "CHUNK_BYTES", 64)
        parts = list(bodies.bodies(rows))
        assert [msgspec.json.decode(line) for part in parts for line in part.data.split(b"\n")] == rows
        assert all(1 <= part.rows == part.data.count(b"\n") + 1 <= 4 for part in parts)


@pytest.mark.parametrize(
    "rows", [FRAME, FRAME.lazy(), FRAME.to_pandas(), FRAME.to_dicts(), [Struct(1, 0.5), Reading(2, 1.5)]]
)
def test_any_rows_make_the_frame_to_score(rows: Any) -> None:
    assert bodies.frame(rows).equals(FRAME)


def test_what_makes_no_frame() -> None:
    with pytest.raises(InvalidEvent, match="row 1: int is no row"):
        bodies.frame([ONE, 2])
    with pytest.raises(InvalidEvent, match="make no frame"):
        bodies.frame([{"x": object()}])
