"""GET /topics/{topic}/events: events as they lie in the log, of one partition or of all; and those of a domain, or of
one topic of it, for which all of the domain is looked through."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response

from ...batch import Batch, TopicSpec, column, event_ids
from ...errors import Corrupt, LogError, UnsupportedMediaType
from ...log.interface import ObservedLog, Reader, Seek
from ...plan.plan import Plan
from ...schema.encode import to_json, to_ndjson
from ...settings import Settings
from ...stages.emit import with_columns
from ..concealed import concealed
from ..domains import check_name
from ..wait.arrivals import Arrivals
from ..wire.body import breathe
from ..wire.errors import BadRequest, unknown
from ..wire.pages import Page, Shelf
from ..wire.parameters import INT64_MAX, duration, whole

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
NEXT = "penstock-next"
"""``PARTITION:OFFSET,…``: where to go on, as the next request's ``offset``. No event need be at just that offset."""

END = "penstock-end"
"""Of a domain: where each partition ended, likewise; whoever may read one topic need not look at the whole domain."""

LIMIT, MOST = 100, 10_000
PAGE_BYTES = 4 << 20  # of columns in one answer, about: it ends before its limit then, and says where to go on
MAKING_BYTES = 4 * PAGE_BYTES  # that making one may take
FIRST_EVENTS = 8  # events read before it is known how large they are
AT_ONCE, AT_ONCE_BYTES = 1_000, 256 << 10  # written as JSON in one go, which keeps all other threads waiting
LOOKED_THROUGH_EVENTS = 200_000  # events of a domain for one answer about one topic of it
AT_ONCE_EVENTS = 8_192  # of them in one read
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
    spec = found(services, request.path_params["topic"])
    if spec.domain:
        raise BadRequest(f"'{spec.name}' is a domain: read /domains/{spec.name}/events, or one topic of it")
    return await _answer(request, services, spec, None)


async def read_domain(request: Request, services: ReadNeeds) -> Response:
    """All of it, or the topic that the path names. One that has no events yet has none. Also what the app has no more,
    as of any topic."""
    domain, topic = request.path_params["domain"], request.path_params.get("topic")
    spec = next((each for each in services.log.topics() if each.name == domain and each.domain), None)
    if spec is None:
        raise unknown("domain", domain, sorted(services.plan.domains))
    if topic is not None:
        check_name(topic)
    return await _answer(request, services, spec, topic)


async def _answer(request: Request, services: ReadNeeds, spec: TopicSpec, domain_topic: str | None) -> Response:
    given = request.query_params
    if stray := given.keys() - PARAMETERS:
        raise BadRequest(f"unknown parameter '{min(stray)}': there are {', '.join(sorted(PARAMETERS))}")
    kind = accepted(request.headers.get("accept", "*/*"))
    offsets = starts(given.get("partition"), given.get("offset", "0"), spec.partitions)
    limit = whole(given.get("limit", str(LIMIT)), "limit", 0, MOST)
    wait = duration(given.get("wait", "0"), "wait", services.settings.wait_limit)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    beyond: Mapping[int, int] = offsets
    while True:
        if (left := until - loop.time()) > 0 and limit:
            await services.arrivals.beyond(spec.name, beyond, left)
        with ExitStack() as stack:
            held = stack.enter_context(await services.shelf.hold(MAKING_BYTES))
            page = await loop.run_in_executor(
                services.threads, _read, services, spec, domain_topic, offsets, limit, kind
            )
            if page.events or until <= loop.time() or not limit or services.arrivals.hurried:
                held.keep(len(page.body))
                stack.pop_all()  # given back when it is sent
                there = {} if not spec.domain else {END: written(page.ends)}
                return Page(page.body, held, kind, {NEXT: written(page.after), **there})
        # Not every position has an event: only what comes behind those just looked at can be one.
        offsets = page.after
        behind = page.ends if page.through else {}
        beyond = {partition: max(at, behind.get(partition, 0)) for partition, at in offsets.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """An answer's body, how many events it has, what follows it, and where the partitions ended before it was made.
    ``through``: was all looked at that lies before those ends?"""

    body: bytes
    events: int
    after: dict[int, int]
    ends: Mapping[int, int]
    through: bool


def written(offsets: Mapping[int, int]) -> str:
    return ",".join(f"{partition}:{at}" for partition, at in sorted(offsets.items()))


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


def _read(
    services: ReadNeeds, topic: TopicSpec, domain_topic: str | None, offsets: dict[int, int], limit: int, kind: str
) -> Found:
    there = services.log.ends(topic.name)
    reader = services.log.reader(None, [topic.name], "door")
    try:
        for partition in range(topic.partitions):
            _place(reader, topic.name, partition, offsets.get(partition))
        with services.pages:
            if domain_topic is None:
                batches, through = _batches(reader, there, limit), True
                seen = {batch.partition: batch.through for batch in batches}
            else:
                batches, seen, through = _looked_through(reader, there, offsets, limit, domain_topic)
            body = _encoded(batches, kind, topic, services.plan.app)
    finally:
        reader.close()
    after = dict(offsets)
    for partition, last in seen.items():
        after[partition] = last + 1  # "at or after" what follows, whether or not anything is there
    return Found(body, sum(map(len, batches)), after, there, through)


def _looked_through(
    reader: Reader, there: Mapping[int, int], offsets: Mapping[int, int], limit: int, domain_topic: str
) -> tuple[list[Batch], dict[int, int], bool]:
    """The events of one topic among the next ``LOOKED_THROUGH_EVENTS`` of its domain, through where each partition was
    looked at, and whether that is all. What is read and given out is bounded as of any page."""
    found: list[Batch] = []
    seen: dict[int, int] = {}
    rows = size = looked = 0
    step, full = FIRST_EVENTS, False
    try:
        while not full and looked < LOOKED_THROUGH_EVENTS:
            if not (batches := reader.read(step, 0.0)):
                return _in_order(found), seen, True
            for batch in batches:
                mine = np.flatnonzero(pc.equal(column(batch.rows, "_topic"), domain_topic).fill_null(False))
                room = min(limit - rows, len(mine)) if size < PAGE_BYTES else 0
                part = batch.take(mine[:room])
                part = _cut(part, max(1, PAGE_BYTES - size)) if room else part
                if len(part) == len(mine):
                    seen[batch.partition] = batch.through
                else:  # the rest is for the next page
                    full = True
                    if not len(part):
                        continue
                    seen[batch.partition] = int(part.positions[-1])
                rows, size = rows + len(part), size + part.rows.nbytes
                found += [part] if len(part) else []
            count = sum(map(len, batches))
            looked += max(1, count)
            mean_bytes = max(1, sum(batch.rows.nbytes for batch in batches) // max(1, count))
            step = max(1, min(step * 8, AT_ONCE_EVENTS, PAGE_BYTES // mean_bytes))
            if all(seen.get(p, at - 1) + 1 >= there.get(p, 0) for p, at in offsets.items()):
                return _in_order(found), seen, True
    except Corrupt:
        if not found:
            raise
    return _in_order(found), seen, False


def _in_order(batches: list[Batch]) -> list[Batch]:
    return sorted(batches, key=lambda batch: batch.partition)


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
