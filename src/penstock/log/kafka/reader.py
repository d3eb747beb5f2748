"""Reading from Kafka."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, Message, TopicPartition

from ...batch import SYSTEM, Batch, Write
from ...clock import Clock, ManualClock
from ...errors import Fenced, LogError, LogUnreachable, NotFound, Overtaken
from ...settings import Settings
from ..interface import Advance, Seek, Start
from ..reading.holding import Holding, Holdings, Place
from ..reading.seeking import check_advance, check_target, microseconds, overtaken
from ..reading.turns import allot
from .address import Address
from .catalog import DECLARATION, Catalog
from .client import ANSWER, translated
from .lanes import Lane
from .membership import Committed, Membership, beginning, is_end
from .numbering import Numbering
from .producing import Record, Refused, Transactions, Unknown
from .records.encodings import Encodings
from .records.interface import Incoming

TURN = 0.25  # seconds of one wait: how long a close from another thread may have to wait
AT_ONCE = 0.05  # seconds; a shorter wait asks the brokers what there is, since records are still on their way
ENDING = 0.5  # seconds that a transaction may take to end; what one that was given up holds back is not waited for
ENOUGH = 16_384  # rows received and not handed out, beyond which no more records are taken


@dataclass(frozen=True, slots=True)
class Connection:
    """What all readers of one log share."""

    address: Address
    settings: Settings
    clock: Clock
    catalog: Catalog


class KafkaReader:
    """Implements ``Reader``."""

    def __init__(
        self, connection: Connection, group: str | None, topics: Sequence[str], member: str, serial: str, start: Start
    ) -> None:
        self._shared, self._catalog = connection, connection.catalog
        self._topics = tuple(dict.fromkeys(topics))
        self._encodings = Encodings()
        self._own = Holdings()
        self._lanes: dict[Place, Lane] = {}
        self._through: dict[Place, int] = {}  # the group's positions, as far as known here
        self._errors: list[Overtaken] = []
        self._mutex = threading.RLock()
        self._closed = False
        self._displaced = False
        self._looked = float("-inf")
        self._start: Start = start
        self._catalog.refresh()
        for topic in self._topics:
            self._catalog.topic(topic)
        names = [self._catalog.name(topic) for topic in self._topics]
        full = None if group is None else connection.address.namespace + group
        self._membership = Membership(
            connection.address, connection.settings, connection.clock, full, names, member, self._gained, self._drop
        )
        self._transactions = Transactions(connection.address, f"{full}/{serial}", connection.clock)
        try:
            if full is None:
                self._own_all()
            else:
                if start == "latest":
                    self._start_latest()
                self._join()
        except BaseException:
            self.close()
            raise

    def read(self, max_events: int, wait: float) -> Sequence[Batch]:
        clock = self._shared.clock
        deadline = clock.monotonic() + wait
        at_once = wait < AT_ONCE or isinstance(clock, ManualClock)
        while True:
            with self._mutex:
                self._check_open()
                if self._membership.group is None:
                    self._own_all()
                left = deadline - clock.monotonic()
                ready = any(True for _ in self._ready())
                self._receive(0.0 if ready or at_once else max(min(left, TURN), 0.0))
                if at_once:
                    self._await_all()
                if batches := self._gather(max_events):
                    return batches
                if self._errors:
                    raise self._errors.pop(0)
            if at_once or clock.monotonic() >= deadline:
                return []
            if self._closed:
                return []

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        with self._mutex:
            self._check_open()
            if self._membership.group is None:
                raise LogError("a reader without a group has no positions to commit")
            if not done and not outputs:
                return
            self._check_held([(a.topic, a.partition) for a in done])
            self._check_advances(done)
            records = [r for write in outputs for r in self.encode(write)]
            positions = [self._position(advance) for advance in done]
            try:
                self._store(records, positions)
            except (Refused, Unknown) as error:
                raise self._put_out(done, error) from None
            for advance in done:
                place = (advance.topic, advance.partition)
                self._through[place] = advance.through
                self._own.held[place].committed(advance.through)

    def seek(self, where: Seek) -> None:
        with self._mutex:
            self._check_open()
            places = self._named(where)
            if where.to in ("pause", "resume"):
                self._hold_back(places, where.to == "pause")
                return
            if where.to == "committed" and self._membership.group is None:
                raise LogError("a reader without a group has no committed position")
            targets = {place: self._target(place, where.to) for place in places}
            if targets and where.to != "committed" and self._membership.group is not None:
                try:
                    self._membership.commit([self._at(place, to) for place, to in targets.items()])
                except Refused as error:
                    raise self._put_out([Advance(*place, 0) for place in targets], error) from None
                for place, to in targets.items():
                    self._through[place] = self._numbering(place[0]).position(to.offset, to.row) - 1
            for place, target in targets.items():
                self._go_to(place, target)

    def displace(self) -> None:
        """Another reader has taken this one's name."""
        self.close(displaced=True)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self, *, displaced: bool = False) -> None:
        if not displaced:
            self._closed = True  # before the lock: a waiting ``read`` sees it at its next turn
        with self._mutex:
            if self._membership.open:
                self._membership.close()
                self._transactions.close()
            self._displaced = self._displaced or displaced
            if displaced:
                self._own.abandon()

    # -- what it owns ---------------------------------------------------------

    def _join(self) -> None:
        """Waits until the group answers, which may first have to find a member dead."""
        self._membership.join()
        deadline = self._shared.clock.monotonic() + 10 + 2 * self._shared.settings.member_timeout
        while not self._membership.joined and self._shared.clock.monotonic() < deadline:
            self._receive(0.05)
            if isinstance(self._shared.clock, ManualClock):
                self._shared.clock.sleep(0)

    def _own_all(self) -> None:
        clock = self._shared.clock
        if clock.monotonic() < self._looked + self._shared.settings.poll_interval:
            return
        if self._looked > float("-inf"):
            self._catalog.refresh()
        self._looked = clock.monotonic()
        new = [
            (topic, p)
            for topic in self._topics
            for p in range(self._catalog.topic(topic).partitions)
            if (topic, p) not in self._own.held
        ]
        if not new:
            return
        ends = self._catalog.offsets(new, "latest" if self._start == "latest" else "earliest")
        self._membership.own([self._begin(place, Committed(ends[place])) for place in new])
        self._start = "earliest"  # partitions that come later are read whole

    def _start_latest(self) -> None:
        """Only a group that is new to a topic starts at its end: its positions are set before it has a member."""
        for topic in self._topics:
            name = self._catalog.name(topic)
            places = [(topic, p) for p in range(self._catalog.topic(topic).partitions)]
            found = self._membership.committed([TopicPartition(name, p) for _, p in places])
            if any(each.offset >= 0 for each in found):
                continue
            ends = self._catalog.offsets(places, "latest")
            self._membership.begin([TopicPartition(name, p, ends[topic, p]) for _, p in places])

    def _gained(self, found: list[tuple[str, int, Committed | None]]) -> list[TopicPartition]:
        begin = []
        for name, partition, committed in found:
            place = (self._catalog.own(name), partition)
            if committed is None:
                self._begin(place, Committed(0))
                begin.append(beginning(name, partition))
                continue
            self._through[place] = self._numbering(place[0]).position(committed.offset, committed.row) - 1
            begin.append(self._begin(place, committed))
        return begin

    def _begin(self, place: Place, where: Committed) -> TopicPartition:
        numbering = self._numbering(place[0])
        self._own.held[place] = Holding(place, 0, numbering.position(where.offset, where.row))
        self._lanes[place] = Lane(place, numbering, where.offset, (where.offset, where.row))
        return TopicPartition(self._catalog.name(place[0]), place[1], where.offset)

    def _drop(self, lost: list[tuple[str, int]]) -> None:
        for name, partition in lost:
            place = (self._catalog.own(name), partition)
            self._own.drop(place)
            self._lanes.pop(place, None)
            self._through.pop(place, None)

    def _put_out(self, done: Sequence[Advance], error: Exception) -> Fenced:
        """The group went on without this member, or what became of its transaction is not known: begin anew.

        Everything in hand is dropped; the positions that are read after the transaction has been ended are certain.
        """
        if isinstance(error, Unknown):
            self._transactions.settle()
        lost = list(dict.fromkeys((a.topic, a.partition) for a in done))
        self._drop([(self._catalog.name(topic), p) for topic, p in list(self._own.held)])
        self._own.lost.clear()
        self._membership.rejoin()
        return Fenced(lost)

    # -- receiving ------------------------------------------------------------

    def _receive(self, timeout: float) -> None:
        """Take in what has arrived. Partitions are gained and lost here."""
        full = sum(lane.rows for lane in self._lanes.values()) >= ENOUGH
        messages = self._membership.receive(timeout, 1) if full else self._membership.receive(timeout)
        for (name, partition), run in groupby(messages, key=lambda m: (m.topic(), m.partition())):
            if name is not None and partition is not None:
                self._sort((self._catalog.own(name), partition), list(run))

    def _sort(self, place: Place, messages: list[Message]) -> None:
        lane = self._lanes.get(place)
        if lane is None:
            return  # lost in between
        records: list[Incoming] = []
        for message in messages:
            if (error := message.error()) is None:
                records.append(_incoming(message))
            elif is_end(error):
                lane.reached = max(lane.reached, message.offset() or 0)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                self._overtaken(place)
                return
            else:
                raise translated(error, f"read {place[0]}/{place[1]}")
        if not records:
            return
        lane.reached = max(lane.reached, records[-1].offset + 1)
        if place[0] == SYSTEM:
            records = [r for r in records if not any(name == DECLARATION for name, _ in r.headers)]
        for chunk in self._encodings.decode(self._catalog, place[0], records):
            lane.add(chunk)

    def _overtaken(self, place: Place) -> None:
        earliest = self._catalog.offsets([place], "earliest")[place]
        cursor = self._own.held[place].cursor
        position = self._numbering(place[0]).position(earliest)
        if cursor < position and place in self._through:
            self._errors.append(overtaken(place, cursor, position))
        self._go_to(place, Committed(earliest))

    def _await_all(self) -> None:
        """Until every partition has given something or has nothing: what is stored is found though it is on its way."""
        now = self._shared.clock.monotonic
        began, isolation = now(), IsolationLevel.READ_UNCOMMITTED  # a transaction just acknowledged may still be ending
        ends: dict[Place, int] = {}
        while not self._errors:
            waiting = [lane.place for lane in self._open_lanes() if not lane.rows]
            ends |= self._catalog.offsets([p for p in waiting if p not in ends], "latest", isolation)
            if not any(self._lanes[place].reached < ends[place] for place in waiting):
                return
            if isolation is IsolationLevel.READ_UNCOMMITTED and now() > began + ENDING:
                isolation, ends = IsolationLevel.READ_COMMITTED, {}
            elif now() > began + ANSWER:
                raise LogUnreachable("the brokers have records and do not send them")
            self._receive(TURN)

    # -- handing out ----------------------------------------------------------

    def _open_lanes(self) -> Iterator[Lane]:
        """In the order of their turns."""
        for place, lane in self._lanes.items():
            if self._own.held[place].readable and place not in self._own.lost:
                yield lane

    def _ready(self) -> Iterator[Lane]:
        return (lane for lane in self._open_lanes() if lane.rows)

    def _gather(self, max_events: int) -> list[Batch]:
        ready = list(self._ready())
        if not ready:
            return []
        shares = allot({lane.place: lane.rows for lane in ready}, max_events)
        return [self._take(place, count) for place, count in shares.items()]

    def _take(self, place: Place, count: int) -> Batch:
        lane = self._lanes[place] = self._lanes.pop(place)  # its next turn is after all others
        batch = lane.take(self._catalog.topic(place[0]), count)
        holding = self._own.held[place]
        holding.cursor = batch.through + 1
        holding.returned = batch.through
        return batch

    # -- committing -----------------------------------------------------------

    def encode(self, write: Write) -> list[Record]:
        return self._encodings.encode(self._catalog, write)

    def _check_held(self, places: Sequence[Place]) -> None:
        for topic, partition in places:
            self._catalog.partition(topic, partition)
        if lost := self._own.refuse(places):
            raise Fenced(lost)

    def _check_advances(self, done: Sequence[Advance]) -> None:
        for advance in done:
            place = (advance.topic, advance.partition)
            holding = self._own.held[place]
            known = max(holding.cursor, self._through.get(place, -1) + 1)
            if advance.through >= known:  # beyond what was handed out: legal as far as the partition goes
                known = self._numbering(place[0]).position(self._catalog.offsets([place], "latest")[place])
            check_advance(advance, self._through.get(place), known)

    def _position(self, advance: Advance) -> TopicPartition:
        offset, row = self._lanes[advance.topic, advance.partition].committed(advance.through)
        return Committed(offset, row).at(self._catalog.name(advance.topic), advance.partition)

    def _store(self, records: list[Record], positions: list[TopicPartition]) -> None:
        if records:
            self._transactions.run(records, positions, self._membership.identity)
        else:
            self._membership.commit(positions)

    # -- seeking --------------------------------------------------------------

    def _named(self, where: Seek) -> list[Place]:
        if where.topic not in self._topics:
            raise NotFound(f"this reader does not read topic '{where.topic}'")
        if where.partition is None:
            self._own.lost = {place for place in self._own.lost if place[0] != where.topic}
            return [place for place in self._own.held if place[0] == where.topic]
        place = (where.topic, where.partition)
        self._catalog.partition(*place)
        if where.to not in ("pause", "resume"):
            self._own.lost.discard(place)
            self._check_held([place])
        return [place] if place in self._own.held else []

    def _hold_back(self, places: list[Place], paused: bool) -> None:
        names = [TopicPartition(self._catalog.name(topic), partition) for topic, partition in places]
        if names:
            (self._membership.pause if paused else self._membership.resume)(names)
        for place in places:
            self._own.held[place].paused = paused

    def _target(self, place: Place, to: int | datetime | str) -> Committed:
        numbering = self._numbering(place[0])
        if to == "committed":
            name = self._catalog.name(place[0])
            found = Committed.of(self._membership.committed([TopicPartition(name, place[1])])[0])
            return found or Committed(self._catalog.offsets([place], "earliest")[place])
        end = self._catalog.offsets([place], "latest")[place]
        if isinstance(to, datetime):
            stamp = -(-microseconds(to) // 1_000)
            at = self._catalog.offsets([place], stamp)[place]
            return Committed(end if at < 0 else at)
        earliest = self._catalog.offsets([place], "earliest")[place]
        if isinstance(to, int):
            check_target(place, to, numbering.position(end))
            offset, row = numbering.place(to)
            return Committed(offset, row) if offset >= earliest else Committed(earliest)
        return Committed(earliest if to == "earliest" else end)

    def _at(self, place: Place, target: Committed) -> TopicPartition:
        return target.at(self._catalog.name(place[0]), place[1])

    def _go_to(self, place: Place, target: Committed) -> None:
        paused = self._own.held[place].paused
        where = self._begin(place, target)
        self._membership.move(where)
        if paused:
            self._hold_back([place], True)

    # -- the cluster ----------------------------------------------------------

    def _numbering(self, topic: str) -> Numbering:
        return self._catalog.numbering(topic)

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the reader is closed")


def _incoming(message: Message) -> Incoming:
    milliseconds = message.timestamp()[1]
    named: list[Any] = list(message.headers() or ())
    headers = [(str(name), value) for name, value in named if isinstance(value, bytes)]
    return Incoming(message.offset() or 0, milliseconds * 1_000, message.value(), headers, message.key())
