"""Arrow IPC stream bodies: they are columns already, so what is left is to trust nothing in them."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from ...batch import concat_same
from ...errors import InvalidEvent, TooLarge, UnsupportedMediaType
from ..casts import cast_column, castable, relaxed
from ..rows import INT64_MAX, default_scalar, is_json, rules_of
from .expansion import expanded
from .faults import unknown_field
from .ignored import Ignored
from .values import check_rows

_END = b"\xff\xff\xff\xff\0\0\0\0"
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2  # MessageHeader in Arrow's Message.fbs


BATCH_LIMIT = 1_024  # record batches of one request: each costs as much as many rows
SCHEMA_LIMIT_BYTES = 1 << 20  # bytes of the stream's schema


def from_arrow(
    body: bytes,
    schema: pa.Schema,
    *,
    row_limit: int = 50_000,
    size_limit: int = 1 << 25,
    reject_unknown: bool = False,
    ignored: Ignored | None = None,
) -> pa.RecordBatch:
    """The rows of an IPC stream, brought to the topic's schema and checked as the JSON door checks.

    Columns are found by name; one with a default may be missing, and types that hold the same values are cast (see
    ``casts``). Unknown ones are not read, but told to ``ignored`` with the number of rows, and with ``reject_unknown``
    they are refused. Columns that need no cast are views of the body.

    Raises ``InvalidEvent`` (no whole stream, another type, a value that breaks a rule), ``TooLarge`` (more rows or
    record batches, or more bytes once lists, views and dictionaries are spelled out), ``UnsupportedMediaType``
    (compressed buffers, whose size nobody can tell before they are unpacked; or a topic without a type).
    """
    if is_json(schema):
        raise UnsupportedMediaType("this topic has no type, so it takes JSON and no Arrow")
    try:
        rows, names = _checked(body, schema, row_limit, size_limit, reject_unknown)
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise InvalidEvent("not a sound Arrow stream: " + str(error).partition("\n")[0]) from None
    if ignored is not None and rows.num_rows:
        ignored.add(dict.fromkeys((name for name in names if name not in schema.names), rows.num_rows))
    return rows


def _checked(
    body: bytes, schema: pa.Schema, row_limit: int, size_limit: int, reject_unknown: bool
) -> tuple[pa.RecordBatch, list[str]]:
    """The rows, and the names of all columns of the stream."""
    buffer = _sound(body)
    with pa.ipc.open_stream(buffer) as stream:
        names = stream.schema.names
        if _is_declared(stream.schema, schema):
            return _whole(stream, schema, row_limit, size_limit), names
        loose = pa.schema([f.with_type(relaxed(f.type)).with_nullable(True) for f in schema])
        known = _known(stream.schema, loose, reject_unknown)
    options = pa.ipc.IpcReadOptions(included_fields=known or [0])
    with pa.ipc.open_stream(buffer, options=options) as stream:
        whole = _whole(stream, schema, row_limit, size_limit, loose)
    columns = [column.cast(field.type) for column, field in zip(whole.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema), names


def _whole(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    row_limit: int,
    size_limit: int,
    loose: pa.Schema | None = None,
) -> pa.RecordBatch:
    """All rows, checked. ``loose``: what to bring the columns to, where they are not of the schema's very types."""
    is_flat = not any(pa.types.is_nested(field.type) for field in schema)
    found: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        first, rows = rows, rows + batch.num_rows
        if rows > row_limit:
            raise TooLarge(f"{rows} events in one request; the limit is {row_limit}")
        batch.validate(full=True)
        if loose is not None or not is_flat:  # else each value has bytes of its own in the body
            size += _expanded(batch, loose or schema, size_limit)
        if size > size_limit:
            raise TooLarge(f"more than {size_limit} bytes of values in one request: send several")
        found.append(batch if loose is None else _brought(batch, first, schema, loose))
    whole = concat_same(found) if found else pa.RecordBatch.from_pylist([], schema=loose or schema)
    check_rows(whole, schema)
    return whole if loose is not None else pa.RecordBatch.from_arrays(whole.columns, schema=schema)


def _expanded(batch: pa.RecordBatch, to: pa.Schema, limit: int) -> int:
    """Bytes of the columns that the topic has."""
    named = zip(batch.schema.names, batch.columns, strict=True)
    return sum(expanded(column, to.field(name).type, limit) for name, column in named if name in to.names)


def _is_declared(found: pa.Schema, schema: pa.Schema) -> bool:
    """The very columns and types of the topic: nothing to cast."""
    return bool(found.names == schema.names and found.types == schema.types)


def _sound(body: bytes) -> pa.Buffer:
    """The body, if its messages are whole, not too many, and not compressed. None of their columns is read."""
    if not body.endswith(_END):
        raise InvalidEvent("the Arrow stream is cut short: it lacks its end marker")
    buffer = pa.py_buffer(body)
    for count, message in enumerate(pa.ipc.MessageReader.open_stream(buffer)):
        if count == 0 and message.metadata.size > SCHEMA_LIMIT_BYTES:
            raise TooLarge(f"a schema of {message.metadata.size} bytes; the limit is {SCHEMA_LIMIT_BYTES}")
        if count > BATCH_LIMIT:
            raise TooLarge(f"more than {BATCH_LIMIT} record batches in one request: write fewer, larger ones")
        if _is_compressed(message):
            raise UnsupportedMediaType("compressed Arrow buffers: send them plain, or compress the whole body")
    return buffer


def _known(found: pa.Schema, loose: pa.Schema, reject_unknown: bool) -> list[int]:
    """The places of the topic's columns. Raises ``InvalidEvent`` for a name that may not be, or another type."""
    for name, times in Counter(found.names).items():
        if name.startswith("_") and name not in loose.names:  # of a domain each row says its topic
            raise InvalidEvent("names that begin with '_' belong to the envelope", field=name)
        if times > 1:
            raise InvalidEvent("two columns of this name", field=name)
        if reject_unknown and name not in loose.names:
            raise InvalidEvent(unknown_field(name, loose), field=name)
    known = [place for place, field in enumerate(found) if field.name in loose.names]
    for place in known:
        field = found.field(place)
        if not castable(field.type, loose.field(field.name).type):
            what = str(field.type)[:200]
            raise InvalidEvent(f"a column of {what} does not fit {loose.field(field.name).type}", field=field.name)
    return known


def _is_compressed(message: pa.Message) -> bool:
    """Read from the message's flatbuffer, since pyarrow tells only after it has unpacked."""
    data = message.metadata.to_pybytes()
    root = struct.unpack_from("<I", data)[0]
    kind = _slot(data, root, 1)
    header = _table(data, root, 2)
    if kind and header and data[kind] == _DICTIONARY_BATCH:
        header = _table(data, header, 1)
    is_batch = bool(kind) and data[kind] in (_RECORD_BATCH, _DICTIONARY_BATCH)
    return is_batch and bool(header) and bool(_slot(data, header, 3))


def _slot(data: bytes, table: int, number: int) -> int:
    """Where a flatbuffer table keeps its ``number``-th field; 0 when it has none."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + at)[0] if at + 2 <= size else 0
    return table + offset if offset else 0


def _table(data: bytes, table: int, number: int) -> int:
    slot = _slot(data, table, number)
    return slot + struct.unpack_from("<I", data, slot)[0] if slot else 0


def _brought(batch: pa.RecordBatch, first: int, schema: pa.Schema, loose: pa.Schema) -> pa.RecordBatch:
    """``first``: so many rows came before this batch."""
    columns = [_column(batch, first, field, to.type) for field, to in zip(schema, loose, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=loose)


def _column(batch: pa.RecordBatch, first: int, field: pa.Field, to: pa.DataType) -> pa.Array:
    index = batch.schema.get_field_index(field.name)
    if index < 0:
        if "default" not in rules_of(field):
            raise InvalidEvent("missing, and it has no default", field=field.name)
        return pa.repeat(default_scalar(field), batch.num_rows).cast(to)
    column = batch.column(index)
    try:
        return cast_column(column, to)
    except (TypeError, ValueError) as error:
        if column.type == pa.uint64() and to == pa.int64():
            row = pc.index(pc.greater(column, pa.scalar(INT64_MAX, pa.uint64())), True).as_py()
            reason = f"{column[row]} is beyond an integer of 64 bits"
            raise InvalidEvent(reason, row=first + row, field=field.name) from None
        raise InvalidEvent(str(error), field=field.name) from None
