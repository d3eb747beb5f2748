"""GET /topics/{topic}/events: events as they lie in the log, of one partition or of all."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from ...batch import Batch, TopicSpec, event_ids
from ...errors import Corrupt, LogError, UnsupportedMediaType
from ...log.interface import Reader, Seek
from ...schema.encode import to_json, to_ndjson
from ...stages.emit import with_columns
from ..drain import drained
from ..rooms import Rooms, unknown
from ..wire.answers import BadRequest
from ..wire.parameters import INT64_MAX, duration, whole

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
NEXT = "penstock-next"
"""``PARTITION:OFFSET,…``: where to go on, as the next request's ``offset``. No event need be at just that offset."""

LIMIT, MOST = 100, 10_000
PARAMETERS = {"partition", "offset", "limit", "wait"}


async def read(request: Request, rooms: Rooms) -> Response:
    topic = request.path_params["topic"]
    given = request.query_params
    if stray := given.keys() - PARAMETERS:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are {', '.join(sorted(PARAMETERS))}")
    kind = accepted(request.headers.get("accept", "*/*"))
    spec = found(rooms, topic)
    offsets = starts(given.get("partition"), given.get("offset", "0"), spec.partitions)
    limit = whole(given.get("limit", str(LIMIT)), "limit", 0, MOST)
    wait = duration(given.get("wait", "0"), "wait", rooms.settings.wait_limit)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(rooms.threads, _read, rooms, spec, offsets, limit, wait, kind)


def found(rooms: Rooms, topic: str) -> TopicSpec:
    specs = {t.name: t for t in rooms.log.topics()}
    if topic not in specs:
        raise unknown("topic", topic, sorted(specs))
    return specs[topic]


def starts(partition: str | None, offset: str, count: int) -> dict[int, int]:
    """Offset a partition. ``offset`` is one number for all of them, or what the header ``penstock-next`` said."""
    chosen = range(count) if partition is None else [whole(partition, "partition", 0, count - 1)]
    if ":" not in offset:
        return dict.fromkeys(chosen, whole(offset, "offset", 0, INT64_MAX))
    found: dict[int, int] = {}
    for part in offset.split(","):
        place, _, at = part.partition(":")
        found[whole(place, "offset", 0, count - 1)] = whole(at, "offset", 0, INT64_MAX)
    return {p: found.get(p, 0) for p in chosen}


def accepted(header: str) -> str:
    """The first of the header's types that we write; weights are not looked at."""
    for part in header.lower().split(","):
        kind = part.partition(";")[0].strip()
        if kind in (JSON, NDJSON, ARROW):
            return kind
        if kind in ("*/*", "application/*", "text/html"):
            return JSON
        if kind == "application/jsonl":
            return NDJSON
    raise UnsupportedMediaType(f"accept: there are {JSON}, {NDJSON} and {ARROW}")


def _read(rooms: Rooms, topic: TopicSpec, offsets: dict[int, int], limit: int, wait: float, kind: str) -> Response:
    there = rooms.log.ends(topic.name)
    reader = rooms.log.reader(None, [topic.name], "door")
    try:
        for partition in range(topic.partitions):
            _place(reader, topic.name, partition, offsets.get(partition))
        batches = _batches(reader, there, limit, wait)
    finally:
        reader.close()
    after = dict(offsets)
    for batch in batches:
        after[batch.partition] = batch.through + 1  # "at or after" what follows, whether or not anything is there
    headers = {NEXT: ",".join(f"{p}:{o}" for p, o in sorted(after.items()))}
    return Response(_encoded(batches, kind, topic, rooms.plan.app), media_type=kind, headers=headers)


def _place(reader: Reader, topic: str, partition: int, offset: int | None) -> None:
    if offset is not None:
        try:
            reader.seek(Seek(topic, partition, offset))
        except LogError:  # beyond the end: there is nothing at or after it yet
            offset = None
    if offset is None:
        reader.seek(Seek(topic, partition, "pause"))


def _batches(reader: Reader, there: Mapping[int, int], limit: int, wait: float) -> list[Batch]:
    found: list[Batch] = []
    try:
        for batches in drained(reader, there, wait, at_once=MOST, limit=limit):
            found += batches
    except Corrupt:
        if not found:  # what lies before the damage is still given out, the damage itself is never passed over
            raise
    return sorted(found, key=lambda b: b.partition)


def _encoded(batches: list[Batch], kind: str, topic: TopicSpec, app: str) -> bytes:
    if kind == ARROW:
        return _arrow(batches, topic)
    if kind == NDJSON:
        return b"".join(to_ndjson(b, topic, app) for b in batches)
    return b"[" + b",".join(to_json(b, topic, app)[1:-1] for b in batches if len(b)) + b"]"


def _arrow(batches: list[Batch], topic: TopicSpec) -> bytes:
    """The topic's columns and the envelope's; beside them where each row lies, when it came, and what made it."""
    tables = [pa.Table.from_batches([_placed(b)]) for b in batches]
    table = pa.concat_tables(tables, promote_options="default") if tables else topic.schema.empty_table()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def _placed(batch: Batch) -> pa.RecordBatch:
    columns = {
        "_id": event_ids(batch),
        "_partition": pa.array([batch.partition] * len(batch), pa.int32()),
        "_offset": pa.array(batch.positions),
        "_appended": pa.array(batch.appended).cast(pa.timestamp("us", tz="UTC")),
    }
    if (origin := batch.origin) is not None:
        columns |= {
            "_stage": pa.repeat(origin.stage, len(batch)),
            "_parent_topic": pa.repeat(origin.topic, len(batch)),
            "_code": pa.repeat(origin.code, len(batch)),
        }
        if origin.model is not None:
            columns |= {
                "_model": pa.repeat(origin.model, len(batch)),
                "_version": pa.repeat(pa.scalar(origin.version, pa.int64()), len(batch)),
            }
    return with_columns(batch.rows, columns)
