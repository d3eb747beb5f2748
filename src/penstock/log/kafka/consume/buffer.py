"""Rows received and not yet handed out: a lane a partition."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ....batch import Batch, TopicSpec
from ...reading.assigned import Place
from ...topic_schema import concat_evolved, empty
from ..records.interface import Chunk
from ..records.positions import PositionScheme
from .deduplication import Deduplication, Mask


@dataclass(slots=True)
class PartitionBuffer:
    """``reached``: the offset up to which the partition was received, records that nobody reads included.

    ``passed``: the offset behind the last record whose end was not handed out, since it was there before.
    """

    place: Place
    numbering: PositionScheme
    reached: int
    skip: tuple[int, int] = (-1, 0)  # the offset of a record, and how many of its rows have been dealt with
    rows: int = 0
    repeats: Deduplication | None = None  # where rows may be stored twice
    passed: int = 0
    _chunks: deque[Chunk] = field(default_factory=deque)
    _counts: dict[int, int] = field(default_factory=dict)  # rows of the records handed out, by offset

    def add(self, chunk: Chunk) -> None:
        left = self._left(chunk)
        if left is not None:
            self._chunks.append(left)
            self.rows += len(left)

    def take(self, spec: TopicSpec, budget: int) -> Batch:
        """Up to so many rows of one origin; there are some."""
        taken: list[Chunk] = []
        while self._chunks and budget > 0 and (not taken or self._chunks[0].origin == taken[0].origin):
            chunk = self._chunks.popleft()
            self._count(chunk)
            if len(chunk) > budget:
                self._chunks.appendleft(_part(chunk, budget, len(chunk)))
                chunk = _part(chunk, 0, budget)
            budget -= len(chunk)
            self.rows -= len(chunk)
            taken.append(chunk)
        none = np.empty(0, np.int64)
        rows = [chunk.rows for chunk in taken if chunk.rows is not None]
        return Batch(
            *self.place,
            np.concatenate([none, *(chunk.positions for chunk in taken)]),
            np.concatenate([none, *(chunk.appended for chunk in taken)]),
            concat_evolved(spec.schema, rows) if rows else empty(spec.schema),
            taken[0].origin,
            tuple(chunk.rejected for chunk in taken if chunk.rejected is not None),
        )

    def committed(self, through: int) -> tuple[int, int]:
        """What Kafka keeps of a group that has dealt with ``through``: an offset, and how many rows of its record."""
        offset, row = self.numbering.place(through)
        count = self._counts.get(offset, 0 if self.numbering.bits else 1)
        for done in [o for o in self._counts if o < offset]:
            del self._counts[done]
        return (offset + 1, 0) if row + 1 == count else (offset, row + 1)

    def _count(self, chunk: Chunk) -> None:
        """Only a record of many rows can be dealt with in parts."""
        if self.numbering.bits:
            self._counts.setdefault(chunk.last, len(chunk))

    def _left(self, chunk: Chunk) -> Chunk | None:
        """Without the rows that the group has dealt with, and those that were there before."""
        start = self.numbering.position(*self.skip)
        if chunk.rejected is not None:
            return chunk if chunk.rejected.position >= start else None
        wanted = chunk.positions >= start
        if self.repeats is not None:
            wanted &= self.repeats.fresh(chunk)
        if wanted.all():
            return chunk
        if not wanted[-1] and chunk.last >= self.skip[0]:
            self.passed = chunk.last + 1
        if not wanted.any():
            return None
        self._count(chunk)
        return _where(chunk, wanted)


def _where(chunk: Chunk, wanted: Mask) -> Chunk:
    assert chunk.rows is not None  # a chunk with positions has rows
    rows = chunk.rows.filter(pa.array(wanted))
    return Chunk(chunk.positions[wanted], chunk.appended[wanted], rows, chunk.origin, chunk.last)


def _part(chunk: Chunk, start: int, stop: int) -> Chunk:
    rows: pa.RecordBatch | None = None if chunk.rows is None else chunk.rows.slice(start, stop - start)
    return Chunk(
        chunk.positions[start:stop], chunk.appended[start:stop], rows, chunk.origin, chunk.last, chunk.rejected
    )
