"""Rows as request bodies, and tensors as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import polars as pl
import pyarrow as pa

Rows: TypeAlias = pl.DataFrame | pa.Table | pa.RecordBatch | Sequence[Any]
"""A frame, Arrow data, or a list of dicts, dataclasses or msgspec Structs."""

CHUNK_ROWS, CHUNK_BYTES = 10_000, 8 << 20  # of one request: far below the server's limits
ARROW, NDJSON = "application/vnd.apache.arrow.stream", "application/x-ndjson"


def bodies(rows: Rows) -> Iterator[tuple[str, bytes, int]]:
    """Content type, body and rows of each request."""
    if isinstance(rows, pl.DataFrame):
        rows = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        step = _step(rows.num_rows, rows.nbytes)
        for start in range(0, rows.num_rows, step):
            part = rows.slice(start, step)
            yield ARROW, _stream(part), part.num_rows
        return
    lines = [msgspec.json.encode(row) for row in rows]
    step = _step(len(lines), sum(map(len, lines)))
    for start in range(0, len(lines), step):
        yield NDJSON, b"\n".join(lines[start : start + step]), len(lines[start : start + step])


def _step(rows: int, size: int) -> int:
    """Rows of one request, such that none is far over the bytes meant for it."""
    return max(1, min(CHUNK_ROWS, rows * CHUNK_BYTES // max(size, 1)))


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def tensor(field: Mapping[str, Any], values: pl.Series) -> dict[str, Any]:
    """A column as a tensor of the Open Inference Protocol; lists are a second dimension."""
    shape = [len(values), *field["shape"][1:]]
    data = values.explode() if values.dtype == pl.List or values.dtype == pl.Array else values
    return {"name": field["name"], "shape": shape, "datatype": field["datatype"], "data": data.to_list()}


def column(output: Mapping[str, Any]) -> pl.Series:
    kinds = {"FP64": pl.Float64, "FP32": pl.Float32, "INT64": pl.Int64, "INT32": pl.Int32, "BOOL": pl.Boolean}
    values = pl.Series(output["data"], dtype=kinds.get(output["datatype"]))
    return values if len(output["shape"]) == 1 else values.reshape(tuple(output["shape"]))
