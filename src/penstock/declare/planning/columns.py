"""The columns that come of a function: found by one call with zero rows, or by the class it returns."""

from __future__ import annotations

import asyncio
from typing import Any, get_origin

import polars as pl
import pyarrow as pa

from ...batch import JSON_SCHEMA
from ...errors import DeclarationError
from ...schema.casts import castable
from ...schema.rows import rules_of
from ...schema.types import schema_of
from ..parts import FunctionPart
from .functions import FunctionShape

_WIDEST = (
    (pa.types.is_integer, pa.int64()),
    (pa.types.is_floating, pa.float64()),
    (pa.types.is_boolean, pa.bool_()),
    (pa.types.is_timestamp, pa.timestamp("us", tz="UTC")),
    (pa.types.is_date, pa.date32()),
)
_LAYOUTS = (pa.string(), pa.binary())


def typed_columns(kind: Any) -> pa.Schema:
    """The columns of an event class; a dict holds JSON. Raises ``DeclarationError``."""
    return JSON_SCHEMA if (get_origin(kind) or kind) is dict else schema_of(kind)


def called_with_no_rows(part: FunctionPart, shape: FunctionShape, source: pa.Schema) -> pa.Schema:
    """The columns that a batch function answers with, without ``_row``.

    Raises ``DeclarationError`` when it needs what only a running app gives, fails on zero rows, or returns no frame.
    """
    if shape.asked.types or shape.asked.refs:
        needs = ", ".join([*map(str, shape.asked.types), *map(str, shape.asked.refs)])
        raise DeclarationError(f"it asks for {needs}, and only a running app provides that")
    rows = _no_rows(pa.schema([*source, pa.field("_row", pa.uint32())]))
    given = pl.from_arrow(rows) if shape.takes == "frame" else rows
    try:
        answer = part.function(given)
        answer = asyncio.run(answer) if shape.is_async else answer
    except (Exception, SystemExit) as error:  # whatever the user's function raises
        raise DeclarationError(f"called with zero rows it raised {type(error).__name__}: {error}") from error
    if isinstance(answer, pl.DataFrame):
        answer = _as_table(answer)
    if not isinstance(answer, (pa.Table, pa.RecordBatch)):
        raise DeclarationError(f"called with zero rows it returned {type(answer).__name__}, not a frame")
    return pa.schema([f for f in answer.schema if f.name != "_row"])


def _as_table(answer: pl.DataFrame) -> pa.Table:
    """Raises ``DeclarationError`` naming a column that Arrow has no type for, such as Int128."""
    for name, kind in answer.schema.items():
        try:
            answer.select(name).to_arrow()
        except pa.ArrowException:
            raise DeclarationError(
                f"the column '{name}' is {kind}, which no topic holds: cast it to pl.Int64"
            ) from None
    return answer.to_arrow()


def plain_columns(schema: pa.Schema) -> pa.Schema:
    """The topic columns that hold these: every integer as int64, every text as string; any may be null.

    Raises ``DeclarationError`` naming a column that no topic can hold.
    """
    if not len(schema):
        raise DeclarationError("it returns no columns")
    return pa.schema([pa.field(f.name, _plain(f.name, f.type)) for f in schema])


def misfits(given: pa.Schema, target: pa.Schema) -> list[str]:
    """Why rows with these columns are not events of the target's type; nothing when they are."""
    wrong = []
    for field in given:
        index = target.get_field_index(field.name)
        if index < 0:
            wrong.append(f"the column '{field.name}' is not in its type ({', '.join(target.names)})")
        elif not castable(field.type, target.field(index).type):
            wrong.append(f"the column '{field.name}' is {field.type} and not {target.field(index).type}")
    needed = [f.name for f in target if not f.nullable and "default" not in rules_of(f)]
    wrong += [f"the column '{name}' is missing" for name in needed if name not in given.names]
    return wrong


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    # Not of empty lists: at the first list pyarrow imports pandas, where it is installed.
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)


def _plain(name: str, kind: pa.DataType) -> pa.DataType:
    if name.startswith("_"):
        raise DeclarationError(f"the column '{name}': names that begin with '_' belong to the envelope")
    if pa.types.is_null(kind):
        raise DeclarationError(f"the column '{name}' has no type without rows: cast it, pl.col('{name}').cast(...)")
    if pa.types.is_dictionary(kind):
        return _plain(name, kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain(f.name, f.type)) for f in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(name, kind.value_type))
    for is_one, widest in _WIDEST:
        if is_one(kind):
            return widest
    for layout in _LAYOUTS:
        if castable(kind, layout):
            return layout
    raise DeclarationError(f"the column '{name}' is {kind}, which no topic holds: cast it to a number or to text")
