"""What is at a key, as Event Grid compares it: an event has one value there, or those of a list, each of some kind.

A value is what a reader of the event's JSON sees: null counts as absent, times are texts, and a float that JSON cannot
say is null. Attributes of CloudEvents are texts too, whatever JSON wrote them as.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...batch import Indices
from ..columns import EventColumns, Key, booleans_of, is_number, is_text, numbers_of
from ..folding import fold

Mask = npt.NDArray[np.bool_]
_Objects = npt.NDArray[np.object_]

_CONTAINERS = (list, dict)


@dataclass(frozen=True)
class Elements:
    """The values at one key of ``events`` events, one after the other: of a list each element.

    ``values``: a column, or objects of any type; ``rows``: whose each is. ``listed``: which events have a list that is
    looked into. ``attribute``: is the key that of an attribute, and not of the data?
    """

    events: int
    values: pa.Array | _Objects
    rows: Indices
    listed: Mask
    attribute: bool

    @cached_property
    def cased(self) -> pa.Array:
        """The texts as they are; null for what is none."""
        if isinstance(self.values, pa.Array):
            return _texts_of(self.values)
        return pa.array([_text(value, self.attribute) for value in self.values], pa.string())

    @cached_property
    def texts(self) -> pa.Array:
        """The same without case."""
        return fold(self.cased)

    @cached_property
    def numbers(self) -> pa.Array:
        """``int64`` or ``float64``; null for what is none."""
        if isinstance(self.values, pa.Array):
            found = numbers_of(self.values)
            return _nulls(self.values, pa.float64()) if found is None else _finite(found)
        return pa.array([_number(value) for value in self.values], pa.float64())

    @cached_property
    def booleans(self) -> pa.Array:
        """Null for what is none."""
        if isinstance(self.values, pa.Array):
            found = booleans_of(self.values)
            return _nulls(self.values, pa.bool_()) if found is None else found
        return pa.array([value if type(value) is bool else None for value in self.values], pa.bool_())

    @cached_property
    def unfit(self) -> Mask:
        """Which events have what is compared with nothing: an object, a list of such, a list where none is looked
        into."""
        if isinstance(self.values, pa.Array):
            return self.any(true(self.values.is_valid()) & pa.types.is_nested(self.values.type))
        return self.any(np.array([type(value) in _CONTAINERS for value in self.values], np.bool_))

    @cached_property
    def present(self) -> Mask:
        """Which events have a value there that is not null, whatever its type."""
        if isinstance(self.values, pa.Array):
            values = _finite(self.values) if pa.types.is_floating(self.values.type) else self.values
            return self.any(true(values.is_valid())) | self.listed
        return self.any(np.array([value is not None for value in self.values], np.bool_)) | self.listed

    def any(self, met: Mask) -> Mask:
        """Of which events is any element met?"""
        found = np.zeros(self.events, np.bool_)
        found[self.rows[met]] = True
        return found


def elements(events: EventColumns, key: Key, arrays: bool) -> Elements:
    """What is at the key of each event. ``arrays``: are lists looked into? Raises nothing."""
    count, attribute = len(events), key[0] != "data"
    rows, listed = np.arange(count, dtype=np.int64), np.zeros(count, np.bool_)
    if (column := events.get(key)) is not None:
        if arrays and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            rows, listed = np.asarray(pc.list_parent_indices(column), np.int64), true(column.is_valid())
            column = pc.list_flatten(column)
        return Elements(count, column, rows, listed, attribute)
    values = events.objects(key)
    if values is None:
        return Elements(count, pa.nulls(count), rows, listed, attribute)
    if arrays:
        listed = np.array([type(value) is list for value in values], np.bool_)
        if listed.any():
            parts = [value if is_list else (value,) for value, is_list in zip(values, listed, strict=True)]
            rows = np.repeat(rows, [len(part) for part in parts])
            values = np.fromiter((value for part in parts for value in part), np.object_, len(rows))
    return Elements(count, values, rows, listed, attribute)


def _texts_of(values: pa.Array) -> pa.Array:
    kind = values.type
    if is_text(kind):
        return values.cast(pa.string())
    if is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_nested(kind) or pa.types.is_null(kind):
        return _nulls(values, pa.string())
    return pa.array([msgspec.to_builtins(value) for value in values.to_pylist()], pa.string())


def _text(value: Any, attribute: bool) -> str | None:
    if type(value) is str:
        return value
    return msgspec.json.encode(value).decode() if attribute and type(value) in (bool, int, float) else None


def _number(value: Any) -> float | None:
    try:
        return float(value) if type(value) in (int, float) else None
    except OverflowError:  # beyond every double
        return inf if value > 0 else -inf


def _finite(values: pa.Array) -> pa.Array:
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))


def _nulls(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.nulls(len(values), kind)


def true(found: pa.Array) -> Mask:
    """Where a column of booleans is true; null is not."""
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)
