"""Appending: rows into the batch table, and the ends of their partitions, within a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apsw
import pyarrow as pa

from ....batch import AppendResult, Write
from ....errors import LogError
from ...steady import append_time
from .catalog import Catalog, partition_row, write_partition
from .stored import checksum
from .tables import POSITION_LIMIT, LogState, PartitionRow, key

_INSERT = "INSERT INTO batch (id, count, time, schema, crc, meta, payload) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Prepared(NamedTuple):
    """A write as it will be stored."""

    write: Write
    schema: int
    payload: pa.Buffer
    meta: bytes


class Appender:
    """One transaction's appends; each partition's end is written once, by ``finish``."""

    def __init__(self, db: apsw.Connection, catalog: Catalog, state: LogState, now: int) -> None:
        self._db = db
        self._catalog = catalog
        self._seq = state.seq + 1
        self.time = append_time(state.time, now)
        self._rows: dict[int, PartitionRow] = {}

    @property
    def touched(self) -> list[PartitionRow]:
        return list(self._rows.values())

    def append(self, prepared: Sequence[Prepared]) -> list[AppendResult]:
        return [self._put(one) for one in prepared]

    def finish(self) -> None:
        for row in self._rows.values():
            write_partition(self._db, row)

    def _put(self, prepared: Prepared) -> AppendResult:
        write, schema, payload, meta = prepared
        tp, count = self._catalog.tp(write.topic, write.partition), write.rows.num_rows
        row = self._rows.get(tp) or partition_row(self._db, self._catalog, tp)
        span = AppendResult(write.topic, write.partition, row.next, row.next + count - 1, count)
        if not count:
            return span
        if row.next + count > POSITION_LIMIT:
            raise LogError(f"{write.topic}/{write.partition} is full: it has had {row.next} events")
        at = key(tp, row.next)
        crc = checksum(at, count, self.time, schema, meta, payload)
        self._db.execute(_INSERT, (at, count, self.time, schema, crc, meta, payload))
        self._rows[tp] = row._replace(
            next=row.next + count, time=self.time, bytes=row.bytes + len(meta) + payload.size, seq=self._seq
        )
        return span
