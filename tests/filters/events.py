"""Batches of either kind of topic, as filters are given them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from penstock.batch import ENVELOPE, Batch, TopicSpec
from penstock.filters.columns import EventColumns
from penstock.schema.encode import to_dicts

APP = "shop"
Row = dict[str, Any]


def batch_of(topic: TopicSpec, rows: Sequence[Row]) -> Batch:
    """``rows``: columns and envelope by name; what no row names is no column."""
    kinds = {f.name: f.type for f in topic.schema} | ENVELOPE
    names = [name for name in kinds if any(name in row for row in rows)] or [topic.schema.names[0]]
    columns = [pa.array([row.get(name) for row in rows], kinds[name]) for name in names]
    positions = np.arange(10, 10 + len(rows), dtype=np.int64)
    schema = pa.schema([(name, kinds[name]) for name in names], metadata=topic.schema.metadata)
    made = pa.RecordBatch.from_arrays(columns, schema=schema)
    return Batch(topic.name, 0, positions, positions * 1_000_000, made)


def columns_of(batch: Batch, topic: TopicSpec) -> EventColumns:
    return EventColumns(batch, topic, APP)


def as_json(data: Any, **envelope: Any) -> Row:
    """A row of a topic without a type."""
    return {"json": msgspec.json.encode(data).decode(), **envelope}


def as_read(batch: Batch, topic: TopicSpec) -> list[dict[str, Any]]:
    """The events as a reader of CloudEvents in JSON gets them."""
    found = to_dicts(batch, topic, APP)
    return [event | event.pop("extensions", {}) | {"specversion": "1.0"} for event in found]
