"""What a stage is: it makes outputs of rows. It neither reads nor commits; the pump does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..batch import Batch, Indices, Lineage, Positions, TopicSpec, concat_same
from ..log.topic_schema import empty


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

    def batch(self, partition: int) -> Batch:
        """The rows of one partition, as they were read."""
        mine = self
        if not (self.partitions == partition).all():
            mine = self.take(np.flatnonzero(self.partitions == partition))
        return Batch(self.topic, partition, mine.positions, mine.appended, mine.rows, self.origins.get(partition))

    @classmethod
    def none(cls, topic: TopicSpec) -> Work:
        """Nothing came."""
        nothing = np.empty(0, np.int64)
        return cls(topic.name, empty(topic.schema), np.empty(0, np.int32), nothing, nothing)

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
    """Rows for a topic. ``parents[i]`` is the row of the work that row ``i`` was made of; None: the rows have none.

    ``partitions[i]``: where row ``i`` goes, for a topic whose partitions mean something; None: its key decides.
    """

    topic: str
    rows: pa.RecordBatch
    parents: Indices | None
    model: str | None = None
    version: int | None = None
    partitions: npt.NDArray[np.int32] | None = None


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
    """What became of a work, and when to go on.

    ``done``: through which position of a partition everything is dealt with, what was kept of earlier works too; None:
    all of the work. It may name any partition of which the stage was given something, and is stored with the outputs.
    Outputs and failures are of rows that are done. ``again``: what is not done of a partition is read again after so
    many seconds, and nothing else of it before; each time costs a read, so it pays to wait for several rows. What is
    neither done nor ``again`` the stage keeps, as one that ``Keeps`` may. ``wake``: call ``handle`` after so many
    seconds though nothing came, with an empty work; None: only when something comes. Each outcome says it anew.

    Of a work that was put back (``Work.again``) all must be done at once, and ``wake`` is not looked at.
    """

    outputs: Sequence[Output] = ()
    failures: Sequence[Failure] = ()
    done: Mapping[int, int] | None = None
    again: Mapping[int, float] = field(default_factory=dict)
    wake: float | None = None

    @property
    def in_parts(self) -> bool:
        """Whether it says anything of what is done and what comes later; else all of the work is done."""
        return self.done is not None or bool(self.again) or self.wake is not None


class Stage(Protocol):
    name: str
    source: str

    def handle(self, work: Work) -> Outcome:
        """Every row of the work that is ``done`` is accounted for: in the outputs, in the failures, or with nothing.

        Raises ``Sick`` (see ``failures``) when nothing can be said of the rows because a dependency failed: the pump
        holds the positions and backs off. Anything else raised is a fault of ours and treated alike.
        """
        ...


@runtime_checkable
class Keeps(Protocol):
    """Also implemented by a stage that keeps something of a partition from one pass to another.

    Called in the pump's thread, between two calls of ``handle``; after any of it ``handle`` is called soon, though
    nothing came. Outputs of what was kept have no parents, so nobody can tell which partition they are of: when one is
    lost, nothing of their outcome is stored, and all partitions come again. A stage that keeps something has to deal
    with its poison itself, in ``Outcome.failures``: rows before it may be kept.
    """

    def assigned(self, partition: int, through: int | None) -> None:
        """Rows of the partition come, the first one behind ``through`` (None: behind nothing)."""
        ...

    def revoked(self, partition: int) -> None:
        """What is kept of the partition is to be forgotten: another member reads it again from what is committed, or
        this one does, which is then told as ``assigned``."""
        ...
