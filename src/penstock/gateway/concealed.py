"""What of Penstock's own topics no door shows: where webhooks go that were put at run time, and what signs them."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa

from ..batch import SNAPSHOTS, SYSTEM, Batch
from ..stages.deliver.run_time.messages import PRIVATE


def concealed(batch: Batch) -> Batch:
    """The same without that; a snapshot holds all of it, and is shown as empty."""
    rows = batch.rows
    if batch.topic == SNAPSHOTS and "data" in rows.schema.names:
        return replace(batch, rows=_with(rows, "data", [b""] * len(batch)))
    if batch.topic != SYSTEM or "_type" not in rows.schema.names:
        return batch
    kinds = rows.column("_type").to_pylist()
    if not any(kind in PRIVATE for kind in kinds):
        return batch
    texts = rows.column("json").to_pylist()
    shown = [_without(text) if kind in PRIVATE else text for kind, text in zip(kinds, texts, strict=True)]
    return replace(batch, rows=_with(rows, "json", shown))


def _without(text: str) -> str:
    try:
        message = json.loads(text)
        message["put"]["private"] = {}
    except (ValueError, KeyError, TypeError):  # nobody knows what is where in it
        return "{}"
    return json.dumps(message)


def _with(rows: pa.RecordBatch, name: str, values: list[object]) -> pa.RecordBatch:
    at = rows.schema.get_field_index(name)
    return rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))
