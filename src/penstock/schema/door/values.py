"""Are the values of columns allowed, beyond their types? Vectorised: for bodies that arrive as columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InvalidEvent
from ..rows import rules_of

_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "ge": ("<", pc.less),
    "gt": ("<=", pc.less_equal),
    "le": (">", pc.greater),
    "lt": (">=", pc.greater_equal),
}


def check_rows(rows: pa.RecordBatch, schema: pa.Schema | None = None) -> None:
    """Refuse what the JSON door refuses: NaN and infinity, absent values, times outside the years 1 to 9999, broken
    rules. Raises ``InvalidEvent`` with the first row of the first column at fault."""
    for field, column in zip(schema or rows.schema, rows.columns, strict=True):
        for fault, row, path in _faults(field, column, _itself, field.name):
            raise InvalidEvent(fault, row=row, field=path)


Owner: TypeAlias = Callable[[int], int]
"""The row of the batch that the value at a place belongs to: asked for a fault only, as values may be very many."""


def _itself(place: int) -> int:
    return place


def _faults(field: pa.Field, column: pa.Array, owner: Owner, path: str) -> Iterator[tuple[str, int, str]]:
    for reason, bad in _bad(field, column):
        hits = np.flatnonzero(bad.fill_null(False).to_numpy(zero_copy_only=False))
        if len(hits):
            yield reason, owner(int(hits[0])), path
    yield from _inside(field, column, owner, path)


def _inside(field: pa.Field, column: pa.Array, owner: Owner, path: str) -> Iterator[tuple[str, int, str]]:
    if pa.types.is_struct(field.type):
        there = pc.is_valid(column)
        present = column.filter(there)
        for inner, values in zip(field.type.fields, present.flatten(), strict=True):
            yield from _faults(inner, values, lambda place: owner(_place_of(there, place)), f"{path}.{inner.name}")
    elif pa.types.is_list(field.type):
        yield from _faults(
            field.type.value_field, pc.list_flatten(column), lambda place: owner(_list_of(column, place)), f"{path}[]"
        )


def _place_of(there: pa.Array, place: int) -> int:
    """Of the ``place``-th value that is there, counted from 0."""
    return int(np.flatnonzero(there.to_numpy(zero_copy_only=False))[place])


def _list_of(column: pa.Array, place: int) -> int:
    """The list that the ``place``-th of all lists' values is in."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    return int(np.searchsorted(lengths.cumsum(), place, side="right"))


def _bad(field: pa.Field, column: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Reasons, and for each a mask of the values it holds for."""
    kind, rules = field.type, rules_of(field)
    if not field.nullable and column.null_count:
        yield "null, and it is not optional", pc.is_null(column)
    if pa.types.is_floating(kind):
        yield "NaN or infinity", pc.invert(pc.is_finite(column))
    if pa.types.is_timestamp(kind):
        yield "outside the years 1 to 9999", _outside(column, _EARLIEST, _LATEST)
    if pa.types.is_date(kind):
        yield "outside the years 1 to 9999", _outside(column, date.min, date.max)
    if "enum" in rules:
        known = pc.is_in(column, value_set=pa.array(rules["enum"], kind))
        yield f"not one of {rules['enum']}", pc.and_(pc.is_valid(column), pc.invert(known))
    for name, (sign, breaks) in _BOUNDS.items():
        if name in rules:
            yield f"{sign} {rules[name]}", breaks(column, pa.scalar(rules[name]))
    yield from _bad_shape(column, rules)


def _outside(column: pa.Array, low: Any, high: Any) -> pa.Array:
    return pc.or_(
        pc.less(column, pa.scalar(low, column.type)),
        pc.greater(column, pa.scalar(high, column.type)),
    )


def _bad_shape(column: pa.Array, rules: dict[str, Any]) -> Iterator[tuple[str, pa.Array]]:
    if "multiple_of" in rules:
        rest = np.mod(column.fill_null(0).to_numpy(zero_copy_only=False), rules["multiple_of"])
        yield f"not a multiple of {rules['multiple_of']}", pa.array(rest != 0)
    if "min_length" in rules:
        yield f"shorter than {rules['min_length']}", pc.less(_length(column), rules["min_length"])
    if "max_length" in rules:
        yield f"longer than {rules['max_length']}", pc.greater(_length(column), rules["max_length"])
    if "pattern" in rules:
        yield f"does not match {rules['pattern']}", _unmatched(column, rules["pattern"])


def _length(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return pc.utf8_length(column)
    return pc.list_value_length(column) if pa.types.is_list(column.type) else pc.binary_length(column)


def _unmatched(column: pa.Array, pattern: str) -> pa.Array:
    """By Python's own ``re``, as the JSON door does; each distinct value is looked at once."""
    search = re.compile(pattern).search
    found = column.dictionary_encode()
    wrong = pa.array([search(text) is None for text in found.dictionary.to_pylist()], pa.bool_())
    return wrong.take(found.indices)
