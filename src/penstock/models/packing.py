"""Between Arrow columns and the row-major float matrix that model libraries read: one copy, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import InputInvalid
from .casts import beyond, is_list, narrowed, overflows

Matrix = npt.NDArray[Any]


class Packer:
    """Rows as a C-contiguous (rows, columns) matrix of float16, float32 or float64; nulls become NaN.

    One ``FixedSizeList`` column of that dtype without nulls is not copied. Numbers, booleans and lists of them are
    cast, to the nearest number that the dtype has. Raises ``InputInvalid`` for those beyond all that it has.
    """

    def __init__(self, dtype: type[np.generic]) -> None:
        self._dtype = dtype
        self._kind = pa.from_numpy_dtype(np.float32 if dtype is np.float16 else dtype)
        # Looking through a schema costs more than packing a row: how to pack is settled once a schema.
        self._schema: pa.Schema | None = None
        self._pack: Callable[[pa.RecordBatch], Matrix] = _tensor

    def __call__(self, rows: pa.RecordBatch) -> Matrix:
        schema = rows.schema
        if self._schema is None or not schema.equals(self._schema):
            self._pack, self._schema = self._way(schema), schema
        values = self._pack(rows)
        return np.ascontiguousarray(values if values.dtype == self._dtype else self._cast(values, schema))

    def _cast(self, values: Matrix, schema: pa.Schema) -> Matrix:
        try:
            with np.errstate(over="raise"):
                cast: Matrix = values.astype(self._dtype)
        except FloatingPointError:
            raise self._overflow(values, schema) from None
        return cast

    def _overflow(self, values: Matrix, schema: pa.Schema) -> InputInvalid:
        lost = overflows(values, np.dtype(self._dtype))
        place = int(np.flatnonzero(lost.any(axis=0))[0])
        vectors = is_list(schema.types[0])
        rows = np.flatnonzero(lost.any(axis=1) if vectors else lost[:, place])
        name = schema.names[0 if vectors else place]
        return InputInvalid(beyond(name, pa.from_numpy_dtype(self._dtype)), rows.tolist())

    def _way(self, schema: pa.Schema) -> Callable[[pa.RecordBatch], Matrix]:
        if len(schema) == 1 and is_list(schema.types[0]):
            return _vectors
        return _tensor if all(map(_packs, schema.types)) else self._brought

    def _brought(self, rows: pa.RecordBatch) -> Matrix:
        named = zip(rows.schema.names, rows.columns, strict=True)
        columns = [c if _packs(c.type) else narrowed(c, self._kind, name) for name, c in named]
        return _tensor(pa.RecordBatch.from_arrays(columns, names=rows.schema.names))


def _tensor(rows: pa.RecordBatch) -> Matrix:
    values: Matrix = rows.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    return values


def _packs(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind))


def _vectors(rows: pa.RecordBatch) -> Matrix:
    column = rows.column(0)
    kind = column.type
    if not pa.types.is_fixed_size_list(kind):
        raise TypeError(f"a vector column is a list of fixed size, not {kind}")
    size = kind.list_size
    # Not flatten(): it leaves null rows out, and would shift the others.
    values = as_numbers(column.values.slice(column.offset * size, len(column) * size))
    packed: Matrix = values.reshape(len(column), size)
    if column.null_count:
        packed = packed.astype(np.float64)
        packed[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return packed


def column_of(values: Matrix) -> pa.Array:
    """A column of a model's answer: float16 and float32 widen to float64, the type of a topic's ``float``."""
    if values.dtype.kind == "f" and values.dtype != np.float64:
        values = values.astype(np.float64)
    if values.dtype.kind in "OU":
        return pa.array(values.tolist(), pa.string())
    return as_column(values) if values.dtype.kind in "fiu" else pa.array(np.ascontiguousarray(values))


def as_column(numbers: npt.NDArray[Any]) -> pa.Array:
    """Not by ``pa.array``: that imports pandas, where it is installed, and each start would wait for it."""
    kind = pa.from_numpy_dtype(numbers.dtype)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def as_numbers(column: pa.Array) -> npt.NDArray[Any]:
    """Of numbers or booleans; nulls become NaN. Numbers without nulls are not copied, and come without pandas too."""
    plain = not column.null_count and not pa.types.is_boolean(column.type)
    numbers: npt.NDArray[Any] = np.from_dlpack(column) if plain else column.to_numpy(zero_copy_only=False)
    return numbers


def zeros(schema: pa.Schema, count: int) -> pa.RecordBatch:
    """Rows to try a model with: zeros, empty texts, and null where a type has no zero."""
    return pa.RecordBatch.from_arrays([_zero(kind, count) for kind in schema.types], names=schema.names)


def _zero(kind: pa.DataType, count: int) -> pa.Array:
    """Without pandas, as in ``as_column``."""
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(_zero(kind.value_type, count * kind.list_size), type=kind)
    if pa.types.is_string(kind):  # from the first byte of none to the first byte of none
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(bytes(4 * (count + 1))), pa.py_buffer(b"")])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(bytes((count * kind.bit_width + 7) // 8))])
    return pa.nulls(count, kind)
