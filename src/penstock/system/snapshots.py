"""Snapshots of areas in ``penstock.snapshots``: in parts that fit a record, read from the end of the topic.

Each part names its snapshot and its place in it, so one that is cut or damaged is known as such, and those beside it
can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import pyarrow as pa
import zstandard

from ..batch import SNAPSHOTS, TopicSpec, data_columns
from ..errors import Corrupt, NotFound, Overtaken
from ..log.interface import Reader, Seek
from .interface import SystemLog

KEPT_BYTES = 64 << 20  # of snapshots; the newest one stays in any case
PART_BYTES = 256 << 10  # of one row's data: a record on Kafka has 1 MB at most
ROWS_AT_ONCE = 64
FIRST_LOOK = 16  # positions before the end
WIDER = 64  # times as far back with each look; on Kafka records are 65,536 positions apart

SCHEMA = pa.schema(
    [
        pa.field("area", pa.string(), nullable=False),
        pa.field("form", pa.int32(), nullable=False),
        pa.field("through", pa.int64(), nullable=False),
        pa.field("taken", pa.int64(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("parts", pa.int32(), nullable=False),
        pa.field("digest", pa.binary(), nullable=False),
        pa.field("data", pa.binary(), nullable=False),
    ]
)
SNAPSHOT_TOPIC = TopicSpec(SNAPSHOTS, SCHEMA, partitions=1, retain_bytes=KEPT_BYTES)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An area as it was saved in this form, packed. It covers ``penstock.system`` up to the position ``through``, and
    was ``taken`` at that time, in microseconds since the epoch."""

    area: str
    form: int
    through: int
    taken: int
    packed: bytes

    @property
    def title(self) -> str:
        return f"the snapshot of the {self.area} up to position {self.through}"

    @property
    def digest(self) -> bytes:
        head = f"{self.area}/{self.form}/{self.through}/{self.taken}/"
        return blake2b(head.encode() + self.packed, digest_size=16).digest()

    def saved(self) -> bytes:
        """Raises ``ValueError``."""
        try:
            return zstandard.ZstdDecompressor().decompress(self.packed)
        except zstandard.ZstdError as error:
            raise ValueError(f"{self.title} cannot be unpacked: {error}") from error


def pack(saved: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(saved)


def to_parts(snapshots: Sequence[Snapshot]) -> pa.RecordBatch:
    """Rows for ``penstock.snapshots``."""
    rows: list[tuple[object, ...]] = []
    for each in snapshots:
        pieces = [each.packed[at : at + PART_BYTES] for at in range(0, len(each.packed), PART_BYTES)]
        head, digest = (each.area, each.form, each.through, each.taken), each.digest
        rows += [(*head, part, len(pieces), digest, piece) for part, piece in enumerate(pieces)]
    arrays = [pa.array(column, f.type) for column, f in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def looks(log: SystemLog, member: str) -> Iterator[list[Snapshot | str]]:
    """What lies before the end of the topic, the newest first, each time from further back: whole snapshots, and what
    is wrong with others. Nothing where there is no such topic."""
    try:
        end = log.ends(SNAPSHOTS)[0]
        reader = log.reader(None, [SNAPSHOTS], member)
    except NotFound:
        return
    except Corrupt as error:
        yield [str(error)]
        return
    with closing(reader):
        back = FIRST_LOOK
        while True:
            reader.seek(Seek(SNAPSHOTS, 0, max(end - back, 0)))
            parts = _Assembly()
            parts.read(reader)
            yield parts.found()
            if back >= end:
                return
            back *= WIDER


class _Head(NamedTuple):
    """What all parts of a snapshot say."""

    area: str
    form: int
    through: int
    taken: int
    parts: int
    digest: bytes


class _Assembly:
    """What one look found, in the order of the topic: parts by their snapshot, and faults, which have none."""

    def __init__(self) -> None:
        self._pieces: dict[_Head | str, dict[int, bytes]] = {}

    def read(self, reader: Reader) -> None:
        """To the end of the topic, around what is damaged."""
        while True:
            try:
                batches = reader.read(ROWS_AT_ONCE, 0.0)
            except Overtaken:
                continue  # the oldest are gone: the reader goes on with those left
            except Corrupt as error:
                self._pieces[str(error)] = {}
                reader.seek(Seek(SNAPSHOTS, 0, error.position + 1))
                continue
            if not batches:
                return
            for batch in batches:
                self._pieces |= {f"{SNAPSHOTS}/0/{r.position}: {r.reason}": {} for r in batch.rejected}
                for row in data_columns(batch.rows).to_pylist():
                    head = _Head(*(row[name] for name in _Head._fields))
                    self._pieces.setdefault(head, {})[row["part"]] = row["data"]

    def found(self) -> list[Snapshot | str]:
        """The newest first. One whose first part is missing is left out: the look, or what retention left, begins in
        the middle of it."""
        newest_first = reversed(self._pieces.items())
        return [_found(head, pieces) for head, pieces in newest_first if isinstance(head, str) or 0 in pieces]


def _found(head: _Head | str, pieces: Mapping[int, bytes]) -> Snapshot | str:
    if isinstance(head, str):
        return head
    packed = b"".join(data for _, data in sorted(pieces.items()))
    snapshot = Snapshot(head.area, head.form, head.through, head.taken, packed)
    return _fault(snapshot, head, len(pieces)) or snapshot


def _fault(snapshot: Snapshot, head: _Head, pieces: int) -> str | None:
    """Why it is not what was written."""
    if pieces != head.parts:
        return f"{snapshot.title} is cut: {pieces} of {head.parts} parts are there"
    return None if snapshot.digest == head.digest else f"{snapshot.title} is damaged"
