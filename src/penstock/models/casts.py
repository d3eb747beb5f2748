"""Columns brought to the types that a model reads: no value becomes another on the way, but for a float's rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InputInvalid

Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def is_numeric(kind: pa.DataType) -> bool:
    """Can become a float without a convention of somebody's: numbers, booleans, and columns of nulls."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    )


def castable(found: pa.DataType, wanted: pa.DataType) -> bool:
    if found == wanted or pa.types.is_null(found) or pa.types.is_null(wanted):
        return True
    if pa.types.is_fixed_size_list(wanted):
        same_length = not pa.types.is_fixed_size_list(found) or found.list_size == wanted.list_size
        return is_list(found) and same_length and castable(found.value_type, wanted.value_type)
    if is_list(wanted):
        return is_list(found) and castable(found.value_type, wanted.value_type)
    if pa.types.is_dictionary(found):
        return castable(found.value_type, wanted)
    if is_text(wanted):
        return is_text(found)
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(found) or pa.types.is_boolean(found))
    return is_numeric(wanted) and is_numeric(found)


def is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def narrowed(column: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    """The same values as ``kind``; nulls stay. Lists of any length become those of a fixed one, if they have it.

    A float takes the nearest number that it has, as it did when the model was trained. Raises ``InputInvalid`` with
    the rows of values that ``kind`` cannot hold at all: integers and floats beyond it, fractions for an integer, other
    numbers than 0 and 1 for a boolean, lists of another length.
    """
    if column.type == kind:
        return column
    if is_list(kind):
        return _lists(column, kind, name)
    if (lost := _lost(column, kind)).any():
        raise InputInvalid(beyond(name, kind), _places(lost))
    return column.cast(kind, safe=False)


def beyond(name: str, kind: pa.DataType) -> str:
    return f"column '{name}' has a value that is no {kind}, as which the model reads it"


def overflows(values: Values, dtype: np.dtype[Any]) -> Mask:
    """Which finite numbers are infinite in that float type."""
    with np.errstate(over="ignore"):
        lost: Mask = np.isinf(values.astype(dtype)) & np.isfinite(values)
    return lost


def _lists(column: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        _require_length(column, kind.list_size, name)
    parents = pc.list_parent_indices(column).to_numpy()
    try:
        values = narrowed(column.flatten(), kind.value_type, name)
    except InputInvalid as error:
        raise InputInvalid(error.reason, np.unique(parents[error.rows]).tolist()) from None
    missing = column.is_null() if column.null_count else None
    if not pa.types.is_fixed_size_list(kind):
        ends = np.cumsum(np.bincount(parents, minlength=len(column)))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        return pa.ListArray.from_arrays(offsets, values, type=kind, mask=missing)
    if missing is not None:  # a null list holds no values, and takes their room
        filled = np.repeat(~_mask(missing), kind.list_size)
        values = values.take(pa.array(np.cumsum(filled) - 1, mask=~filled))
    return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=missing)


def _require_length(column: pa.Array, size: int, name: str) -> None:
    lengths = pc.list_value_length(column)
    other = _mask(pc.fill_null(pc.not_equal(lengths, size), False))
    if other.any():
        rows = _places(other)
        raise InputInvalid(f"column '{name}' has {lengths[rows[0]]} numbers, and the model reads {size}", rows)


def _lost(column: pa.Array, kind: pa.DataType) -> Mask:
    """Which values ``kind`` cannot hold."""
    if not (_is_number(column.type) and _is_number(kind)):
        return np.zeros(len(column), np.bool_)
    values = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        return overflows(values, np.dtype(kind.to_pandas_dtype()))
    if pa.types.is_boolean(kind):
        return np.asarray((values != 0) & (values != 1))
    bounds = np.iinfo(kind.to_pandas_dtype())
    if values.dtype.kind != "f":
        return np.asarray((values < bounds.min) | (values > bounds.max))
    # The most that 64 bits hold is no float; the number after it is.
    return np.asarray(~((values >= bounds.min) & (values < float(int(bounds.max) + 1))) | (values != np.trunc(values)))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _mask(column: pa.Array) -> Mask:
    mask: Mask = column.to_numpy(zero_copy_only=False)
    return mask


def _places(mask: Mask) -> Sequence[int]:
    places: list[int] = np.flatnonzero(mask).tolist()
    return places
