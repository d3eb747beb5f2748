"""One topic's side of ingest: the rows of several requests as one batch, split by key, and each request's receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...batch import ENVELOPE, AppendResult, Indices, Positions, TopicSpec, Write, column
from ...clock import Clock
from ...errors import RowsTooLarge, TooLarge
from ...log.interface import Log
from ...log.steady import SteadyTime
from ...notices import notices
from ...partition import assign, group, key_text
from ...schema.decode import Decoder
from ...schema.rows import is_json, with_rules
from ...settings import Settings
from ...telemetry.metrics import counter
from ..emit import with_columns
from ..interface import concat_promote
from .dedupe import MOST, DedupeWindow, EventIdentity, Place, identities, restore

Rows: TypeAlias = Sequence[Any] | pa.RecordBatch  # what ``Decoder.decode`` made, or columns
Envelope: TypeAlias = Mapping[str, Sequence[Any]]  # envelope columns by name, as long as the rows
Partitions = npt.NDArray[np.int32]

EVENTS = counter("ingest_events", "Events accepted at the door, durable", "topic")
BYTES = counter("ingest_bytes", "Bytes of accepted bodies, as sent", "topic")


@dataclass(slots=True)  # not frozen: that makes making one twice as dear, and there is one a request
class Receipt:
    """Where each row of a request is, in the request's order. ``repeated``: some were there before."""

    partitions: Partitions
    positions: Positions
    repeated: bool = False

    @classmethod
    def empty(cls) -> Receipt:
        return cls(np.empty(0, np.int32), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(slots=True, eq=False)
class Request:
    rows: Rows
    envelope: Envelope | None
    done: asyncio.Future[Receipt]
    size: int = 0  # bytes as sent
    batch: pa.RecordBatch | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rows, pa.RecordBatch):
            self.batch = self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True)
class Piece:
    """One topic's rows in a group. ``kept[i]`` is the place among the requests' rows of row ``i`` that is stored."""

    topic: str
    requests: list[Request]
    total: int
    kept: Indices
    partitions: Partitions
    order: Indices  # the writes' rows one after the other, as places in ``kept``
    writes: list[Write]
    repeats: dict[int, Place | int] = field(default_factory=dict)  # where the first one is, or its row
    fresh: dict[EventIdentity, int] = field(default_factory=dict)  # identities to remember, and their row

    @property
    def stored(self) -> int:
        return len(self.kept)


class Intake:
    """Used by the event loop only, but for ``columns``; at most one piece of it is under way."""

    def __init__(self, spec: TopicSpec, log: Log, settings: Settings, clock: Clock) -> None:
        self.spec = spec
        self.decoder = Decoder(
            received(spec),
            depth_limit=settings.depth_limit,
            event_limit=settings.event_limit,
            unknown="reject" if spec.extra == "reject" else "count",
            domain=spec.domain,
        )
        self._turn = 0
        self._events, self._bytes = (metric.labels(spec.name) for metric in (EVENTS, BYTES))
        self._steady = SteadyTime(clock)  # an id is not forgotten early for a clock that is set
        self._window: DedupeWindow | None = None
        if spec.dedupe_us is not None:
            self._window = DedupeWindow(spec.dedupe_us)
            restore(self._window, log, spec.name, clock.now() - spec.dedupe_us)

    def build(self, requests: Iterable[Request]) -> pa.RecordBatch:
        """The columns of structs from several requests. Raises ``InvalidEvent``."""
        given = list(requests)
        if len(given) == 1:
            return self.columns(given[0].rows, given[0].envelope)
        rows = [row for request in given for row in request.rows]
        batch = self.decoder.columns(rows)
        return with_columns(batch, envelope_columns(given, len(rows))) if any(r.envelope for r in given) else batch

    def columns(self, rows: Sequence[Any], envelope: Envelope | None) -> pa.RecordBatch:
        """The columns of one request; from any thread. Raises ``InvalidEvent``."""
        batch = self.decoder.columns(rows)
        if not envelope:
            return batch
        found = {n: pa.array(envelope[n], kind, size=len(rows)) for n, kind in ENVELOPE.items() if n in envelope}
        if "_topic" in found:  # in a domain with a type the event itself may say it as well
            found["_topic"] = pc.coalesce(found["_topic"], column(batch, "_topic"))
        return with_columns(batch, found)

    def gather(self, requests: list[Request], now: int) -> Piece:
        """One batch of them all. A request whose rows cannot become columns fails alone."""
        batches: list[pa.RecordBatch] = []
        good: list[Request] = []
        for run in runs(requests):
            for part, built in self._built(run):
                good += part
                batches.append(built)
        rows = concat_promote(batches) if batches else self.decoder.columns([])
        return self._piece(good, rows, now)

    def _built(self, run: list[Request]) -> Iterable[tuple[list[Request], pa.RecordBatch]]:
        if run[0].batch is not None:
            return [(run, run[0].batch)]
        try:
            return [(run, self.build(run))]
        except Exception as error:
            if len(run) == 1:
                run[0].fail(error)
                return []
            return [pair for request in run for pair in self._built([request])]

    def _piece(self, requests: list[Request], rows: pa.RecordBatch, now: int) -> Piece:
        total = rows.num_rows
        kept = np.arange(total)
        repeats: dict[int, Place | int] = {}
        fresh: dict[EventIdentity, int] = {}
        if self._window is not None:
            self._window.forget(self._steady.expiry())
            repeats, fresh = known(self._window, identities(rows))
            if repeats:
                kept = np.setdiff1d(kept, np.fromiter(repeats, np.int64), assume_unique=True)
                rows = rows.take(pa.array(kept))
        partitions = self._partitions(rows)
        order, writes = self._writes(rows, partitions)
        return Piece(self.spec.name, requests, total, kept, partitions, order, writes, repeats, fresh)

    def _partitions(self, rows: pa.RecordBatch) -> Partitions:
        """A publisher's own key (``_key``) comes before the topic's key column; without either, round robin."""
        self._turn += 1
        found = np.full(rows.num_rows, self._turn % self.spec.partitions, np.int32)
        for name in filter(None, (self.spec.key, "_key")):
            if (index := rows.schema.get_field_index(name)) >= 0:
                keys = key_text(rows.column(index))
                has = keys.is_valid().to_numpy(zero_copy_only=False)
                found[has] = assign(keys, self.spec.partitions)[has]
        return found

    def _writes(self, rows: pa.RecordBatch, partitions: Partitions) -> tuple[Indices, list[Write]]:
        if len(partitions) == 0:
            return np.empty(0, np.int64), []
        if (partitions == partitions[0]).all():
            return np.arange(len(partitions)), [Write(self.spec.name, int(partitions[0]), rows)]
        parts = group(partitions)
        writes = [Write(self.spec.name, p, rows.take(pa.array(at))) for p, at in parts]
        return np.concatenate([at for _, at in parts]), writes

    def refuse(self, piece: Piece, error: RowsTooLarge) -> list[Request]:
        """Tell those whose rows are too large for the log which they are; all others are left."""
        starts = np.cumsum([0, *(write.rows.num_rows for write in piece.writes)])
        stored = np.concatenate([np.asarray(rows, np.int64) + starts[place] for place, rows in error.rows.items()])
        large = np.sort(piece.kept[piece.order[stored]])  # places among the requests' rows
        left: list[Request] = []
        start = 0
        for request in piece.requests:
            first = int(large.searchsorted(start))
            stop = start + len(request)
            if first < len(large) and large[first] < stop:
                request.fail(TooLarge(f"row {large[first] - start}: {error}"))
            else:
                left.append(request)
            start = stop
        return left

    def answer(self, piece: Piece, spans: Sequence[AppendResult], now: int) -> None:
        """Tell every request where its rows are, and remember what must not come again."""
        partitions, positions = np.empty(piece.total, np.int32), np.empty(piece.total, np.int64)
        if spans:
            partitions[piece.kept] = piece.partitions
            positions[piece.kept[piece.order]] = np.concatenate([span.positions for span in spans])
        for row, first in piece.repeats.items():
            place = (partitions[first], positions[first]) if isinstance(first, int) else first
            partitions[row], positions[row] = place
        if self._window is not None:
            self._remember(self._window, piece, partitions, positions)
        self._events.inc(piece.stored)
        self._bytes.inc(sum(request.size for request in piece.requests))
        again = np.sort(np.fromiter(piece.repeats, np.int64))
        start = 0
        for request in piece.requests:
            stop = start + len(request)
            if not request.done.done():  # it is when the publisher has gone away
                repeated = len(again) > 0 and bool(np.diff(again.searchsorted((start, stop)))[0])
                request.done.set_result(Receipt(partitions[start:stop], positions[start:stop], repeated))
            start = stop

    def _remember(self, window: DedupeWindow, piece: Piece, partitions: Partitions, positions: Positions) -> None:
        at = self._steady.expiry()
        for identity, row in piece.fresh.items():
            window.remember(identity, (int(partitions[row]), int(positions[row])), at)
        if window.short:
            notices().tell(
                f"dedupe {self.spec.name}",
                f"topic '{self.spec.name}' has had more than {MOST:,} ids within its dedupe= window, and no more are "
                "remembered: repeats of older ones are stored again",
                mend="make the window shorter",
            )


def received(spec: TopicSpec) -> pa.Schema:
    """The columns that events are read by: in a domain with a type each may say its domain topic beside them."""
    if not spec.domain or is_json(spec.schema):
        return spec.schema
    return spec.schema.append(with_rules(pa.field("_topic", pa.string()), {"default": None}))


def runs(requests: list[Request]) -> list[list[Request]]:
    """Neighbours that still need columns together; each one that has them alone."""
    found: list[list[Request]] = []
    for request in requests:
        if request.batch is None and found and found[-1][-1].batch is None:
            found[-1].append(request)
        else:
            found.append([request])
    return found


def envelope_columns(requests: Sequence[Request], count: int) -> dict[str, pa.Array]:
    names = [n for n in ENVELOPE if any(r.envelope and n in r.envelope for r in requests)]
    columns: dict[str, pa.Array] = {}
    for name in names:
        values: list[Any] = []
        for request in requests:
            given = request.envelope or {}
            values += given[name] if name in given else [None] * len(request)
        columns[name] = pa.array(values, ENVELOPE[name], size=count)
    return columns


def known(
    window: DedupeWindow, found: Sequence[EventIdentity | None]
) -> tuple[dict[int, Place | int], dict[EventIdentity, int]]:
    """Rows that repeat an earlier one (by its place, or its row here), and the first rows of new identities."""
    repeats: dict[int, Place | int] = {}
    fresh: dict[EventIdentity, int] = {}
    for row, identity in enumerate(found):
        if identity is None:
            continue
        if (place := window.find(identity)) is not None:
            repeats[row] = place
        elif identity in fresh:
            repeats[row] = fresh[identity]
        else:
            fresh[identity] = row
    return repeats, fresh
