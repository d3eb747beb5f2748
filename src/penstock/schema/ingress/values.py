"""Are the values of columns allowed, beyond their types? Vectorised: for bodies that arrive as columns, and for what
stages make.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InvalidEvent
from ..rows import children, rules_of

NOT_FINITE = "no reader of JSON gets it; declare it float | None, or give it a value"
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
        for fault, bad, path in _faults(field, column, _themselves, field.name):
            raise InvalidEvent(fault, row=int(bad[0]), field=path)


class MadeValues:
    """Finds the rows of what a stage made that its topic could not hold, or could not give back.

    As ``check_rows`` but for one thing: a NaN or infinity in an optional field is no fault, for it reads as null.
    """

    def __init__(self, schema: pa.Schema) -> None:
        looks = [(field, _quick_look(field)) for field in schema]
        self._looks = [(n, field, sound) for n, (field, sound) in enumerate(looks) if sound is not None]

    def faults(self, rows: pa.RecordBatch) -> dict[int, str]:
        """Rows and what is wrong with each, naming the field; ``rows`` has the columns of the schema."""
        found: dict[int, str] = {}
        for n, field, sound in self._looks:
            column = rows.column(n)
            if sound(column):
                continue
            for fault, bad, path in _faults(field, column, _themselves, field.name, made=True):
                for row in bad.tolist():
                    found.setdefault(row, f"field '{path}': {fault}")
        return found


def _quick_look(field: pa.Field) -> Callable[[pa.Array], bool] | None:
    """What says in a few microseconds that a whole column is sound; None: any values are."""
    kind = field.type
    if rules_of(field).keys() - {"default"} or children(field):
        return lambda column: False
    if pa.types.is_floating(kind) and not field.nullable:
        floats = np.dtype(f"<f{kind.bit_width // 8}")
        return lambda column: not column.null_count and bool(np.isfinite(_slots(column, floats)).all())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        low, high = (pa.scalar(end, kind).value for end in _ends(kind))
        ticks = np.dtype(f"<i{kind.bit_width // 8}")
        return lambda column: _all_within(column, ticks, low, high) and (field.nullable or not column.null_count)
    return None if field.nullable else lambda column: not column.null_count


def _all_within(column: pa.Array, kind: np.dtype[Any], low: int, high: int) -> bool:
    """Of the slots of nulls too, which may hold anything: then a closer look tells."""
    if column.null_count == len(column):
        return True
    values = _slots(column, kind)
    return bool(low <= values.min() and values.max() <= high)


def _slots(column: pa.Array, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """A column's buffer of numbers. Not by ``to_numpy``: that imports pandas, where it is installed, and the first
    events would wait for it."""
    if not len(column):
        return np.empty(0, kind)
    return np.frombuffer(column.buffers()[1], kind, len(column), kind.itemsize * column.offset)


Places: TypeAlias = npt.NDArray[np.int64]
Owners: TypeAlias = Callable[[Places], Places]
"""The rows of the batch that the values at some places belong to: asked for faults only, as values may be many."""
Fault: TypeAlias = tuple[str, Places, str]  # a reason, the rows it holds for, and the field's path


def _themselves(places: Places) -> Places:
    return places


def _faults(field: pa.Field, column: pa.Array, owners: Owners, path: str, *, made: bool = False) -> Iterator[Fault]:
    """``made``: by a stage, which wants all rows at fault, and of whose floats a NaN may stand for null."""
    if not len(column):  # flattening a list column without rows may end the process: its offsets may be any (Arrow 26)
        return
    for reason, bad in _bad(field, column, made=made):
        hits = np.flatnonzero(bad.fill_null(False).to_numpy(zero_copy_only=False))
        if len(hits):
            yield reason, owners(hits if made else hits[:1]), path
    yield from _inside(field, column, owners, path, made=made)


def _inside(field: pa.Field, column: pa.Array, owners: Owners, path: str, *, made: bool) -> Iterator[Fault]:
    if pa.types.is_struct(field.type):
        there = pc.is_valid(column)
        present = column.filter(there)
        for inner, values in zip(field.type.fields, present.flatten(), strict=True):
            inside = partial(_rows_there, owners, there)
            yield from _faults(inner, values, inside, f"{path}.{inner.name}", made=made)
    elif pa.types.is_list(field.type):
        inside = partial(_lists_of, owners, column)
        yield from _faults(field.type.value_field, pc.list_flatten(column), inside, f"{path}[]", made=made)


def _rows_there(owners: Owners, there: pa.Array, places: Places) -> Places:
    """Of values counted among those that are there."""
    return owners(np.flatnonzero(there.to_numpy(zero_copy_only=False))[places])


def _lists_of(owners: Owners, column: pa.Array, places: Places) -> Places:
    """Of values counted through all lists."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    return owners(np.searchsorted(lengths.cumsum(), places, side="right"))


def _bad(field: pa.Field, column: pa.Array, *, made: bool) -> Iterator[tuple[str, pa.Array]]:
    """Reasons, and for each a mask of the values it holds for."""
    kind, rules = field.type, rules_of(field)
    if not field.nullable and column.null_count:
        yield "null, and it is not optional", pc.is_null(column)
    if pa.types.is_floating(kind) and not made:
        yield "NaN or infinity", pc.invert(pc.is_finite(column))
    if pa.types.is_floating(kind) and made and not field.nullable:
        yield f"NaN or infinity, and it is not optional: {NOT_FINITE}", pc.invert(pc.is_finite(column))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        yield "outside the years 1 to 9999", _outside(column, *_ends(kind))
    if "enum" in rules:
        known = pc.is_in(column, value_set=pa.array(rules["enum"], kind))
        yield f"not one of {rules['enum']}", pc.and_(pc.is_valid(column), pc.invert(known))
    for name, (sign, breaks) in _BOUNDS.items():
        if name in rules:
            yield f"{sign} {rules[name]}", breaks(column, pa.scalar(rules[name]))
    yield from _bad_shape(column, rules)


def _ends(kind: pa.DataType) -> tuple[Any, Any]:
    return (date.min, date.max) if pa.types.is_date(kind) else (_EARLIEST, _LATEST)


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
