"""Topics, groups and leases in memory, under one lock that their users hold."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import pyarrow as pa

from ...batch import AppendResult, Lineage, Rejected, TopicSpec, Write
from ...clock import Clock
from ...errors import LogError, NotFound, RowsTooLarge
from ...settings import Settings
from ..interface import Advance
from ..reading.assigned import Place
from ..reading.assignment import moves
from ..reading.seeking import check_advance
from ..steady import SteadyTime, append_time, believable
from ..topic_schema import RowChecks


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """What one write stored."""

    first: int
    last: int
    time: int
    rows: pa.RecordBatch
    origin: Lineage | None
    rejected: Rejected | None = None

    @property
    def events(self) -> int:
        return self.last - self.first + 1

    @property
    def bytes(self) -> int:
        return len(self.rejected.payload) if self.rejected else int(self.rows.nbytes)


@dataclass(slots=True)
class StoredPartition:
    place: Place
    entries: list[StoredBatch] = field(default_factory=list)
    end: int = 0
    expired: int = 0  # one past the last position that retention removed

    @property
    def earliest(self) -> int:
        return self.entries[0].first if self.entries else self.end

    def index_at(self, cursor: int) -> int:
        """The index of the first entry that reaches ``cursor`` or lies after it."""
        index = bisect_right(self.entries, cursor, key=lambda entry: entry.first) - 1
        return index if index >= 0 and self.entries[index].last >= cursor else index + 1

    def events_from(self, cursor: int) -> int:
        entries = self.entries[self.index_at(cursor) :]
        return sum(e.events for e in entries) - (max(0, cursor - entries[0].first) if entries else 0)


@dataclass(slots=True)
class StoredTopic:
    spec: TopicSpec
    number: int
    partitions: list[StoredPartition] = field(default_factory=list)


@dataclass(slots=True)
class GroupMember:
    serial: int  # tells a member from an earlier one of its name
    topics: tuple[str, ...]
    seen: float


@dataclass(slots=True)
class PartitionLease:
    member: str | None = None
    epoch: int = 0


@dataclass(slots=True)
class StoredGroup:
    members: dict[str, GroupMember] = field(default_factory=dict)
    leases: dict[Place, PartitionLease] = field(default_factory=dict)
    through: dict[Place, int] = field(default_factory=dict)

    def release(self, member: str) -> None:
        self.members.pop(member, None)
        for lease in self.leases.values():
            if lease.member == member:
                lease.member = None


class Store:
    """Every method is called with ``changed`` held; it is notified of whatever a waiting reader may want to see."""

    def __init__(self, clock: Clock, settings: Settings, gap: int, limit: int | None) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.clock = clock
        self.topics: dict[str, StoredTopic] = {}
        self.groups: dict[str, StoredGroup] = {}
        self.steady = SteadyTime(clock)
        self.closed = False
        self.settings = settings
        self._gap, self._limit = gap, limit
        self._last_stamp = 0
        self._checks = RowChecks()
        self._serial = 0

    @property
    def waits(self) -> bool:
        """Whether a reader may wait: not under a clock that only a test moves."""
        return not self.closed and self.clock.passes

    def check_open(self) -> None:
        if self.closed:
            raise LogError("the log is closed")

    def topic(self, name: str) -> StoredTopic:
        if name not in self.topics:
            raise NotFound(f"there is no topic '{name}'")
        return self.topics[name]

    def partition(self, place: Place) -> StoredPartition:
        topic = self.topic(place[0])
        if not 0 <= place[1] < len(topic.partitions):
            raise NotFound(f"topic '{place[0]}' has partitions 0 to {len(topic.partitions) - 1}, not {place[1]}")
        return topic.partitions[place[1]]

    # -- storing --------------------------------------------------------------

    def check(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self.partition((write.topic, write.partition))
            self._checks.check(self.topic(write.topic).spec, write.rows)
        large = {n: rows for n, write in enumerate(writes) if (rows := self._too_large(write))}
        if large:
            raise RowsTooLarge(f"events of more than {self._limit} bytes do not fit", large)

    def _too_large(self, write: Write) -> list[int]:
        if self._limit is None:
            return []
        return [n for n in range(write.rows.num_rows) if write.rows.slice(n, 1).nbytes > self._limit]

    def store(self, writes: Sequence[Write]) -> list[AppendResult]:
        now = self._now()
        spans = [self._put(write, now) for write in writes]
        for topic in self.topics.values():
            self._expire(topic)
        self.changed.notify_all()
        return spans

    def plant(self, place: Place, payload: bytes, reason: str, rows: pa.RecordBatch) -> int:
        partition = self.partition(place)
        at = partition.end
        partition.entries.append(StoredBatch(at, at, self._now(), rows, None, Rejected(at, reason, payload)))
        partition.end = at + 1 + self._gap
        self.changed.notify_all()
        return at

    def _put(self, write: Write, now: int) -> AppendResult:
        partition = self.partition((write.topic, write.partition))
        first, count = partition.end, write.rows.num_rows
        if count:
            partition.entries.append(StoredBatch(first, first + count - 1, now, write.rows, write.origin))
            partition.end = first + count + self._gap
        return AppendResult(write.topic, write.partition, first, first + count - 1, count)

    def _now(self) -> int:
        self._last_stamp = append_time(self._last_stamp, self.steady.stamp())
        return self._last_stamp

    def _expire(self, topic: StoredTopic) -> None:
        spec = topic.spec
        if (retain_us := spec.retain_us) is not None:
            now = self.steady.expiry()
            for partition in topic.partitions:
                times = believable((entry.time for entry in partition.entries), now)
                for _ in range(sum(1 for _ in takewhile(lambda time: time < now - retain_us, times))):
                    self._remove_first(partition)
        if spec.retain_bytes is None:
            return
        total = sum(entry.bytes for p in topic.partitions for entry in p.entries)
        # the newest entry stays, however large it is
        while total > spec.retain_bytes and sum(len(p.entries) for p in topic.partitions) > 1:
            filled = [p for p in topic.partitions if p.entries]
            total -= self._remove_first(min(filled, key=lambda p: (p.entries[0].time, -len(p.entries))))

    @staticmethod
    def _remove_first(partition: StoredPartition) -> int:
        entry = partition.entries.pop(0)
        partition.expired = entry.last + 1
        return entry.bytes

    # -- groups ---------------------------------------------------------------

    def join(self, group: str, member: str, topics: tuple[str, ...]) -> int:
        """A later reader of one name displaces the earlier. Returns a serial that no other join has."""
        self._serial += 1
        joined = self.groups.setdefault(group, StoredGroup())
        joined.release(member)
        joined.members[member] = GroupMember(self._serial, topics, self.clock.monotonic())
        self.changed.notify_all()
        return self._serial

    def start_latest(self, group: str, topics: Sequence[str]) -> None:
        """Only a group that is new to a topic starts at its end; partitions added later are read from the first."""
        through = self.groups[group].through
        for name in topics:
            partitions = self.topic(name).partitions
            if not any(p.place in through for p in partitions):
                through.update({p.place: p.end - 1 for p in partitions})

    def leave(self, group: str, member: str, serial: int) -> None:
        joined = self.groups[group]
        if member in joined.members and joined.members[member].serial == serial:
            joined.release(member)
            self.changed.notify_all()

    def balance(self, group: str, member: str, keep: set[Place]) -> tuple[dict[Place, int], set[Place]]:
        """Claim and give back. Returns the epochs of what ``member`` now owns, and what it must give back later.

        ``keep`` holds the places with rows that were returned and are not committed.
        """
        joined = self.groups[group]
        self._remove_silent(joined, member)
        leaving: set[Place] = set()
        for name in joined.members[member].topics:
            topic = self.topic(name)
            leases = {p.place: joined.leases.setdefault(p.place, PartitionLease()) for p in topic.partitions}
            peers = [m for m, state in joined.members.items() if name in state.topics]
            owners = {place: leases[place].member for place in sorted(leases, key=lambda p: p not in keep)}
            give, claim = moves(owners, peers, member, topic.number)
            for place in claim:
                leases[place] = joined.leases[place] = PartitionLease(member, leases[place].epoch + 1)
                # It stands before the first event left: what retention takes from then on is missed.
                joined.through.setdefault(place, self.partition(place).earliest - 1)
            leaving |= keep.intersection(give)
            for place in set(give) - keep:
                leases[place].member = None
                self.changed.notify_all()
        return {place: x.epoch for place, x in joined.leases.items() if x.member == member}, leaving

    def commit(self, group: str, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        """The positions and the outputs, or neither; the caller has checked its leases."""
        ahead = dict(self.groups[group].through)
        for advance in done:
            place = (advance.topic, advance.partition)
            check_advance(advance, ahead.get(place), self.partition(place).end)
            ahead[place] = advance.through
        self.check(outputs)
        self.groups[group].through = ahead
        self.store(outputs)

    def _remove_silent(self, group: StoredGroup, caller: str) -> None:
        oldest = self.clock.monotonic() - self.settings.member_timeout
        for name in [m for m, state in group.members.items() if m != caller and state.seen < oldest]:
            group.release(name)
