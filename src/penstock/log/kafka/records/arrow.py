"""A record a batch: an Arrow IPC stream of one batch, schema included, so that any Arrow library reads it.

The schema's part of the stream is the same bytes in each record of a writer. It is made once, put in front of every
batch, and recognised by its bytes when read: what a record costs is then the batch alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa

from ....batch import Rejected, TopicSpec, Write, concat_same
from ....errors import SchemaChanged
from ...topic_schema import RowChecks, empty
from .interface import Chunk, Headers, OutgoingRecord, ReceivedRecord, origin_header, origin_of, parse_origin, too_large
from .positions import MANY_A_RECORD, ROWS

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
CONTENT_TYPE = ("content-type", b"application/vnd.apache.arrow.stream")
REMEMBERED = 64  # schemas; a topic has one or two at a time
SLACK_BYTES = 1_024  # bytes of a record beside its value


class ArrowRecords:
    """Implements ``Encoding``. ``limit``: bytes of one record. Used by one thread at a time."""

    numbering = MANY_A_RECORD

    def __init__(self, limit: int) -> None:
        self._limit = limit - SLACK_BYTES
        self._checks = RowChecks()
        self._heads: dict[pa.Schema, bytes] = {}
        self._known: dict[bytes, pa.Schema] = {}

    def encode(self, spec: TopicSpec, write: Write) -> list[OutgoingRecord]:
        head = self._head(write.rows.schema)
        headers = [CONTENT_TYPE, *origin_header(write.origin)]
        found: list[OutgoingRecord] = []
        large: dict[int, int] = {}  # bytes by row
        for start in range(0, write.rows.num_rows, ROWS):
            self._split(write.rows, start, min(start + ROWS, write.rows.num_rows), head, headers, found, large)
        if large:
            raise too_large(spec, max(large.values()), self._limit, list(large))
        return found

    def decode(self, spec: TopicSpec, records: Sequence[ReceivedRecord]) -> list[Chunk]:
        return [chunk for record in records if (chunk := self._chunk(spec, record)) is not None]

    # -- writing --------------------------------------------------------------

    def _split(
        self,
        rows: pa.RecordBatch,
        start: int,
        stop: int,
        head: bytes,
        headers: Headers,
        found: list[OutgoingRecord],
        large: dict[int, int],
    ) -> None:
        """One record, or halves of it until each is within the limit or a single row."""
        value = b"".join((head, rows.slice(start, stop - start).serialize(), END_OF_STREAM))
        if len(value) <= self._limit:
            found.append(OutgoingRecord(value, stop - start, headers))
        elif stop - start == 1:
            large[start] = len(value)
        else:
            half = (start + stop) // 2
            self._split(rows, start, half, head, headers, found, large)
            self._split(rows, half, stop, head, headers, found, large)

    def _head(self, schema: pa.Schema) -> bytes:
        if (head := self._heads.get(schema)) is None:
            if len(self._heads) >= REMEMBERED:
                self._heads.clear()
            head = self._heads[schema] = schema.serialize().to_pybytes()
        return head

    # -- reading --------------------------------------------------------------

    def _chunk(self, spec: TopicSpec, record: ReceivedRecord) -> Chunk | None:
        """``None`` for a record without rows: there is nothing to deal with."""
        try:
            rows = self._rows(record.value or b"")
            self._checks.check(spec, rows)
            origin = parse_origin(origin_of(record.headers))
        except (pa.ArrowException, SchemaChanged, msgspec.DecodeError, ValueError, OSError) as error:
            return self._rejected(record, str(error))
        count = rows.num_rows
        if count > ROWS:
            return self._rejected(record, f"{count} rows in one record; at most {ROWS} have a position")
        if count == 0:
            return None
        positions = self.numbering.positions(record.offset, 0, count)
        return Chunk(positions, np.full(count, record.time, np.int64), rows, origin, record.offset)

    def _rows(self, value: bytes) -> pa.RecordBatch:
        """Raises what Arrow raises for bytes that are no stream,."""
        size = 8 + int.from_bytes(value[4:8], "little")  # of the schema's message
        schema = self._known.get(value[:size])
        rows = None if schema is None else _only_batch(value, size, schema)
        if rows is None:
            with pa.ipc.open_stream(value) as stream:
                table = stream.read_all()
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[value[:size]] = table.schema
            parts = table.to_batches()
            rows = concat_same(parts) if parts else empty(table.schema)
        rows.validate(full=True)  # a foreign record may point anywhere
        return rows

    def _rejected(self, record: ReceivedRecord, reason: str) -> Chunk:
        position = self.numbering.position(record.offset)
        none = np.empty(0, np.int64)
        rejected = Rejected(position, f"not the Arrow rows of this topic: {reason}", record.value or b"")
        return Chunk(none, none, None, None, record.offset, rejected)


def _only_batch(value: bytes, start: int, schema: pa.Schema) -> pa.RecordBatch | None:
    """The batch behind the schema's message, where it is the only one; ``None`` leaves it to the stream's reader."""
    source = pa.BufferReader(memoryview(value)[start:])
    message = pa.ipc.read_message(source)
    if message.type != "record batch" or source.size() - source.tell() > len(END_OF_STREAM):
        return None
    return pa.ipc.read_record_batch(message, schema)


def rows_of(value: bytes) -> int:
    """How many rows a record holds, without a look at them; 1 for one that cannot be read."""
    try:
        with pa.ipc.open_stream(value) as stream:
            return sum(batch.num_rows for batch in stream) or 1
    except (pa.ArrowException, OSError):
        return 1
