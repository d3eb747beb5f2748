"""Columns of a type that holds the same values, brought to the type a topic declares."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

INT32_MAX = 2**31 - 1
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
    pa.types.is_fixed_size_list,
)


def cast_column(column: pa.Array, to: pa.DataType) -> pa.Array:
    """The same values as ``to``.

    Allowed: integers and floats to wider ones, integers to floats where exact, any layout of text, bytes or lists to
    the plain one, a dictionary to its values, a time to microseconds in UTC (naive ones are UTC; finer ones are rounded
    as the JSON door rounds them, half a microsecond to the later one). Raises ``TypeError`` for other types and
    ``ValueError`` for a value that does not fit.
    """
    if column.type == to:
        return column
    if not castable(column.type, to):
        raise TypeError(f"a column of {column.type} does not fit {to}")
    if not len(column):  # flattening a list column without rows may end the process: its offsets may be any (Arrow 26)
        return pa.nulls(0, to)
    if pa.types.is_dictionary(column.type):
        return cast_column(column.dictionary, to).take(column.indices)
    if any(is_list(column.type) for is_list in LISTS):
        return _list(column, to)
    if pa.types.is_struct(column.type) and to.num_fields:
        inner = [cast_column(values, f.type) for values, f in zip(column.flatten(), to.fields, strict=True)]
        return pa.StructArray.from_arrays(inner, fields=list(to.fields), mask=column.is_null())
    if pa.types.is_timestamp(to) and not pa.types.is_null(column.type):
        return _time(column, to)
    return column.cast(to)


def _list(column: pa.Array, to: pa.ListType) -> pa.Array:
    """By hand: Arrow's own cast of list views gives invalid lists, and of large ones other values (seen in 26.0)."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], lengths.cumsum(dtype=np.int64)])
    if offsets[-1] > INT32_MAX:
        raise ValueError(f"{offsets[-1]} values in the lists of one column; a column holds {INT32_MAX}")
    values = cast_column(column.flatten(), to.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=to, mask=column.is_null())


def relaxed(kind: pa.DataType) -> pa.DataType:
    """The type with nulls allowed everywhere inside, for values that nobody has checked yet."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, relaxed(f.type)) for f in kind.fields])
    return pa.list_(relaxed(kind.value_type)) if pa.types.is_list(kind) else kind


def castable(from_: pa.DataType, to: pa.DataType) -> bool:
    t = pa.types
    if from_ == to or t.is_null(from_):
        return True
    if t.is_dictionary(from_):
        return castable(from_.value_type, to)
    if t.is_integer(from_):
        return bool(t.is_integer(to) or t.is_floating(to))
    if t.is_floating(from_):
        return bool(t.is_floating(to) and from_.bit_width <= to.bit_width)
    if t.is_timestamp(from_) or t.is_date64(from_):
        return bool(t.is_timestamp(to) if t.is_timestamp(from_) else t.is_date32(to))
    return _same_layout(from_, to)


def _same_layout(from_: pa.DataType, to: pa.DataType) -> bool:
    for family in (TEXT, BYTES):
        if any(is_one(from_) for is_one in family):
            return any(is_one(to) for is_one in family)
    if any(is_list(from_) for is_list in LISTS):
        return any(is_list(to) for is_list in LISTS) and castable(from_.value_type, to.value_type)
    if pa.types.is_struct(from_) and pa.types.is_struct(to):
        before, after = list(from_.fields), list(to.fields)
        same_names = [f.name for f in before] == [f.name for f in after]
        return same_names and all(castable(b.type, a.type) for b, a in zip(before, after, strict=True))
    return False


def _time(column: pa.Array, to: pa.TimestampType) -> pa.Array:
    if column.type.unit == "ns":  # division cannot overflow; the other units multiply, and Arrow checks that
        absent = column.is_null().to_numpy(zero_copy_only=False)
        whole, rest = np.divmod(column.cast(pa.int64()).fill_null(0).to_numpy(), 1_000)
        column = pa.array(whole + (rest >= 500), pa.int64(), mask=absent).cast(pa.timestamp("us", tz=column.type.tz))
    return column.cast(to)
