"""Columns to matrices."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InputInvalid
from penstock.models.packing import Packer, as_numbers, column_of, zeros


def batch(*columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns), names=[str(n) for n in range(len(columns))])


numbers = st.one_of(
    *(
        st.tuples(st.just(kind), st.lists(st.none() | values, min_size=4, max_size=4))
        for kind, values in (
            (pa.float64(), st.floats(-1e6, 1e6)),
            (pa.float32(), st.floats(-1e6, 1e6, width=32)),
            (pa.int64(), st.integers(-(2**40), 2**40)),
            (pa.uint8(), st.integers(0, 255)),
            (pa.bool_(), st.booleans()),
            (pa.null(), st.none()),
        )
    )
)


@settings(max_examples=100, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=5), st.sampled_from([np.float32, np.float64]))
def test_every_number_keeps_its_place(columns: list[tuple[pa.DataType, list[object]]], dtype: type) -> None:
    rows = batch(*(pa.array(values, kind) for kind, values in columns)).slice(1)
    packed = Packer(dtype)(rows)
    expected = [[np.nan if v is None else float(v) for v in values[1:]] for _, values in columns]  # type: ignore[arg-type]
    assert packed.flags.c_contiguous
    assert packed.dtype == dtype
    assert np.array_equal(packed, np.array(expected).T.astype(dtype), equal_nan=True)


def test_another_schema_is_packed_its_own_way() -> None:
    pack = Packer(np.float32)
    assert pack(batch(pa.array([1.0]))).tolist() == [[1.0]]
    assert pack(batch(pa.array([True]), pa.array([2]))).tolist() == [[1.0, 2.0]]


def test_vectors_are_not_copied() -> None:
    values = np.arange(12, dtype=np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values), 3)
    packed = Packer(np.float32)(batch(column).slice(1, 2))
    assert packed.tolist() == [[3, 4, 5], [6, 7, 8]]
    assert np.shares_memory(packed, values)


def test_a_null_vector_is_a_row_of_nan_and_moves_nothing() -> None:
    column = pa.array([[9, 9], [1, 2], None, [3, None]], pa.list_(pa.float64(), 2))
    packed = Packer(np.float32)(batch(column).slice(1))
    assert np.array_equal(packed, np.array([[1, 2], [np.nan, np.nan], [3, np.nan]]), equal_nan=True)


def test_lists_of_free_length_are_no_matrix() -> None:
    with pytest.raises(TypeError, match="fixed size"):
        Packer(np.float32)(batch(pa.array([[1.0]])))


@pytest.mark.parametrize(
    ("dtype", "column"),
    [
        (np.float32, pa.array([0.0, 1e300, 1.0, -1e39])),
        (np.float32, pa.array([[0.0, 1.0], [1e300, 0.0], [np.inf, 0.0], [0.0, -1e39]], pa.list_(pa.float64(), 2))),
        (np.float16, pa.array([0, 70_000, 1, -70_000])),
        (np.float16, pa.array([0.0, 65_520.0, np.inf, -1e5])),
    ],
)
def test_what_a_float_cannot_hold_is_no_infinity(dtype: type, column: pa.Array) -> None:
    with pytest.raises(InputInvalid, match=r"column '1' has a value that is no \w+, .*, in row 1 and 1 more") as said:
        Packer(dtype)(named(column))
    assert said.value.rows == [1, 3]


def named(column: pa.Array) -> pa.RecordBatch:
    """In column 1: of a matrix the second, of vectors the only one."""
    if pa.types.is_fixed_size_list(column.type):
        return pa.RecordBatch.from_arrays([column], names=["1"])
    return batch(pa.array([0, 1, 2, 3]), column)


def test_an_infinity_that_was_sent_stays_one() -> None:
    assert Packer(np.float32)(batch(pa.array([np.inf, 1.0]))).tolist() == [[np.inf], [1.0]]


def test_a_float_takes_the_nearest_number_that_it_has() -> None:
    assert Packer(np.float32)(batch(pa.array([2**24 + 1]))).tolist() == [[2.0**24]]


@pytest.mark.parametrize(
    ("values", "column"),
    [
        (np.array([0.5], np.float16), pa.array([0.5])),
        (np.array([0.5], np.float32), pa.array([0.5])),
        (np.array([[1, 2], [3, 4]])[:, 1], pa.array([2, 4])),
        (np.array(["a", "b"]), pa.array(["a", "b"])),
        (np.array(["a", "b"], object), pa.array(["a", "b"])),
        (np.array([True]), pa.array([True])),
    ],
)
def test_answers_become_columns(values: np.ndarray, column: pa.Array) -> None:
    assert column_of(values) == column


def test_zeros_of_every_type() -> None:
    kinds = [pa.float32(), pa.string(), pa.bool_(), pa.list_(pa.float32(), 2), pa.timestamp("us"), pa.null()]
    rows = zeros(pa.schema([(str(n), k) for n, k in enumerate(kinds)]), 2)
    assert rows.to_pylist()[1] == {"0": 0.0, "1": "", "2": False, "3": [0.0, 0.0], "4": None, "5": None}


@pytest.mark.parametrize("column", [pa.array([1.0, None]), pa.array([True, False]), pa.array([1, 2, 3]).slice(1)])
def test_columns_become_numbers(column: pa.Array) -> None:
    expected = [float("nan") if value is None else value for value in column.to_pylist()]
    np.testing.assert_array_equal(as_numbers(column), expected)


def imports_pandas(call: str) -> bool:
    code = f"import sys, numpy as np, pyarrow as pa; from penstock.models.packing import *; {call}; "
    command = [sys.executable, "-c", code + "print('pandas' in sys.modules)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "True"


ROWS = "rows = zeros(pa.schema([('x', pa.float64()), ('s', pa.string()), ('n', pa.int32())]), 2); "


def test_a_model_is_asked_without_pandas() -> None:
    assert not imports_pandas(ROWS + "rows.validate(full=True); as_numbers(rows.column(0)); column_of(np.ones(2))")


def test_mutant_numbers_by_pyarrow_are_found() -> None:
    pytest.importorskip("pandas")
    assert imports_pandas(ROWS + "rows.column(0).to_numpy()")
