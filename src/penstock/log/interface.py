"""What a log promises. Every backend passes ``penstock.testing.LogContract``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from ..batch import AppendResult, Batch, TopicSpec, Write

Start = Literal["earliest", "latest"]


@dataclass(frozen=True, slots=True)
class Advance:
    """The group has dealt with everything in this partition up to and including ``through``."""

    topic: str
    partition: int
    through: int


@dataclass(frozen=True, slots=True)
class Seek:
    """Where a reader goes on in one partition, or in every one it owns (``partition=None``).

    ``to`` is a place: a position (the first event at or after it), a time (the first appended at or after it), the
    earliest or the latest, or ``committed``: back to the group's own position. Or it is flow control, which leaves the
    place as it is: ``pause``, after which reads give nothing of the partition, and ``resume``.
    """

    topic: str
    partition: int | None
    to: int | datetime | Literal["earliest", "latest", "committed", "pause", "resume"]


@dataclass(frozen=True, slots=True)
class OwnedPartition:
    """A partition in a member's hands.

    ``epoch`` is another each time that the partition comes to this member, also when it comes back. ``through``: the
    group's position; None: nothing of the partition is dealt with.
    """

    epoch: int
    through: int | None


class Reader(Protocol):
    """One member's view of one group. Used by one thread at a time, except ``close``."""

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        """At most one batch a partition this member owns, each after the last row *read*; ``max_events`` rows in all.

        Blocks up to ``wait`` seconds when there is nothing, and returns early when something is appended. With 0 it
        finds what is stored; with ``None`` what has come by itself: it asks nobody and takes no time, and what is still
        on its way is for a later read. Rows that cannot be decoded come as ``Batch.rejected``. One fair turn a
        partition: a busy one does not starve the others. Membership is kept up here: partitions are gained and given
        back between two reads.

        Raises ``Overtaken`` once when retention removed what the group had not read (the next read goes on at the
        earliest left), also when it had committed nothing since its first member came: that one began at the earliest
        event there was. And ``Corrupt`` for a damaged batch, whose partition then stays put while others are read.
        """
        ...

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        """Append ``outputs`` and move the group's positions, all in one durable transaction.

        An advance into the middle of a batch read is legal, and so is one without rows. Without any advance the commit
        is fenced as if it named all partitions of this member: its outputs may be of any. Raises ``Fenced`` with the
        partitions lost, and then nothing was stored; the caller drops their work and commits the rest again. So does
        ``RowsTooLarge``, with the rows of the outputs that the log does not hold.
        """
        ...

    def owned(self, topic: str) -> Mapping[int, OwnedPartition]:
        """The partitions of this member as its last call left them, by their number. Asks nobody."""
        ...

    def seek(self, where: Seek) -> None:
        """Go on elsewhere.

        In a group, a place other than ``committed`` becomes the group's position, durably and fenced.
        """
        ...

    def close(self) -> None:
        """Leave the group at once, so that others need not wait for a timeout. Harmless twice."""
        ...


class Log(Protocol):
    """Durable topics. Safe to use from several threads and several processes at once."""

    def create(self, topic: TopicSpec, *, grow: bool = False) -> None:
        """Make the topic exist with this type, key and retention. Harmless when it does.

        A type may gain optional fields (``SchemaChanged`` otherwise); partitions grow only with ``grow``
        (``PartitionsChanged`` otherwise).
        """
        ...

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        """Store all of the writes or none; durable on return. One span a write, in their order.

        Rows keep their order within a partition. Raises ``NotFound`` (topic or partition), ``SchemaChanged`` (columns
        that do not fit), ``RowsTooLarge`` (where a row has a limit), ``LogFull``, ``LogUnreachable``, ``LogRefused``.
        """
        ...

    def reader(self, group: str | None, topics: Sequence[str], member: str, *, start: Start = "earliest") -> Reader:
        """Join a group as ``member``; its positions survive. ``start`` serves partitions that have no position yet.

        A group's members have even shares of all its partitions. Of several topics one member may have all of one:
        where that matters each needs a group of its own.

        ``group=None`` gives a reader of its own that owns every partition, holds no lease and cannot commit.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PartitionState:
    topic: str
    partition: int
    earliest: int  # position of the first event left; equals ``end`` when there is none
    end: int  # the position that the next event will not be before
    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GroupState:
    group: str
    topic: str
    partition: int
    # May lie in the gap behind the last position committed. Before anything is, a log may keep where the group began.
    # None: nothing of the partition is dealt with.
    through: int | None
    owner: str | None  # a member; where several hosts share the log, MEMBER@HOST
    lag_events: int
    lag_seconds: float  # age of the oldest event not yet dealt with; 0 without any


class LogInspection(Protocol):
    """The log as an operator sees it."""

    def topics(self) -> Sequence[TopicSpec]: ...
    def partitions(self, topic: str) -> Sequence[PartitionState]: ...
    def groups(self) -> Sequence[GroupState]: ...


class Alter(Protocol):
    """What cannot be undone. Nobody may be reading or writing the topic but for a reset, which processes that go on
    survive: what they append in the old type is refused, and readers go on behind what is gone."""

    def reset(self, topic: TopicSpec) -> None:
        """All events of the topic are gone, and it is as declared here, whatever it was; groups go on with what comes.

        Positions are not used again: ids that came of them stay the only ones. Raises ``NotFound``, and
        ``PartitionsChanged`` for fewer partitions.
        """
        ...

    def delete(self, topic: str) -> None:
        """The topic is gone, with its events and the groups' positions in it. Raises ``NotFound``."""
        ...


class Offsets(Protocol):
    """How far topics and groups have come: of ``LogInspection`` what is asked many times a second, so it is cheap."""

    def ends(self, topic: str) -> Mapping[int, int]:
        """``PartitionState.end`` of every partition."""
        ...

    def positions(self, groups: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str, int], int]:
        """``GroupState.through`` of each group in a topic, by group, topic and partition.

        Where that is None there is no entry; for a group that is not there, none at all. Raises
        ``NotFound`` for a topic that is not there.
        """
        ...


class ObservedLog(Log, LogInspection, Offsets, Protocol):
    """A log that can also be looked at."""
