"""Arrow IPC stream bodies: they are columns already, so what is left is to trust nothing in them."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...batch import joined
from ...errors import InvalidEvent, TooLarge, UnsupportedMediaType
from ..casts import BYTES, LISTS, TEXT, cast_column, relaxed
from ..rows import default_scalar, is_json, rules_of
from .faults import unknown_field
from .values import check_rows

_END = b"\xff\xff\xff\xff\0\0\0\0"
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2  # MessageHeader in Arrow's Message.fbs


def from_arrow(
    body: bytes,
    schema: pa.Schema,
    *,
    row_limit: int = 50_000,
    size_limit: int = 1 << 25,
    reject_unknown: bool = False,
) -> pa.RecordBatch:
    """The rows of an IPC stream, brought to the topic's schema and checked as the JSON door checks.

    Columns are found by name; one with a default may be missing, unknown ones are ignored unless
    ``reject_unknown``, and types that hold the same values are cast (see ``casts``). Columns that need no cast are
    views of the body.

    Raises ``InvalidEvent`` (no whole stream, another type, a value that breaks a rule), ``TooLarge`` (more rows, or
    more bytes once views and dictionaries are spelled out), ``UnsupportedMediaType`` (compressed buffers, whose size
    nobody can tell before they are unpacked; or a topic without a type).
    """
    if is_json(schema):
        raise UnsupportedMediaType("this topic has no type, so it takes JSON and no Arrow")
    try:
        batches = _read(body)
        if reject_unknown:
            _refuse_unknown(batches, schema)
        return _checked(batches, schema, row_limit, size_limit)
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise InvalidEvent("not a sound Arrow stream: " + str(error).partition("\n")[0]) from None


def _checked(batches: list[pa.RecordBatch], schema: pa.Schema, row_limit: int, size_limit: int) -> pa.RecordBatch:
    rows = sum(batch.num_rows for batch in batches)
    if rows > row_limit:
        raise TooLarge(f"{rows} events in one request; the limit is {row_limit}")
    if batches and all(_is_declared(batch.schema, schema) for batch in batches):
        whole = joined(batches)
        check_rows(whole, schema)
        return pa.RecordBatch.from_arrays(whole.columns, schema=schema)
    size = sum(_expanded(column) for batch in batches for column in batch.columns)
    if size > size_limit:
        raise TooLarge(f"{size} bytes of values in one request; the limit is {size_limit}")
    loose = pa.schema([f.with_type(relaxed(f.type)).with_nullable(True) for f in schema])
    found = [_brought(batch, schema, loose) for batch in batches]
    whole = pa.concat_batches(found) if found else pa.RecordBatch.from_pylist([], schema=loose)
    check_rows(whole, schema)
    columns = [column.cast(field.type) for column, field in zip(whole.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _refuse_unknown(batches: list[pa.RecordBatch], schema: pa.Schema) -> None:
    for batch in batches[:1]:  # a stream has one schema
        for name in batch.schema.names:
            if name not in schema.names and not name.startswith("_"):
                raise InvalidEvent(unknown_field(name, schema), field=name)


def _is_declared(found: pa.Schema, schema: pa.Schema) -> bool:
    """The very columns and types of the topic: nothing to cast, and no view or dictionary that could grow."""
    return bool(found.names == schema.names and found.types == schema.types)


def _read(body: bytes) -> list[pa.RecordBatch]:
    if not body.endswith(_END):
        raise InvalidEvent("the Arrow stream is cut short: it lacks its end marker")
    buffer = pa.py_buffer(body)
    for message in pa.ipc.MessageReader.open_stream(buffer):
        if _is_compressed(message):
            raise UnsupportedMediaType("compressed Arrow buffers: send them plain, or compress the whole body")
    with pa.ipc.open_stream(buffer) as stream:
        batches = list(stream)
    for batch in batches:
        batch.validate(full=True)
    return batches


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


def _expanded(column: pa.Array) -> int:
    """Bytes of a column's views and indices once each has its value: many may point at one large value.

    Other layouts hold every value once, so the body's own limit bounds them.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        used = column.indices.drop_null().to_numpy()
        return int(_sizes(column.dictionary)[used].sum())
    if pa.types.is_struct(kind):
        return sum(_expanded(inner) for inner in column.flatten())
    if any(is_list(kind) for is_list in LISTS):
        return _expanded(column.flatten())
    return int(_sizes(column).sum()) if _is_view(kind) else 0


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _sizes(values: pa.Array) -> npt.NDArray[np.int64]:
    kind, count = values.type, len(values)
    if _is_view(kind):
        views = np.frombuffer(values.buffers()[1] or b"", np.int32, 4 * count, 16 * values.offset)
        return np.where(values.is_valid().to_numpy(zero_copy_only=False), views[::4], 0).astype(np.int64)
    if any(is_one(kind) for is_one in (*TEXT, *BYTES)):
        return np.asarray(pc.binary_length(values).fill_null(0), np.int64)
    # What is neither text nor of a fixed width is no type of a topic, and is refused when it is cast.
    return np.full(count, kind.bit_width // 8 or 1 if pa.types.is_primitive(kind) else 0, np.int64)


def _brought(batch: pa.RecordBatch, schema: pa.Schema, loose: pa.Schema) -> pa.RecordBatch:
    names = batch.schema.names
    for name in names:
        if name.startswith("_"):
            raise InvalidEvent("names that begin with '_' belong to the envelope", field=name)
        if names.count(name) > 1:
            raise InvalidEvent("two columns of this name", field=name)
    columns = [_column(batch, field, to.type) for field, to in zip(schema, loose, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=loose)


def _column(batch: pa.RecordBatch, field: pa.Field, to: pa.DataType) -> pa.Array:
    index = batch.schema.get_field_index(field.name)
    if index < 0:
        if "default" not in rules_of(field):
            raise InvalidEvent("missing, and it has no default", field=field.name)
        return pa.repeat(default_scalar(field), batch.num_rows).cast(to)
    try:
        return cast_column(batch.column(index), to)
    except (TypeError, ValueError) as error:
        raise InvalidEvent(str(error), field=field.name) from None
