"""GET /topics/{topic}/events: events as they lie in the log, of one partition or of all."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from ...batch import Batch, TopicSpec, event_ids
from ...errors import Corrupt, LogError, UnsupportedMediaType
from ...log.interface import ObservedLog, Reader, Seek
from ...plan.plan import Plan
from ...schema.encode import to_json, to_ndjson
from ...settings import Settings
from ...stages.emit import with_columns
from ..concealed import concealed
from ..wait.arrivals import Arrivals
from ..wire.body import breathe
from ..wire.errors import BadRequest, unknown
from ..wire.pages import Page, Shelf
from ..wire.parameters import INT64_MAX, duration, whole

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
NEXT = "penstock-next"
"""``PARTITION:OFFSET,…``: where to go on, as the next request's ``offset``. No event need be at just that offset."""

LIMIT, MOST = 100, 10_000
PAGE_BYTES = 4 << 20  # of columns in one answer, about: it ends before its limit then, and says where to go on
MAKING_BYTES = 4 * PAGE_BYTES  # that making one may take
FIRST_EVENTS = 8  # events read before it is known how large they are
AT_ONCE, AT_ONCE_BYTES = 1_000, 256 << 10  # written as JSON in one go, which keeps all other threads waiting
PARAMETERS = {"partition", "offset", "limit", "wait"}


class ReadNeeds(Protocol):
    """What these doors lead to."""

    @property
    def plan(self) -> Plan: ...

    @property
    def log(self) -> ObservedLog: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def threads(self) -> Executor: ...

    @property
    def pages(self) -> Lock: ...

    @property
    def arrivals(self) -> Arrivals: ...

    @property
    def shelf(self) -> Shelf: ...


async def read(request: Request, services: ReadNeeds) -> Response:
    topic = request.path_params["topic"]
    given = request.query_params
    if stray := given.keys() - PARAMETERS:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are {', '.join(sorted(PARAMETERS))}")
    kind = accepted(request.headers.get("accept", "*/*"))
    spec = found(services, topic)
    offsets = starts(given.get("partition"), given.get("offset", "0"), spec.partitions)
    limit = whole(given.get("limit", str(LIMIT)), "limit", 0, MOST)
    wait = duration(given.get("wait", "0"), "wait", services.settings.wait_limit)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    beyond: Mapping[int, int] = offsets
    while True:
        if (left := until - loop.time()) > 0 and limit:
            await services.arrivals.beyond(topic, beyond, left)
        with ExitStack() as stack:
            held = stack.enter_context(await services.shelf.hold(MAKING_BYTES))
            page = await loop.run_in_executor(services.threads, _read, services, spec, offsets, limit, kind)
            if page.events or until <= loop.time() or not limit or services.arrivals.hurried:
                held.keep(len(page.body))
                stack.pop_all()  # given back when it is sent
                return Page(page.body, held, kind, {NEXT: page.next})
        # Not every position has an event: only what comes behind those just looked at can be one.
        beyond = {partition: max(at, page.ends.get(partition, 0)) for partition, at in offsets.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """An answer's body, how many events it has, what follows it, and where the partitions ended before it was made."""

    body: bytes
    events: int
    next: str
    ends: Mapping[int, int]


def found(services: ReadNeeds, topic: str) -> TopicSpec:
    specs = {t.name: t for t in services.log.topics()}
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


def _read(services: ReadNeeds, topic: TopicSpec, offsets: dict[int, int], limit: int, kind: str) -> Found:
    there = services.log.ends(topic.name)
    reader = services.log.reader(None, [topic.name], "door")
    try:
        for partition in range(topic.partitions):
            _place(reader, topic.name, partition, offsets.get(partition))
        with services.pages:
            batches = _batches(reader, there, limit)
            body = _encoded(batches, kind, topic, services.plan.app)
    finally:
        reader.close()
    after = dict(offsets)
    for batch in batches:
        after[batch.partition] = batch.through + 1  # "at or after" what follows, whether or not anything is there
    following = ",".join(f"{p}:{o}" for p, o in sorted(after.items()))
    return Found(body, sum(map(len, batches)), following, there)


def _place(reader: Reader, topic: str, partition: int, offset: int | None) -> None:
    if offset is not None:
        try:
            reader.seek(Seek(topic, partition, offset))
        except LogError:  # beyond the end: there is nothing at or after it yet
            offset = None
    if offset is None:
        reader.seek(Seek(topic, partition, "pause"))


def _batches(reader: Reader, there: Mapping[int, int], limit: int) -> list[Batch]:
    found: list[Batch] = []
    try:
        found.extend(_page(reader, there, limit))  # up to where it raises
    except Corrupt:
        if not found:  # what lies before the damage is still given out, the damage itself is never passed over
            raise
    return sorted(map(concealed, found), key=lambda b: b.partition)


def _page(reader: Reader, there: Mapping[int, int], limit: int) -> Iterator[Batch]:
    """What lies before ``there``, up to ``limit`` events or about ``PAGE_BYTES``: how large events are is learnt from
    the first few, and no more are read at once than have room."""
    rows = size = 0
    step = FIRST_EVENTS
    while rows < limit and (batches := reader.read(min(step, limit - rows), 0.0)):
        share = (PAGE_BYTES - size) // len(batches)
        kept = [_cut(batch, share) for batch in batches]
        yield from kept
        rows += sum(map(len, kept))
        size += sum(batch.rows.nbytes for batch in kept)
        full = size >= PAGE_BYTES or sum(map(len, kept)) < sum(map(len, batches))
        if full or all(batch.through >= there.get(batch.partition, 0) for batch in batches):
            return
        step = max(1, min(step * 8, (PAGE_BYTES - size) * max(rows, 1) // max(size, 1)))


def _cut(batch: Batch, size: int) -> Batch:
    """Its first rows, about so many bytes of them, and one at least."""
    if batch.rows.nbytes <= size:
        return batch
    return batch.slice(0, max(1, len(batch) * size // batch.rows.nbytes))


def _encoded(batches: list[Batch], kind: str, topic: TopicSpec, app: str) -> bytes:
    if kind == ARROW:
        return _arrow(batches, topic)
    if kind == NDJSON:
        return b"".join(to_ndjson(b, topic, app) for b in _in_turn(batches))
    return b"[" + b",".join(to_json(b, topic, app)[1:-1] for b in _in_turn(batches)) + b"]"


def _in_turn(batches: list[Batch]) -> Iterator[Batch]:
    """A few events each, all other threads' turn between two of them."""
    for batch in batches:
        step = max(1, min(AT_ONCE, len(batch) * AT_ONCE_BYTES // max(1, batch.rows.nbytes)))
        for at in range(0, len(batch), step):
            if at:
                breathe()
            yield batch.slice(at, at + step)


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
