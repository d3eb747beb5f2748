"""A look at some records of many partitions: how many events follow an offset, how large they are, how old the first.

Offsets count records, and those that end transactions, not events; several writers to a partition cannot keep a running
count of events in their records either. So records are read: up to the end where that is near, else as many as one
small fetch brings, and the rest is taken to be like them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from ....clock import Clock
from ...reading.assigned import Place
from ..cluster.address import Address
from ..cluster.client import configuration
from ..records.arrow import rows_of
from ..topics.catalog import DECLARATION, ClusterCatalog

RECORDS = 1_000  # of one partition that are looked at
BYTES = 64 << 10  # of one partition after which no more is read
WITHIN_S = 5.0  # seconds for one look at all partitions together
TURN_S = 0.1  # seconds of one wait
REMEMBERED = 20_000  # looks

Spot = tuple[Place, int]  # a partition and an offset in it


@dataclass(slots=True)
class Sample:
    """The records from ``start`` up to ``reached``. ``cut``: there may be more behind them."""

    start: int
    reached: int
    events: int = 0
    bytes: int = 0
    first: int | None = None  # append time of the first one, milliseconds since the epoch
    records: int = 0
    cut: bool = True

    def events_to(self, end: int) -> int:
        """How many events there are from the start to that offset; exact unless it was cut."""
        return round(self.events + self._beyond(end) * self.events_an_offset)

    def bytes_to(self, end: int) -> int:
        return round(self.bytes + self._beyond(end) * self.bytes_an_offset)

    @property
    def events_an_offset(self) -> float:
        return self.events / (self.reached - self.start) if self.reached > self.start else 1.0

    @property
    def bytes_an_offset(self) -> float:
        return self.bytes / (self.reached - self.start) if self.reached > self.start else 0.0

    def holds(self, end: int) -> bool:
        """Another look would tell nothing else."""
        return self.reached >= end or (self.cut and self.records > 0)

    def _beyond(self, end: int) -> int:
        return max(end - self.reached, 0) if self.cut else 0


class Sampling:
    """One consumer for all looks, kept; they are remembered as long as they hold. Safe to use from several threads."""

    def __init__(self, address: Address, catalog: ClusterCatalog, clock: Clock) -> None:
        self._address, self._catalog, self._clock = address, catalog, clock
        self._mutex = threading.Lock()
        self._known: OrderedDict[Spot, Sample] = OrderedDict()
        self._consumer: Consumer | None = None

    def at(self, spots: Iterable[Spot], ends: Mapping[Place, int]) -> dict[Spot, Sample]:
        """From each of the offsets on. What the brokers do not send in time counts as an event a record."""
        with self._mutex:
            wanted = list(dict.fromkeys(spots))
            missing = [spot for spot in wanted if not self._holds(spot, ends)]
            deadline = self._clock.monotonic() + WITHIN_S
            while missing:
                turn = dict(missing)  # a consumer has one place in a partition at a time
                self._read(turn, deadline)
                missing = [spot for spot in missing if turn[spot[0]] != spot[1]]
            found = {spot: self._known.get(spot) or Sample(spot[1], spot[1]) for spot in wanted}
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return found

    def close(self) -> None:
        with self._mutex:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _holds(self, spot: Spot, ends: Mapping[Place, int]) -> bool:
        place, start = spot
        if start >= ends[place]:
            self._known[spot] = Sample(start, start, cut=False)
        elif spot not in self._known or not self._known[spot].holds(ends[place]):
            return False
        self._known.move_to_end(spot)
        return True

    # -- reading --------------------------------------------------------------

    def _read(self, starts: Mapping[Place, int], deadline: float) -> None:
        names = {(self._catalog.name(topic), p): (topic, p) for topic, p in starts}
        unread = {place: Sample(start, start) for place, start in starts.items()}
        consumer = self._consuming()
        consumer.assign([TopicPartition(name, p, starts[place]) for (name, p), place in names.items()])
        while unread and self._clock.monotonic() < deadline:
            enough: list[TopicPartition] = []
            first = consumer.poll(TURN_S)
            for message in [] if first is None else [first, *consumer.consume(RECORDS, 0)]:
                place = names.get((message.topic() or "", message.partition() or 0))
                if place is not None and place in unread and self._take(unread[place], message, place):
                    self._known[place, starts[place]] = unread.pop(place)
                    enough.append(TopicPartition(self._catalog.name(place[0]), place[1]))
            if enough:
                consumer.incremental_unassign(enough)
        for place, look in unread.items():
            if look.records:
                self._known[place, starts[place]] = look
        consumer.unassign()

    def _take(self, look: Sample, message: Message, place: Place) -> bool:
        """Whether that was enough of its partition."""
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                look.cut, look.reached = False, max(message.offset() or 0, look.reached)
            return True
        value = message.value() or b""
        look.reached = (message.offset() or 0) + 1
        if not any(name == DECLARATION for name, _ in _headers(message)):
            look.first = message.timestamp()[1] if look.first is None else look.first
            look.events += rows_of(value) if self._catalog.topic(place[0]).encoding == "arrow" else 1
            look.bytes += len(value)
        look.records += 1
        return look.records >= RECORDS or look.bytes >= BYTES

    def _consuming(self) -> Consumer:
        if self._consumer is None:
            settings = {
                "group.id": self._address.groupless,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.min.messages": 1,  # it is for a look: nothing is fetched ahead
                "fetch.message.max.bytes": BYTES,
                "fetch.wait.max.ms": 5,
                "fetch.queue.backoff.ms": 10,  # else a partition that is done makes the others wait for a second
            }
            self._consumer = Consumer(configuration(self._address, **settings))
        return self._consumer


def _headers(message: Message) -> list[tuple[str, Any]]:
    found: list[Any] = list(message.headers() or ())
    return found
