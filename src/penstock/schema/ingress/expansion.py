"""How many bytes columns have once every value is spelled out, told from their buffers before any of it is done.

Views, dictionaries and lists of a fixed size may name one value any number of times, and nulls take no bytes at all:
a few hundred kilobytes of such columns hold gigabytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..casts import BYTES, LISTS, TEXT

Sizes: TypeAlias = int | npt.NDArray[np.int64]
"""Bytes of each value, or of any when all have as many: then there may be more of them than memory holds numbers."""

SLOT_BYTES = 8  # of a text, a list or an object itself: where it begins, and whether it is there


def expanded(column: pa.Array, to: pa.DataType, limit: int) -> int:
    """Bytes of a valid column as ``to``, to which it can be cast; of one over ``limit``, anything above it."""
    each = _sizes(column, to, limit + 1)
    return each * len(column) if isinstance(each, int) else int(each.sum())


def _sizes(column: pa.Array, to: pa.DataType, cap: int) -> Sizes:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _of_indices(column, _sizes(column.dictionary, to, cap))
    if any(is_list(kind) for is_list in LISTS):
        return _of_lists(column, _sizes(column.values, to.value_type, cap), cap)
    if pa.types.is_struct(kind):
        inner = [_sizes(column.field(i), field.type, cap) for i, field in enumerate(to.fields)]
        return _capped(sum(inner, SLOT_BYTES), cap)
    if any(is_one(kind) for is_one in (*TEXT, *BYTES)):
        return _lengths(column) + SLOT_BYTES
    return max(1, to.bit_width // 8) if pa.types.is_primitive(to) else SLOT_BYTES


def _capped(sizes: Any, cap: int) -> Sizes:
    """Capped at each level, so that no sum of them is beyond an integer."""
    if isinstance(sizes, int):
        return min(sizes, cap)
    capped: npt.NDArray[np.int64] = np.minimum(sizes, cap)
    return capped


def _of_indices(column: pa.DictionaryArray, each: Sizes) -> Sizes:
    if isinstance(each, int):
        return each
    there = column.indices.is_valid().to_numpy(zero_copy_only=False)
    found = np.full(len(column), SLOT_BYTES, np.int64)
    found[there] = each[column.indices.filter(pa.array(there)).to_numpy()]
    return found


def _of_lists(column: pa.Array, each: Sizes, cap: int) -> Sizes:
    kind = column.type
    if pa.types.is_fixed_size_list(kind) and (isinstance(each, int) or kind.list_size == 0):
        return min(SLOT_BYTES + int(kind.list_size) * (each if isinstance(each, int) else 0), cap)
    starts, ends = _bounds(column)
    if isinstance(each, int):
        return _capped(SLOT_BYTES + each * np.minimum(ends - starts, cap), cap)
    before = np.concatenate([[0], each.cumsum()])
    return _capped(SLOT_BYTES + before[ends] - before[starts], cap)


def _bounds(column: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each list begins and ends among the values."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        starts = (np.arange(len(column)) + column.offset) * kind.list_size
        return starts, starts + kind.list_size
    offsets = column.offsets.to_numpy().astype(np.int64)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return offsets, offsets + column.sizes.to_numpy()
    return offsets[:-1], offsets[1:]


def _lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of each text."""
    kind, count = values.type, len(values)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        views = np.frombuffer(values.buffers()[1] or b"", np.int32, 4 * count, 16 * values.offset)
        return np.where(values.is_valid().to_numpy(zero_copy_only=False), views[::4], 0).astype(np.int64)
    return np.asarray(pc.binary_length(values).fill_null(0), np.int64)
