"""The datum: rows of one topic as Arrow columns, with their envelope and their positions.

A batch's rows are one ``RecordBatch``. Columns whose names begin with an underscore are the envelope (the
CloudEvents attributes and the row's parent); the others are the topic's. An envelope column that is absent is null in
every row; what a null means is written beside each name in ``ENVELOPE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Positions = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]

ENVELOPE: dict[str, pa.DataType] = {
    "_id": pa.string(),  # null: derived from the parent, or without one from the position
    "_time": pa.timestamp("us", tz="UTC"),  # null: when it was appended
    "_key": pa.string(),  # null: the value of the topic's key column, if it declares one
    "_source": pa.string(),  # null: the topic's own
    "_type": pa.string(),  # null: the topic's name
    "_subject": pa.string(),
    "_extensions": pa.string(),  # a JSON object of CloudEvents extension attributes
    "_parent_partition": pa.int32(),  # with Origin.topic, where the event came from that a stage made this of
    "_parent": pa.int64(),
    "_ordinal": pa.int32(),  # among the children of one parent; null: 0
    "_topic": pa.string(),  # of a domain's event the domain topic; null: it is of no domain
}

JSON_SCHEMA = pa.schema([pa.field("json", pa.string(), nullable=False)], metadata={"penstock": "json"})
"""The columns of a topic without a type: each event's JSON text."""

DOMAIN_TOPIC = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
"""What a domain topic may be called: Event Grid's 3 to 50 letters, digits and hyphens, and somewhat more."""

SYSTEM, SNAPSHOTS, DEAD, RETRY = "penstock.system", "penstock.snapshots", "penstock.dead", "penstock.retry"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a log must know of a topic. Durations are in microseconds; ``None`` means no limit."""

    name: str
    schema: pa.Schema = JSON_SCHEMA
    partitions: int = 4
    key: str | None = None
    retain_us: int | None = None
    retain_bytes: int | None = None
    dedupe_us: int | None = None
    encoding: Literal["arrow", "json"] = "arrow"  # of records on Kafka: a batch each, or an event each
    extra: Literal["ignore", "reject"] = field(default="ignore", compare=False)  # the doors' alone: no log keeps it
    source: str = ""  # of events that were published without one; empty: nobody's app has said it
    place: str = field(default="", compare=False)  # file:line, for messages; no log keeps it
    domain: bool = False  # each event is of one of its domain topics, which the column ``_topic`` says

    @property
    def default_source(self) -> str:
        """What stands in a record of an event without a source of its own."""
        return self.source or f"/penstock/{self.name}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What made these rows; the same for every row of a batch. The parent positions are columns."""

    stage: str
    topic: str  # the parents' topic
    code: str  # digest of the app's code
    model: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """Rows to append to one partition, in order: topic columns and any of the envelope's."""

    topic: str
    partition: int
    rows: pa.RecordBatch
    origin: Lineage | None = None


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Where a write went: positions ``first`` to ``last``, both included, of ``count`` rows (0: nothing).

    A log that left gaps between the rows gives each one's position in ``sparse``.
    """

    topic: str
    partition: int
    first: int
    last: int
    count: int
    sparse: Positions | None = field(default=None, compare=False)

    @property
    def positions(self) -> Positions:
        """Each row's position. Without gaps the ends say it all: positions are whole numbers and increasing."""
        if self.sparse is not None:
            return self.sparse
        if self.count and self.last - self.first + 1 != self.count:
            raise ValueError(f"a span of {self.count} rows over {self.first} to {self.last} must list their positions")
        return np.arange(self.first, self.first + self.count, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A stored row that could not be decoded: its position, why, and its bytes as they were found."""

    position: int
    reason: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one partition, in order.

    ``positions`` are strictly increasing and never assumed contiguous: no code adds 1 to one. ``appended`` holds each
    row's append time, microseconds since the epoch.
    """

    topic: str
    partition: int
    positions: Positions
    appended: Positions
    rows: pa.RecordBatch
    origin: Lineage | None = None
    rejected: Sequence[Rejected] = field(default=())

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def through(self) -> int:
        """The last position this batch covers, undecodable rows included."""
        ends = [int(self.positions[-1])] if len(self.positions) else []
        return max(ends + [r.position for r in self.rejected])

    def slice(self, start: int, stop: int) -> Batch:
        """Rows ``start`` to ``stop`` by their place in the batch, zero-copy; rejected rows stay behind."""
        return Batch(
            self.topic,
            self.partition,
            self.positions[start:stop],
            self.appended[start:stop],
            self.rows.slice(start, stop - start),
            self.origin,
        )

    def take(self, rows: Indices) -> Batch:
        """These rows by their places in the batch, which rise; rejected rows stay behind."""
        taken = self.rows.take(pa.array(rows))
        return Batch(self.topic, self.partition, self.positions[rows], self.appended[rows], taken, self.origin)


def data_columns(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The topic's own columns, without the envelope."""
    return rows.select([name for name in rows.schema.names if not name.startswith("_")])


def concat_same(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Rows of one schema, one after the other; a copy only where there are several parts."""
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)


def column(rows: pa.RecordBatch, name: str) -> pa.Array:
    """A column, or nulls of the envelope's type where it is absent."""
    index = rows.schema.get_field_index(name)
    return rows.column(index) if index >= 0 else pa.nulls(rows.num_rows, ENVELOPE[name])


def event_ids(batch: Batch) -> pa.Array:
    """Each event's id: the publisher's; else its place ``TOPIC/PARTITION/POSITION``; else, of what a stage made, how it
    came to be: ``STAGE/TOPIC/PARTITION/POSITION/ORDINAL``, with the place of its parent.

    So ids are equal whatever the batch boundaries were, and no two are: names have no ``/``.
    """
    given, origin = column(batch.rows, "_id"), batch.origin
    if len(given) and not given.null_count:
        return given
    if origin is None:
        places = pa.array(batch.positions).cast(pa.string())
        return pc.coalesce(given, pc.binary_join_element_wise(f"{batch.topic}/{batch.partition}", places, "/"))
    parents = (column(batch.rows, name).cast(pa.string()) for name in ("_parent_partition", "_parent", "_ordinal"))
    place = (found.fill_null(nothing) for found, nothing in zip(parents, ("-", "-", "0"), strict=True))
    derived = pc.binary_join_element_wise(f"{origin.stage}/{origin.topic}", *place, "/")
    return pc.coalesce(given, derived)
