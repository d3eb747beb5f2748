"""The dead letters: events that no attempt could deal with, with all that is needed to mend and replay them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...batch import DEAD, JSON_SCHEMA, Batch, TopicSpec, column, data_columns
from ...schema.rows import is_json
from ..emit import with_columns
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
            pa.field("source", pa.string()),
            pa.field("type", pa.string()),
            pa.field("subject", pa.string()),
            pa.field("extensions", pa.string()),
            pa.field("event", pa.binary()),
            pa.field("round", pa.int64()),
            pa.field("mark", pa.string()),
            pa.field("outcome", pa.string()),
            pa.field("published", pa.int64()),
            pa.field("tried", pa.int64()),
        ]
    ),
    key="topic",
)
"""``data``: the event as JSON; of a row that could not be decoded, its bytes in hex; empty where no record of the log
would have held the letter. ``event``: the event exactly as it was stored, one row of Arrow's stream format with its
envelope; null where it is not known. ``source`` to ``extensions``: null as in the envelope.

``outcome`` to ``tried``: of a delivery, how the last attempt ended, when the event was appended and when that attempt
began, in microseconds since the epoch; null in every other letter.

``round``: how often the event was put back before; null: never. ``mark``: null in a letter; in the rows that follow it
what became of it, see ``ledger``. All rows of one event are in one partition, in order."""

MARKED = DEAD_TOPIC.schema.append(pa.field("_id", pa.string()))
REDRIVEN, DROPPED, DONE = "redriven", "dropped", "done"
_SAYS_NOTHING = {"reason": "", "traceback": ""}
BRIEF_CHARS = 1_000  # characters of a letter's reason and traceback where it has to be short

LINEAGE = ("_parent_partition", "_parent", "_ordinal")

LONG = 128 << 10
"""Bytes of an event that is kept in ``event`` alone, so that a letter takes hardly more room than what it is about."""

LEFT_OUT = "its data fit no record and are left out here; topic, partition and offset say where they are"
TEXT_LIMIT_CHARS = 16_384  # characters of a reason or a traceback that are kept


def dead_letter_rows(stage: str, work: Work, failures: Sequence[Failure], keys: pa.Array | None) -> Output:
    """A dead letter for each failure. ``keys``: those of the work's rows, if any has one."""
    failures = sorted(failures, key=lambda f: f.row)
    rows = np.array([f.row for f in failures], np.int64)
    bad = work.take(rows)
    bare = pa.array([f.bare for f in failures], pa.bool_())
    given = pa.nulls(len(rows), pa.string()) if keys is None else keys.take(pa.array(rows))
    places = [f"{work.topic}/{p}/{at}" for p, at in zip(bad.partitions, bad.positions, strict=True)]
    known, at = ids(bad), times(bad)
    events = exactly(bad.rows, known, at)
    texts = as_json(data_columns(bad.rows))
    columns = {
        "topic": [work.topic] * len(rows),
        "partition": bad.partitions,
        "offset": bad.positions,
        "stage": [stage] * len(rows),
        "error": [f.error for f in failures],
        "reason": [clipped(f"{f.reason}; {LEFT_OUT}" if f.bare else f.reason) for f in failures],
        "traceback": [clipped(f.traceback) for f in failures],
        "attempts": [f.attempts for f in failures],
        "id": pc.if_else(bare, pa.array(places), known),
        "key": pc.if_else(bare, pa.nulls(len(rows), pa.string()), given),
        "time": at,
        "data": pc.if_else(bare, "", pa.array([_short(t, e) for t, e in zip(texts, events, strict=True)])),
    }
    columns |= {name: _unless(bare, column(bad.rows, f"_{name}")) for name in ("source", "type", "subject")}
    columns["extensions"] = _unless(bare, column(bad.rows, "_extensions"))
    columns["event"] = _unless(bare, pa.array(events, pa.binary()))
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


def answered(letters: pa.RecordBatch, failures: Mapping[int, Failure], bare: Collection[int] = ()) -> pa.RecordBatch:
    """What became of letters whose events were put back: a mark, or a new letter for each that failed again.

    ``failures`` by the row of ``letters``; ``bare``: rows whose letter fits no record with all that it says.
    """
    rows = letters.select(DEAD_TOPIC.schema.names).to_pylist()
    for n, row in enumerate(rows):
        failure = failures.get(n)
        row["_id"] = f"{row['stage']}/{row['topic']}/{row['partition']}/{row['offset']}/{row['round'] or 0}/{DONE}"
        if failure is None:
            row |= _SAYS_NOTHING | {"data": "", "event": None, "mark": DONE}
            continue
        row |= {"mark": None, "round": (row["round"] or 0) + 1, "error": failure.error, "attempts": failure.attempts}
        row |= {"reason": clipped(failure.reason), "traceback": clipped(failure.traceback)}
        row["_id"] = row["_id"].removesuffix(DONE) + "failed"
        if n in bare:
            row |= {"data": "", "reason": row["reason"][:BRIEF_CHARS], "traceback": row["traceback"][-BRIEF_CHARS:]}
    return pa.RecordBatch.from_pylist(rows, schema=MARKED)


def marks(letters: pa.RecordBatch, mark: str) -> pa.RecordBatch:
    """Rows that say that these letters are to be put back, or that nothing is to be done about them."""
    rows = letters.select(DEAD_TOPIC.schema.names).to_pylist()
    for row in rows:
        row |= {"mark": mark, "traceback": ""} | ({} if mark == REDRIVEN else {"data": "", "event": None})
    return pa.RecordBatch.from_pylist(rows, schema=DEAD_TOPIC.schema)


def exactly(rows: pa.RecordBatch, ids: Sequence[str], times: pa.Array) -> list[bytes]:
    """Each row as ``event`` keeps it: its id and time filled in, for they may come of where it lies and when it came;
    without its lineage, which says nothing of it where it is read again."""
    rows = with_columns(rows, {"_id": pa.array(ids, pa.string()), "_time": times})
    rows = rows.drop_columns([name for name in LINEAGE if name in rows.schema.names])
    mark = JSON_SCHEMA.metadata if is_json(rows.schema) else None  # without it the text would be a column like others
    plain = pa.schema([field.remove_metadata() for field in rows.schema], metadata=mark)
    return [_stream(pa.RecordBatch.from_arrays(rows.slice(i, 1).columns, schema=plain)) for i in range(len(rows))]


def event_of(kept: bytes) -> pa.RecordBatch:
    """The row that ``event`` keeps. Raises ``ValueError`` for bytes that are none."""
    with pa.ipc.open_stream(pa.py_buffer(kept)) as stream:
        return stream.read_next_batch()


def _stream(row: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as stream:
        stream.write_batch(row)
    return bytes(sink.getvalue())


def _short(text: str, event: bytes) -> str:
    return text if len(event) <= LONG else ""


def _unless(bare: pa.Array, values: pa.Array) -> pa.Array:
    return pc.if_else(bare, pa.nulls(len(values), values.type), values)


def as_json(rows: pa.RecordBatch) -> list[str]:
    """Each event as JSON; dead letters are few, so they may become objects. Bytes as base64, NaN as null."""
    if is_json(rows.schema):
        return rows.column("json").to_pylist()  # type: ignore[no-any-return]
    return [msgspec.json.encode(event).decode() for event in rows.to_pylist()]


def clipped(text: str) -> str:
    """The beginning and the end: a traceback's last lines say most. Lone surrogates would not encode."""
    text = text.encode("utf-8", "backslashreplace").decode()
    half = TEXT_LIMIT_CHARS // 2
    return (
        text
        if len(text) <= TEXT_LIMIT_CHARS
        else f"{text[:half]}\n… {len(text) - TEXT_LIMIT_CHARS} characters …\n{text[-half:]}"
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
