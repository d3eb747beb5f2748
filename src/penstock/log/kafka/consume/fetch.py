"""What arrives from the brokers, sorted into lanes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

from confluent_kafka import IsolationLevel, KafkaError, Message, TopicPartition

from ....batch import SYSTEM
from ....clock import Clock
from ....errors import LogError, LogUnreachable, Overtaken
from ...reading.assigned import Place
from ...reading.seeking import overtaken
from ..cluster.client import ANSWER_S, translated
from ..encodings import Encodings
from ..records.interface import Headers, ReceivedRecord
from ..topics.catalog import DECLARATION, ClusterCatalog
from .assignment import Assignment
from .buffer import PartitionBuffer
from .consumer import RECEIVED, Committed, GroupConsumer, is_end, refusal

TURN_S = 0.25  # seconds of one wait: how long a close from another thread may have to wait
ENDING_S = 0.5  # seconds that a transaction may take to end; what one that was given up holds back is not waited for
ENOUGH_ROWS = 16_384  # rows received and not handed out, beyond which no more records are taken


class Fetch:
    """Used by one thread at a time.

    ``errors`` are kept, one a partition and one of the group, for when all that arrived beside them has been handed
    out: what was taken from the brokers is not asked for again, so no error may come between it and its lane.
    """

    def __init__(
        self, catalog: ClusterCatalog, clock: Clock, membership: GroupConsumer, own: Assignment, encodings: Encodings
    ) -> None:
        self._catalog, self._clock = catalog, clock
        self._membership, self._own, self._encodings = membership, own, encodings
        self.errors: dict[Place | None, LogError] = {}
        self._arrived: deque[tuple[PartitionBuffer, list[Message]]] = (
            deque()
        )  # empty, unless the brokers went away while sorting

    def receive(self, timeout: float) -> None:
        """Take in what has arrived. Partitions are gained and lost here."""
        self._receive(timeout, RECEIVED if self._own.rows < ENOUGH_ROWS else 1)
        self._membership.assign_pending(at_once=False)

    def _receive(self, timeout: float, limit: int) -> None:
        self._sort_all()
        messages = self._membership.receive(timeout, limit)
        places = zip(map(Message.topic, messages), map(Message.partition, messages), strict=True)
        for (name, partition), run in groupby(zip(places, messages, strict=True), key=itemgetter(0)):
            lane = self._own.lanes.get((self._catalog.own(name or ""), -1 if partition is None else partition))
            found = [message for _, message in run]
            if lane is not None:
                self._arrived.append((lane, found))
            else:  # lost in between, or no partition's
                self._refused(name, found)
        self._sort_all()

    def receive_all(self) -> None:
        """Until every partition has given something or has nothing: what is stored is found though it is on its way."""
        now = self._clock.monotonic
        began, isolation = now(), IsolationLevel.READ_UNCOMMITTED  # a transaction just acknowledged may still be ending
        ends: dict[Place, int] = {}
        while not self.errors:
            self._membership.assign_pending(at_once=True)
            waiting = [lane.place for lane in self._own.open_lanes() if not lane.rows]
            ends |= self._catalog.offsets([p for p in waiting if p not in ends], "latest", isolation)
            if not any(self._own.lanes[place].reached < ends[place] for place in waiting):
                return
            if isolation is IsolationLevel.READ_UNCOMMITTED and now() > began + ENDING_S:
                isolation, ends = IsolationLevel.READ_COMMITTED, {}
            elif now() > began + ANSWER_S:
                raise LogUnreachable("the brokers have records and do not send them")
            # However much there is of others: a partition's records may be behind all of theirs.
            self._receive(TURN_S, RECEIVED)

    def look_for_new_topics(self, age: float) -> None:
        """One that was deleted and made again is read from its first event on."""
        for place in self._own.made_anew(age):
            holding = self._own.held[place]
            self.errors[place] = _made_anew(
                place, f"was deleted and made again; this reader stood at {holding.cursor}", 0
            )
            self._go_on(place, self._own.begin_anew(place), holding.paused)

    def go_to(self, place: Place, target: Committed) -> None:
        """Read on there; what had been received of the partition is dropped."""
        paused = self._own.held[place].paused
        self._go_on(place, self._own.begin(place, target), paused)

    def overtook(self, place: Place, cursor: int, earliest: Committed) -> None:
        """What the group was given and had not dealt with is gone, from ``cursor`` on."""
        position = self._catalog.numbering(place[0]).position(earliest.offset, earliest.row)
        self.errors[place] = overtaken(place, cursor, position)

    def _go_on(self, place: Place, begin: TopicPartition, paused: bool) -> None:
        self._membership.move(begin)
        if paused:
            self.hold_back([place], True)

    def hold_back(self, places: Sequence[Place], paused: bool) -> None:
        names = [TopicPartition(self._catalog.name(topic), partition) for topic, partition in places]
        if names:
            (self._membership.pause if paused else self._membership.resume)(names)
        for place in places:
            self._own.held[place].paused = paused

    # -- sorting --------------------------------------------------------------

    def _sort_all(self) -> None:
        while self._arrived:
            self._sort(*self._arrived[0])
            self._arrived.popleft()

    def _sort(self, lane: PartitionBuffer, messages: list[Message]) -> None:
        """Changes nothing before all that may fail has been done."""
        place = lane.place
        if self._own.lanes.get(place) is not lane:
            return  # lost, or another place was sought
        sound = [message for message in messages if message.error() is None]
        records = _incoming(sound)
        reached = records[-1].offset + 1 if records else 0
        for message in messages if len(sound) < len(messages) else ():
            if (error := message.error()) is None:
                continue
            if is_end(error):
                reached = max(reached, message.offset() or 0)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                self._out_of_range(place)
                return
            else:
                self.errors[place] = translated(error, f"read {place[0]}/{place[1]}")
        if place[0] == SYSTEM:
            records = [r for r in records if not any(name == DECLARATION for name, _ in r.headers)]
        for chunk in self._encodings.decode(self._catalog, place[0], records) if records else ():
            lane.add(chunk)
        lane.reached = max(lane.reached, reached)

    def _refused(self, name: str | None, messages: list[Message]) -> None:
        """What is said of a whole topic or of the group."""
        for error in filter(None, (message.error() for message in messages)):
            if name is None and self._membership.group is not None:
                self.errors[None] = refusal(error, self._membership.group)
            elif name is not None and error.code() in _OF_A_TOPIC:
                topic = self._catalog.own(name)
                self.errors[topic, -1] = translated(error, f"read topic '{topic}'")

    def _out_of_range(self, place: Place) -> None:
        earliest, end = (self._catalog.offsets([place], which)[place] for which in _BOUNDS)
        cursor = self._own.held[place].cursor
        numbering = self._catalog.numbering(place[0])
        position = numbering.position(earliest)
        if cursor > numbering.position(end):
            why = "the topic was deleted and made again, or its brokers lost records"
            self.errors[place] = _made_anew(place, f"ends before {cursor}, where this reader stood: {why}", position)
            self._own.set(place, Committed(earliest))
        elif cursor < position and self._own.known(place):
            self.errors[place] = overtaken(place, cursor, position)
        else:  # only what lies before the place, and was to be looked at, is gone
            earliest = max(earliest, numbering.place(cursor)[0])
        self.go_to(place, Committed(earliest))


_OF_A_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)
_BOUNDS: tuple[Literal["earliest"], Literal["latest"]] = ("earliest", "latest")


def _made_anew(place: Place, what: str, earliest: int) -> Overtaken:
    topic, partition = place
    return Overtaken(
        f"{topic}/{partition} {what}; going on at {earliest}",
        topic=topic,
        partition=partition,
        earliest=earliest,
    )


def _incoming(messages: list[Message]) -> list[ReceivedRecord]:
    """There are as many as events: each attribute of all of them is asked for at once."""
    offsets: Any = map(Message.offset, messages)
    times = [milliseconds * 1_000 for _, milliseconds in map(Message.timestamp, messages)]
    headers = [_named(found) if found else _NONE for found in map(Message.headers, messages)]
    return list(map(ReceivedRecord, offsets, times, map(Message.value, messages), headers, map(Message.key, messages)))


_NONE: Headers = []


def _named(headers: Any) -> Headers:
    return [(str(name), value) for name, value in headers if isinstance(value, bytes)]
