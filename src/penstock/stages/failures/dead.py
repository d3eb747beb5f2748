"""The dead letters: events that no attempt could deal with, with all that is needed to mend and replay them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...batch import DEAD, Batch, TopicSpec, data_columns
from ...schema.rows import is_json
from ..envelope import ids, times
from ..interface import Failure, Output, Work

DEAD_TOPIC = TopicSpec(
    DEAD,
    pa.schema(
        [
            pa.field("topic", pa.string(), nullable=False),
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("stage", pa.string(), nullable=False),
            pa.field("error", pa.string(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("traceback", pa.string(), nullable=False),
            pa.field("attempts", pa.int32(), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("key", pa.string()),
            pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("data", pa.string(), nullable=False),
        ]
    ),
    key="topic",
)
"""``data``: the event as JSON; of a row that could not be decoded, its bytes in hex; empty where no record of the log
would have held the letter."""

LEFT_OUT = "its data fit no record and are left out here; topic, partition and offset say where they are"
TEXT_LIMIT = 16_384  # characters of a reason or a traceback that are kept


def letters(stage: str, work: Work, failures: Sequence[Failure], keys: pa.Array | None) -> Output:
    """A dead letter for each failure. ``keys``: those of the work's rows, if any has one."""
    failures = sorted(failures, key=lambda f: f.row)
    rows = np.array([f.row for f in failures], np.int64)
    bad = work.take(rows)
    bare = pa.array([f.bare for f in failures], pa.bool_())
    given = pa.nulls(len(rows), pa.string()) if keys is None else keys.take(pa.array(rows))
    places = [f"{work.topic}/{p}/{at}" for p, at in zip(bad.partitions, bad.positions, strict=True)]
    columns = {
        "topic": [work.topic] * len(rows),
        "partition": bad.partitions,
        "offset": bad.positions,
        "stage": [stage] * len(rows),
        "error": [f.error for f in failures],
        "reason": [clipped(f"{f.reason}; {LEFT_OUT}" if f.bare else f.reason) for f in failures],
        "traceback": [clipped(f.traceback) for f in failures],
        "attempts": [f.attempts for f in failures],
        "id": pc.if_else(bare, pa.array(places), ids(bad)),
        "key": pc.if_else(bare, pa.nulls(len(rows), pa.string()), given),
        "time": times(bad),
        "data": pc.if_else(bare, "", pa.array(as_json(data_columns(bad.rows)))),
    }
    return Output(DEAD, _record(columns), rows)


def undecodable(stage: str, batch: Batch, now: int) -> pa.RecordBatch | None:
    """Dead letters for the rows of a batch that could not be decoded, with their lineage; they are no work's rows.

    ``now``, in microseconds since the epoch, is their time: their own is not known.
    """
    if not batch.rejected:
        return None
    count, positions = len(batch.rejected), [r.position for r in batch.rejected]
    columns = {
        "topic": [batch.topic] * count,
        "partition": [batch.partition] * count,
        "offset": positions,
        "stage": [stage] * count,
        "error": ["Undecodable"] * count,
        "reason": [clipped(r.reason) for r in batch.rejected],
        "traceback": [""] * count,
        "attempts": [1] * count,
        "id": [f"{batch.topic}/{batch.partition}/{p}" for p in positions],
        "key": [None] * count,
        "time": [now] * count,
        "data": [r.payload.hex() for r in batch.rejected],
        "_parent_partition": pa.array([batch.partition] * count, pa.int32()),
        "_parent": pa.array(positions, pa.int64()),
    }
    return _record(columns)


def as_json(rows: pa.RecordBatch) -> list[str]:
    """Each event as JSON; dead letters are few, so they may become objects. Bytes as base64, NaN as null."""
    if is_json(rows.schema):
        return rows.column("json").to_pylist()  # type: ignore[no-any-return]
    return [msgspec.json.encode(event).decode() for event in rows.to_pylist()]


def clipped(text: str) -> str:
    """The beginning and the end: a traceback's last lines say most. Lone surrogates would not encode."""
    text = text.encode("utf-8", "backslashreplace").decode()
    half = TEXT_LIMIT // 2
    return (
        text if len(text) <= TEXT_LIMIT else f"{text[:half]}\n… {len(text) - TEXT_LIMIT} characters …\n{text[-half:]}"
    )


def _record(columns: dict[str, object]) -> pa.RecordBatch:
    fields = [
        DEAD_TOPIC.schema.field(name) if not name.startswith("_") else pa.field(name, values.type)  # type: ignore[attr-defined]
        for name, values in columns.items()
    ]
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, field.type)
        for field, values in zip(fields, columns.values(), strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
