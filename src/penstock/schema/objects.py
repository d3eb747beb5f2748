"""Columns to Python event objects and back: for functions that take one event, and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, is_typeddict

import msgspec
import pyarrow as pa

from ..batch import data_columns
from ..errors import InvalidEvent
from .decode import Decoder
from .ingress.faults import unfit
from .ingress.values import MadeValues
from .members import is_pydantic, optional_keys
from .rows import NATIVE, is_json
from .scalars import as_builtin


def to_objects(rows: pa.RecordBatch, event_type: Any) -> list[Any]:
    """An object of ``event_type`` a row; the envelope is left out. Without a type each is a dict of its columns, or
    what the text of a JSON topic holds.

    Raises ``InvalidEvent`` for a row that the type itself refuses (a Pydantic validator, ``__post_init__``).
    """
    rows = data_columns(rows)
    if is_json(rows.schema):
        return _parsed(rows.column(0))
    values = zip(*(column.to_pylist() for column in rows.columns), strict=True)
    names = rows.schema.names
    found = [dict(zip(names, row, strict=True)) for row in values]
    if event_type is None:
        return found
    if is_pydantic(event_type):
        return [_validated(row, event_type, at) for at, row in enumerate(found)]
    if is_typeddict(event_type):
        _leave_out_absent(found, event_type)
    try:
        return msgspec.convert(found, list[event_type], builtin_types=NATIVE)
    except msgspec.ValidationError as error:
        raise unfit(str(error), many=True) from None


def from_objects(objects: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    """Columns of events that a user's code made: instances of the event type, or dicts of that shape.

    Nothing checked the fields of a dataclass yet, so each is checked here as at the door; NaN and infinity will do
    where null would. Raises ``InvalidEvent`` naming row and field.
    """
    values = [o.model_dump() if is_pydantic(type(o)) else o for o in objects]
    if is_json(schema):
        return _texts(values, schema)
    decoder, made = _compiled(schema.serialize().to_pybytes())
    try:
        rows = decoder.columns(decoder.convert(msgspec.to_builtins(values, builtin_types=NATIVE, enc_hook=as_builtin)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidEvent(f"no event of the topic's type: {error}") from None
    for row, reason in made.faults(rows).items():
        raise InvalidEvent(reason, row=row)
    return rows


@lru_cache(maxsize=256)
def _compiled(schema: bytes) -> tuple[Decoder, MadeValues]:
    """By its serialised form: equality of Arrow schemas leaves out the rules in their metadata."""
    read = pa.ipc.read_schema(pa.py_buffer(schema))
    return Decoder(read), MadeValues(read)


def _parsed(texts: pa.Array) -> list[Any]:
    found: list[Any] = msgspec.json.decode("[" + ",".join(texts.to_pylist()) + "]")
    return found


def _texts(values: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    texts = []
    for row, value in enumerate(values):
        try:
            texts.append(msgspec.json.encode(value, enc_hook=as_builtin).decode())
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidEvent(f"cannot be written as JSON: {error}", row=row) from None
    return pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], schema=schema)


def _validated(row: dict[str, Any], event_type: Any, at: int) -> Any:
    try:
        return event_type.model_validate(row)
    except ValueError as error:  # Pydantic's own is one
        raise InvalidEvent(str(error), row=at) from None


def _leave_out_absent(rows: list[dict[str, Any]], event_type: Any) -> None:
    """A key that is not required and null was absent: a TypedDict's null would have to be declared."""
    optional = optional_keys(event_type)
    for row in rows:
        for name in optional:
            if row.get(name, ...) is None:
                del row[name]
