"""What a stage is: it makes outputs of rows. It neither reads nor commits; the pump does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..batch import Batch, Indices, Lineage, Positions, concat_same


@dataclass(frozen=True, slots=True)
class Work:
    """Rows of one topic, from all the partitions that a member read at once.

    ``origins``: what made the rows of each partition, of which a read gives one batch; none: they were published.
    ``again``: they failed before and were put back (``redrive``), beside the order of their partitions.
    """

    topic: str
    rows: pa.RecordBatch
    partitions: npt.NDArray[np.int32]
    positions: Positions
    appended: Positions
    origins: Mapping[int, Lineage] = field(default_factory=dict)
    again: bool = False

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Work:
        """All from one topic. Envelope columns that some batches lack are null there."""
        return cls(
            batches[0].topic,
            concat_promote([b.rows for b in batches]),
            np.repeat(np.array([b.partition for b in batches], np.int32), [len(b) for b in batches]),
            np.concatenate([b.positions for b in batches]),
            np.concatenate([b.appended for b in batches]),
            {b.partition: b.origin for b in batches if b.origin is not None},
        )

    def take(self, rows: Indices) -> Work:
        return Work(
            self.topic,
            self.rows.take(pa.array(rows)),
            self.partitions[rows],
            self.positions[rows],
            self.appended[rows],
            self.origins,
            self.again,
        )


def concat_promote(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of several. Where their columns are the same this takes a quarter of the time."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if all(part.schema.equals(first.schema) for part in parts):
        return concat_same(parts)
    table = pa.concat_tables([pa.Table.from_batches([part]) for part in parts], promote_options="default")
    return table.combine_chunks().to_batches()[0] if table.num_rows else first.slice(0, 0)


@dataclass(frozen=True, slots=True)
class Output:
    """Rows for a topic. ``parents[i]`` is the row of the work that row ``i`` was made of; None: the rows have none."""

    topic: str
    rows: pa.RecordBatch
    parents: Indices | None
    model: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A row of the work that goes to the dead letters. ``bare``: without its data, which fit no record of the log."""

    row: int
    error: str
    reason: str
    traceback: str
    attempts: int
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    outputs: Sequence[Output] = ()
    failures: Sequence[Failure] = ()


class Stage(Protocol):
    name: str
    source: str

    def handle(self, work: Work) -> Outcome:
        """Every row of the work is accounted for: in the outputs, in the failures, or answered with nothing.

        Raises ``Sick`` (see ``failures``) when nothing can be said of the rows because a dependency failed: the pump
        holds the positions and backs off. Anything else raised is a fault of ours and treated alike.
        """
        ...
