"""An encoding: rows of one write as Kafka records, and records as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import pyarrow as pa

from ....batch import Lineage, Positions, Rejected, TopicSpec, Write
from ....errors import RowsTooLarge
from .positions import PositionScheme

Headers = list[tuple[str, bytes]]
ORIGIN = "penstock-origin"  # what made the rows: absent for published ones


class OutgoingRecord(msgspec.Struct, frozen=True, gc=False):  # one an event: made in a tenth of a dataclass's time
    """One record to send, of ``rows`` events."""

    value: bytes
    rows: int
    headers: Headers
    key: bytes | None = None


class ReceivedRecord(msgspec.Struct, frozen=True, gc=False):
    """One record as it was received. ``time``: microseconds since the epoch."""

    offset: int
    time: int
    value: bytes | None
    headers: Headers
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of consecutive records, or one undecodable record. ``last``: the offset of the last record."""

    positions: Positions
    appended: Positions
    rows: pa.RecordBatch | None
    origin: Lineage | None
    last: int
    rejected: Rejected | None = None

    def __len__(self) -> int:
        """What it takes of a reader's budget."""
        return len(self.positions) or 1


class Encoding(Protocol):
    numbering: PositionScheme

    def encode(self, spec: TopicSpec, write: Write) -> list[OutgoingRecord]:
        """The records of one write, in order. Raises ``RowsTooLarge``, as the only write of a call."""
        ...

    def decode(self, spec: TopicSpec, records: Sequence[ReceivedRecord]) -> list[Chunk]:
        """All of the records, in order. One that cannot be read becomes a chunk with its reason."""
        ...


def too_large(spec: TopicSpec, size: int, limit: int, rows: Sequence[int]) -> RowsTooLarge:
    """``size``: bytes of the largest."""
    return RowsTooLarge(f"an event of {size} bytes for topic '{spec.name}' does not fit a record of {limit}", {0: rows})


def origin_header(origin: Lineage | None) -> Headers:
    return [] if origin is None else [(ORIGIN, msgspec.json.encode(origin))]


def origin_of(headers: Headers) -> bytes | None:
    """The header as it stands, for comparing; records of one origin have equal ones."""
    return next((value for name, value in headers if name == ORIGIN), None)


def parse_origin(header: bytes | None) -> Lineage | None:
    """Raises ``msgspec.DecodeError`` for a header that is not ours."""
    return None if header is None else msgspec.json.decode(header, type=Lineage)
