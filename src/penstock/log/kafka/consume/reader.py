"""Reading from Kafka."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import TopicPartition

from ....batch import Batch, Write
from ....clock import Clock
from ....errors import Fenced, LogError, LogUnreachable, NotFound
from ....settings import Settings
from ...interface import Advance, OwnedPartition, Seek, Start
from ...reading.assigned import Place
from ..cluster.address import Address
from ..encodings import Encodings
from ..produce.at_least_once import storing
from ..produce.transactions import GenerationRefused, OutcomeUnknown, Record
from ..topics.catalog import ClusterCatalog
from .assignment import Assignment
from .consumer import Committed, GroupConsumer, Rebalancing
from .fetch import TURN_S, Fetch
from .seeking import last_committed, target

AT_ONCE_S = 0.05  # seconds; a shorter wait asks the brokers what there is, since records are still on their way
SETTLING_S = 30.0  # seconds that a group may take to rebalance before a commit of positions is given up


@dataclass(frozen=True, slots=True)
class ReaderContext:
    """What all readers of one log share."""

    address: Address
    settings: Settings
    clock: Clock
    catalog: ClusterCatalog


class KafkaReader:
    """Implements ``Reader``."""

    def __init__(
        self,
        connection: ReaderContext,
        group: str | None,
        topics: Sequence[str],
        member: str,
        serial: str,
        start: Start,
        *,
        heir: bool = False,
    ) -> None:
        """``heir``: another may have died in the middle of a transaction of this ``serial``; it is ended first."""
        self._clock, self._settings, self._catalog = connection.clock, connection.settings, connection.catalog
        self._topics = tuple(dict.fromkeys(topics))
        self._mutex = threading.RLock()
        self._closed = False
        self._looked = float("-inf")
        self._start: Start = start
        self._catalog.refresh()
        for topic in self._topics:
            self._catalog.topic(topic)
        names = [self._catalog.name(topic) for topic in self._topics]
        full = None if group is None else connection.address.namespace + group
        self._encodings = Encodings(connection.address.limits.record)
        self._own = Assignment(self._catalog, repeats=not connection.address.transactional)
        self._membership = GroupConsumer(
            connection.address, self._settings, self._clock, full, names, member, self._own.gained, self._own.dropped
        )
        self._intake = Fetch(self._catalog, self._clock, self._membership, self._own, self._encodings)
        self._storing = storing(connection.address, f"{full}/{serial}", self._clock, self._move)
        try:
            if full is None:
                self._own_all()
            else:
                if heir:
                    self._storing.settle()
                if start == "latest":
                    self._start_latest()
                self._join(full)
        except BaseException:
            self.close()
            raise

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        deadline = self._clock.monotonic() + (wait or 0.0)
        at_once = wait is not None and (wait < AT_ONCE_S or not self._clock.passes)
        while True:
            with self._mutex:
                self._check_open()
                if self._membership.group is None:
                    self._own_all()
                left = deadline - self._clock.monotonic()
                self._intake.receive(0.0 if at_once or self._own.ready else max(min(left, TURN_S), 0.0))
                if at_once:
                    self._intake.receive_all()
                if self._membership.group is not None:
                    self._intake.look_for_new_topics(self._settings.poll_interval)
                self._pass_repeats()
                if batches := self._own.hand_out(max_events):
                    return batches
                if errors := self._intake.errors:
                    raise errors.pop(next(iter(errors)))
            if at_once or self._clock.monotonic() >= deadline:
                return []
            if self._closed:
                return []

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        with self._mutex:
            self._check_open()
            self._check_group("has no positions to commit")
            places = self._own.answered_for(done)
            self._check_held(places)
            self._check_name()
            self._own.check_advances(done)
            records = [record for each in self._encodings.encode(self._catalog, outputs) for record in each]
            positions = [self._own.position(advance) for advance in done]
            try:
                if not done:
                    # First of all: without transactions the outputs would be stored before the group refuses.
                    positions = self._standing()
                    self._move(positions)
                    self._check_held(places)  # others may have gone while the group settled
                self._store(records, positions)
            except (GenerationRefused, OutcomeUnknown) as error:
                raise self._put_out(places, error) from None
            for advance in done:
                self._own.advanced(advance)

    def owned(self, topic: str) -> Mapping[int, OwnedPartition]:
        with self._mutex:
            return self._own.owned(topic)

    def seek(self, where: Seek) -> None:
        with self._mutex:
            self._check_open()
            places = self._named(where)
            if where.to in ("pause", "resume"):
                self._intake.hold_back(places, where.to == "pause")
                return
            if where.to == "committed":
                self._check_group("has no committed position")
                targets = {place: last_committed(self._catalog, self._membership, place) for place in places}
            else:
                targets = {place: target(self._catalog, place, where.to) for place in places}
                self._settle_on(targets)
            for place, to in targets.items():
                if where.to == "committed" and (cursor := self._own.missed(place, to)) is not None:
                    self._intake.overtook(place, cursor, to)
                self._intake.go_to(place, to)

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
            had = self._own.answered_for(())
            if self._membership.open:
                self._membership.close()
                self._storing.close()
            if displaced:
                self._own.displaced(had)

    # -- coming and going -----------------------------------------------------

    def _join(self, group: str) -> None:
        """Waits until the group answers, which may first have to find a member dead."""
        self._membership.join()
        deadline = self._clock.monotonic() + 10 + 2 * self._settings.member_timeout
        while not self._membership.joined and self._clock.monotonic() < deadline:
            self._intake.receive(0.05)
            if None in self._intake.errors:
                raise self._intake.errors.pop(None)
            if not self._clock.passes:
                self._clock.sleep(0)

    def _own_all(self) -> None:
        if self._clock.monotonic() < self._looked + self._settings.poll_interval:
            return
        if self._looked > float("-inf"):
            self._catalog.refresh()
        self._looked = self._clock.monotonic()
        new = [place for topic in self._topics for place in self._places(topic) if place not in self._own.held]
        if not new:
            return
        ends = self._catalog.offsets(new, "latest" if self._start == "latest" else "earliest")
        self._membership.own([self._own.begin(place, Committed(ends[place])) for place in new])
        self._start = "earliest"  # partitions that come later are read whole

    def _start_latest(self) -> None:
        """Only a group that is new to a topic starts at its end: its positions are set before it has a member."""
        for topic in self._topics:
            name = self._catalog.name(topic)
            places = self._places(topic)
            found = self._membership.committed([TopicPartition(name, p) for _, p in places])
            if any(each.offset >= 0 for each in found):
                continue
            ends = self._catalog.offsets(places, "latest")
            self._membership.begin([TopicPartition(name, p, ends[topic, p]) for _, p in places])

    def _put_out(self, named: Sequence[Place], error: Exception) -> Fenced:
        """The group went on without this member, or what became of its transaction is not known: begin anew.

        Everything in hand is dropped. The positions that are read when partitions come back are certain: the brokers
        give none while a transaction of the group is open.
        """
        fenced = self._own.abandon_all(named)
        self._membership.rejoin()
        if isinstance(error, OutcomeUnknown):
            try:
                self._storing.settle()
            except LogUnreachable:
                pass  # the next transaction settles it, or else its time-out
        return fenced

    # -- checks ---------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the reader is closed")

    def _check_group(self, lacks: str) -> None:
        if self._membership.group is None:
            raise LogError(f"a reader without a group {lacks}")

    def _check_held(self, places: Sequence[Place]) -> None:
        for topic, partition in places:
            self._catalog.partition(topic, partition)
        self._own.check_held(places)

    def _check_name(self) -> None:
        if not self._membership.open:
            group = self._membership.group
            raise LogError(f"another reader joined group '{group}' by the name of this one; names must differ")

    # -- positions ------------------------------------------------------------

    def _standing(self) -> list[TopicPartition]:
        """One position as it is. The brokers look at a member's generation only where it brings any."""
        known = [place for place in self._own.held if self._own.known(place)]
        places = (known or list(self._own.held))[:1]
        return [
            last_committed(self._catalog, self._membership, place).at(self._catalog.name(place[0]), place[1])
            for place in places
        ]

    def _store(self, records: list[Record], positions: list[TopicPartition]) -> None:
        if records:
            self._storing.run(records, positions, self._membership.identity)
        else:
            self._move(positions)

    def _move(self, positions: list[TopicPartition]) -> None:
        """The group's positions, once it takes any. Raises ``Fenced`` for what was given to others meanwhile."""
        if not positions:
            return None
        places = [(self._catalog.own(p.topic), p.partition) for p in positions]
        deadline = self._clock.monotonic() + SETTLING_S
        while True:
            try:
                return self._membership.commit(positions)
            except Rebalancing:
                if self._clock.monotonic() > deadline:
                    raise LogUnreachable("the group does not settle who owns what, and takes no positions") from None
                self._intake.receive(TURN_S)
                self._own.check_held(places)

    def _pass_repeats(self) -> None:
        """What is never handed out cannot be committed by the caller, and is no lag."""
        if self._membership.group is None or not (passed := self._own.passed()):
            return
        try:
            self._membership.commit([to.at(self._catalog.name(topic), p) for (topic, p), to in passed.items()])
        except (GenerationRefused, Rebalancing):
            return  # nothing is in hand of these; what is, is told at its own commit
        for place, to in passed.items():
            self._own.set(place, to)

    def _settle_on(self, targets: dict[Place, Committed]) -> None:
        """They become the group's positions."""
        if not targets or self._membership.group is None:
            return
        try:
            self._move([to.at(self._catalog.name(topic), p) for (topic, p), to in targets.items()])
        except GenerationRefused as error:
            raise self._put_out(list(targets), error) from None
        for place, to in targets.items():
            self._own.set(place, to)

    def _named(self, where: Seek) -> list[Place]:
        if where.topic not in self._topics:
            raise NotFound(f"this reader does not read topic '{where.topic}'")
        if where.partition is None:
            self._own.release_lost(where.topic, None)
            return [place for place in self._own.held if place[0] == where.topic]
        place = (where.topic, where.partition)
        self._catalog.partition(*place)
        if where.to not in ("pause", "resume"):
            self._own.release_lost(*place)
            self._own.check_held([place])
        return [place] if place in self._own.held else []

    def _places(self, topic: str) -> list[Place]:
        return [(topic, p) for p in range(self._catalog.topic(topic).partitions)]
