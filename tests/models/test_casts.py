"""Columns brought to what a model reads: the same values, or an error with their rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InputInvalid
from penstock.models import casts
from penstock.models.casts import narrowed

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


def bounds(kind: pa.DataType) -> tuple[int, int]:
    found = np.iinfo(kind.to_pandas_dtype())
    return int(found.min), int(found.max)


@st.composite
def integers(draw: st.DrawFn) -> pa.Array:
    kind = draw(st.sampled_from(INTEGERS))
    least, most = bounds(kind)
    edges = st.sampled_from([e for k in INTEGERS for b in bounds(k) for e in (b - 1, b, b + 1) if least <= e <= most])
    return pa.array(draw(st.lists(st.none() | edges | st.integers(least, most), max_size=6)), kind)


@settings(max_examples=300, deadline=None)
@given(integers(), st.sampled_from([*INTEGERS, pa.bool_()]))
def test_an_integer_stays_itself_or_is_refused(column: pa.Array, kind: pa.DataType) -> None:
    least, most = (0, 1) if pa.types.is_boolean(kind) else bounds(kind)
    values = column.to_pylist()
    lost = [row for row, v in enumerate(values) if v is not None and not least <= v <= most]
    assert after(column, kind) == (lost or values)


numbers = st.floats() | st.sampled_from([2.0**63, 2.0**64]) | st.integers(-(2**70), 2**70).map(float)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.none() | numbers,
        max_size=6,
    ),
    st.sampled_from(INTEGERS),
)
def test_a_float_becomes_an_integer_only_if_it_is_one(values: list[float | None], kind: pa.DataType) -> None:
    least, most = bounds(kind)
    lost = [r for r, v in enumerate(values) if v is not None and not (v.is_integer() and least <= int(v) <= most)]
    assert after(pa.array(values, pa.float64()), kind) == (lost or values)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.floats(allow_nan=False), max_size=6))
def test_a_float_is_rounded_and_never_infinite(values: list[float | None]) -> None:
    with np.errstate(over="ignore"):
        near = [None if v is None else float(np.float32(v)) for v in values]
    lost = [r for r, (v, n) in enumerate(zip(values, near, strict=True)) if n is not None and math.isinf(n) and n != v]
    assert after(pa.array(values, pa.float64()), pa.float32()) == (lost or near)


def after(column: pa.Array, kind: pa.DataType) -> Any:
    """The values, or the rows that are refused."""
    try:
        found = narrowed(column, kind, "x")
    except InputInvalid as error:
        return error.rows
    assert found.type == kind
    return found.to_pylist()


lists = st.lists(st.none() | st.lists(st.none() | st.floats(-10, 10, width=32), min_size=2, max_size=2), max_size=5)


@settings(max_examples=200, deadline=None)
@given(lists, st.sampled_from([pa.list_(pa.float64()), pa.list_(pa.float64(), 2), pa.large_list(pa.float64())]))
@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 2), pa.list_(pa.float32())])
def test_lists_keep_their_rows(kind: pa.DataType, values: list[Any], found: pa.DataType) -> None:
    column = pa.array([[9.0, 9.0], *values], found).slice(1)
    assert narrowed(column, kind, "x").to_pylist() == values


def test_a_list_of_another_length_is_that_rows_fault() -> None:
    column = pa.array([[1, 2], None, [1], [1, 2, 3]], pa.list_(pa.int64()))
    says = "column 'x' has 1 numbers, and the model reads 2, in row 2 and 1 more"
    with pytest.raises(InputInvalid, match=says) as said:
        narrowed(column, pa.list_(pa.float32(), 2), "x")
    assert said.value.rows == [2, 3]


def test_a_value_within_a_list_is_its_rows_fault() -> None:
    column = pa.array([None, [1.0, 2.0], [1e300, 1e300], None, [0.0, -1e300]], pa.list_(pa.float64()))
    with pytest.raises(InputInvalid, match="no float, as which the model reads it, in row 2 and 1 more") as said:
        narrowed(column, pa.list_(pa.float32(), 2), "x")
    assert said.value.rows == [2, 4]


def test_the_check_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look for what is lost, an id becomes another one."""
    monkeypatch.setattr(casts, "_lost", lambda column, kind: np.zeros(len(column), np.bool_))
    assert narrowed(pa.array([2**32 + 5]), pa.int32(), "x").to_pylist() == [5]
