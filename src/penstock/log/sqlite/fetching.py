"""Reading stored batches of one partition, each checked before it is believed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import apsw
import numpy as np
import pyarrow as pa

from ...batch import Batch, Rejected, concat_same
from ...errors import Corrupt
from ..reading.assigned import Place
from ..topic_schema import concat_evolved, empty
from .store.catalog import Catalog
from .store.stored import checksum, decode_origin, decode_rows
from .store.tables import MASK, key

BYTES_A_PARTITION = 16 << 20  # of one read, whatever the number of rows

LOST = 0  # the schema number of the marker that a repair leaves where events were

_ROWS = (
    "SELECT id, count, time, schema, crc, meta, payload FROM batch "
    "WHERE id >= coalesce((SELECT max(id) FROM batch WHERE id <= ?1 AND id >= ?2), ?1) AND id < ?3 ORDER BY id"
)
Row = tuple[int, int, int, int, int, bytes, bytes]


@dataclass(slots=True)
class _Run:
    """Rows of one origin on their way into one batch."""

    meta: bytes | None = None
    rows: list[pa.RecordBatch] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    count: int = 0
    bytes: int = 0
    schemas: set[int] = field(default_factory=set)
    declared: bool = True  # all rows are of the topic's present type

    def joined(self, schema: pa.Schema) -> pa.RecordBatch:
        return concat_same(self.rows) if self.declared and len(self.schemas) == 1 else concat_evolved(schema, self.rows)


def fetch(
    db: apsw.Connection, catalog: Catalog, place: Place, tp: int, cursor: int, end: int, limit: int
) -> Batch | None:
    """Up to ``limit`` rows from ``cursor`` on; ``None`` where the batch at the cursor is no longer there.

    Raises ``Corrupt`` for damage at the cursor; damage further on ends the batch before it.
    """
    run, expected, topic = _Run(), cursor, catalog.topic(place[0])
    lost: Rejected | None = None
    for row in _rows(db, place, tp, cursor, end, run):
        if row[3] == LOST and not run.rows and (row[0] & MASK) <= expected and sound(row):
            lost = Rejected((row[0] & MASK) + row[1] - 1, f"{row[1]} events were lost in a repair", b"")
            break
        if run.count >= limit or run.bytes >= BYTES_A_PARTITION or (run.rows and row[5] != run.meta):
            break
        try:
            schema, declared = catalog.decoding(db, topic, row[3])
            expected = _add(run, row, expected, limit, _decoded(schema, row, expected))
            run.declared &= declared
        except ValueError as error:
            if run.rows:
                break
            if (row[0] & MASK) > expected:
                return None  # expired meanwhile, or missing: the caller knows where the partition begins
            raise damaged(place, expected, str(error)) from error
    if lost is not None:
        none = np.empty(0, dtype=np.int64)
        return Batch(*place, none, none, empty(topic.spec.schema), None, (lost,))
    if not run.rows:
        return None
    return Batch(
        *place,
        np.arange(cursor, expected, dtype=np.int64),
        np.repeat(np.array(run.times, dtype=np.int64), run.counts),
        run.joined(topic.spec.schema),
        decode_origin(run.meta or b""),
    )


def damaged(place: Place, position: int, reason: str) -> Corrupt:
    topic, partition = place
    return Corrupt(
        f"{topic}/{partition}: the events at {position} are damaged ({reason}). This partition stays put; "
        "seek past them to go on without them",
        topic=topic,
        partition=partition,
        position=position,
    )


def _rows(db: apsw.Connection, place: Place, tp: int, cursor: int, end: int, run: _Run) -> Iterator[Row]:
    """Stored batches as they lie in the file. A page that SQLite cannot follow is damage like any other."""
    rows = db.execute(_ROWS, (key(tp, cursor), key(tp, 0), key(tp, end)))
    try:
        yield from rows
    except (apsw.CorruptError, UnicodeDecodeError) as error:
        if not run.rows:
            raise damaged(place, cursor, str(error)) from error
    finally:
        rows.close()


def sound(row: Row) -> bool:
    """Whether the checksum fits; what does not even have the right types does not."""
    at, count, time, schema, crc, meta, payload = row
    try:
        return checksum(at, count, time, schema, meta, payload) == crc
    except (TypeError, struct.error):
        return False


def _decoded(schema: pa.Schema, row: Row, expected: int) -> pa.RecordBatch:
    at, count, payload = row[0], row[1], row[6]
    if not sound(row):
        raise ValueError("its checksum does not fit")
    base = at & MASK
    if not base <= expected < base + count:
        raise ValueError(f"a batch of {count} at {base} does not follow on {expected}")
    return decode_rows(payload, schema, count)


def _add(run: _Run, row: Row, expected: int, limit: int, rows: pa.RecordBatch) -> int:
    skip = expected - (row[0] & MASK)
    taken = min(row[1] - skip, limit - run.count)
    run.meta = row[5]
    run.schemas.add(row[3])
    run.rows.append(rows if taken == row[1] else rows.slice(skip, taken))
    run.times.append(row[2])
    run.counts.append(taken)
    run.count += taken
    run.bytes += len(row[6])
    return expected + taken
