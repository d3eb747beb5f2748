"""Rows as request bodies and as frames, and tensors as columns: what a caller has, in what the doors take."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from ..errors import InvalidEvent
from ..schema.rows import INT64_MAX, INT64_MIN

Rows: TypeAlias = pl.DataFrame | pl.LazyFrame | pa.Table | pa.RecordBatch | Mapping[str, Any] | Iterable[Any]
"""A frame of polars or pandas, Arrow data (whatever has ``__arrow_c_stream__``), one event, or events in a list or an
iterator. An event is a dict, a dataclass, a msgspec Struct or a Pydantic model; a dict is one event, not columns.

Of pandas, NaN, NaT and NA are nulls, a named level of the index is a column, and an unnamed index is left out. In a
polars or Arrow frame NaN stays NaN. In events NaN is null, as JSON has none, and an infinite number is refused.
"""

CHUNK_ROWS, CHUNK_BYTES = 10_000, 8 << 20  # of one request: far below the server's limits
ARROW, NDJSON = "application/vnd.apache.arrow.stream", "application/x-ndjson"
NATIVE = (bytes, np.generic)  # values that polars reads as they are
WIDE = (pl.Int128, pl.UInt128)


class RequestBody(NamedTuple):
    """Of one request. ``rows``: how many it holds."""

    kind: str
    data: bytes
    rows: int


def bodies(rows: Rows) -> Iterator[RequestBody]:
    """The requests that carry these rows: Arrow where they are columns, else JSON lines.

    A list is looked at whole before the first is yielded, an iterator piece by piece. Raises ``InvalidEvent`` for what
    cannot be sent, with the row's place or the column's name.
    """
    table = _table(rows)
    yield from _lines(events(rows)) if table is None else _streams(table)


def as_lines(body: RequestBody) -> Iterator[RequestBody]:
    """An Arrow body as JSON lines, for a topic that takes no columns."""
    return _lines(pa.ipc.open_stream(body.data).read_all().to_pylist())


def frame(rows: Rows) -> pl.DataFrame:
    """The rows as a polars frame. Raises ``InvalidEvent``."""
    if isinstance(rows, pl.DataFrame):
        return rows
    table = _table(rows)
    try:
        if table is not None:
            return pl.DataFrame(pl.from_arrow(table))
        plain = [msgspec.to_builtins(row, builtin_types=NATIVE, enc_hook=_plain) for row in events(rows)]
        if stray := [at for at, row in enumerate(plain) if not isinstance(row, dict)]:
            raise InvalidEvent(f"{type(plain[stray[0]]).__name__} is no row with columns", row=stray[0])
        return pl.from_dicts(plain, infer_schema_length=None) if plain else pl.DataFrame()
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise InvalidEvent(f"the rows make no frame: {_first_line(error)}") from None


def events(rows: Rows) -> Iterable[Any]:
    """The events one by one; one alone is a list of itself. Raises ``InvalidEvent`` for what is neither."""
    if isinstance(rows, Mapping | msgspec.Struct) or is_dataclass(rows) or hasattr(rows, "model_dump"):
        return [rows]
    if isinstance(rows, Iterable) and not isinstance(rows, str | bytes | bytearray | memoryview):
        return rows
    raise InvalidEvent(f"{type(rows).__name__} is neither a frame nor an event nor a list of events")


# -- columns ------------------------------------------------------------------


def _table(rows: Rows) -> pa.Table | None:
    """None: they are no columns. Raises ``InvalidEvent`` for columns that Arrow does not hold."""
    try:
        if isinstance(rows, pl.LazyFrame):
            rows = rows.collect()
        if isinstance(rows, pl.DataFrame):
            return _of_polars(rows)
        if isinstance(rows, pa.RecordBatch):
            return pa.Table.from_batches([rows])
        if _is_pandas(rows):
            return _of_pandas(rows)
        if hasattr(rows, "__arrow_c_stream__"):
            return pa.table(rows)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise InvalidEvent(f"{type(rows).__name__} does not become columns: {_first_line(error)}") from None
    return None


def _of_polars(rows: pl.DataFrame) -> pa.Table:
    if stray := [name for name, kind in rows.schema.items() if kind == pl.Object]:
        raise InvalidEvent("a column of Python objects", field=stray[0])  # polars would write their addresses
    for name in [name for name, kind in rows.schema.items() if kind in WIDE]:
        rows = rows.with_columns(_narrow(rows[name]))
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _narrow(column: pl.Series) -> pl.Series:
    """Integers of 128 bits, which Arrow does not have, as those of 64. Raises ``InvalidEvent``."""
    found = column.cast(pl.Int64, strict=False)
    if len(lost := (column.is_not_null() & found.is_null()).arg_true()):
        raise beyond(column[row := int(lost[0])], row, column.name)
    return found


def beyond(value: int, row: int, field: str) -> InvalidEvent:
    return InvalidEvent(f"{value} is beyond an integer of 64 bits", row=row, field=field)


def _is_pandas(rows: object) -> bool:
    """Asked only where the caller has imported pandas: nobody else pays for it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(rows, pandas.DataFrame)


def _of_pandas(rows: Any) -> pa.Table:
    named = [name for name in rows.index.names if name is not None]
    kept = rows.reset_index(level=named) if named else rows
    columns = list(kept.columns)
    if stray := [name for name in columns if not isinstance(name, str)]:
        raise InvalidEvent(f"the column {stray[0]!r} has no text as its name; rename it")
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise InvalidEvent("two columns of this name", field=twice[0])
    try:
        return pa.Table.from_pandas(kept, preserve_index=False).replace_schema_metadata(None)
    except OverflowError:
        for name in columns:
            for row, value in enumerate(kept[name]):
                if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
                    raise beyond(value, row, name) from None
        raise


def _streams(table: pa.Table) -> Iterator[RequestBody]:
    step = max(1, min(CHUNK_ROWS, table.num_rows * CHUNK_BYTES // max(table.nbytes, 1)))
    for start in range(0, table.num_rows, step):
        part = table.slice(start, step)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as stream:
            stream.write_table(part)
        yield RequestBody(ARROW, bytes(sink.getvalue()), part.num_rows)


# -- events -------------------------------------------------------------------


def _lines(rows: Iterable[Any]) -> Iterator[RequestBody]:
    lines = (_line(row, at) for at, row in enumerate(rows))
    held: list[bytes] = []
    size = 0
    for line in list(lines) if isinstance(rows, Sequence) else lines:
        if held and (len(held) == CHUNK_ROWS or size + len(line) > CHUNK_BYTES):
            yield RequestBody(NDJSON, b"\n".join(held), len(held))
            held, size = [], 0
        held.append(line)
        size += len(line)
    if held:
        yield RequestBody(NDJSON, b"\n".join(held), len(held))


def _line(row: Any, at: int) -> bytes:
    try:
        line = msgspec.json.encode(row, enc_hook=_plain)
        if b"null" in line and not isinstance(row, msgspec.Raw):
            _refuse_infinity(msgspec.to_builtins(row, enc_hook=_plain))
        return line
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidEvent(_first_line(error), row=at) from None


def _refuse_infinity(value: Any) -> None:
    """An infinite number would be written as null. Raises ``ValueError``."""
    if isinstance(value, float) and math.isinf(value):
        raise ValueError(f"{value} is no number of JSON; publish a frame, or leave it out")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _refuse_infinity(inner)


def _plain(value: Any) -> Any:
    """What msgspec knows, for what it does not: values of numpy, polars, pandas and Pydantic."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]").item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, pl.Series):
        return value.to_list()
    if (pandas := sys.modules.get("pandas")) is not None:
        if value is pandas.NA or value is pandas.NaT:
            return None
        if isinstance(value, pandas.Timestamp):
            return value.to_pydatetime(warn=False)
        if isinstance(value, pandas.Series | pandas.Index):
            return value.tolist()
    raise TypeError(f"what is of type {type(value).__name__} has no JSON form")


def _first_line(error: Exception) -> str:
    return "; ".join(map(str, error.args)).partition("\n")[0]


# -- tensors ------------------------------------------------------------------


def tensor(field: Mapping[str, Any], values: pl.Series) -> dict[str, Any]:
    """A column as a tensor of the Open Inference Protocol; lists are a second dimension."""
    shape = [len(values), *field["shape"][1:]]
    data = values.explode() if values.dtype == pl.List or values.dtype == pl.Array else values
    return {"name": field["name"], "shape": shape, "datatype": field["datatype"], "data": data.to_list()}


def column(output: Mapping[str, Any]) -> pl.Series:
    """A tensor as a column; of two dimensions, a column of arrays."""
    kinds = {"FP64": pl.Float64, "FP32": pl.Float32, "INT64": pl.Int64, "INT32": pl.Int32, "BOOL": pl.Boolean}
    values = pl.Series(output["data"], dtype=kinds.get(output["datatype"]))
    return values if len(output["shape"]) == 1 else values.reshape(tuple(output["shape"]))
