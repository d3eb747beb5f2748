"""What a reader owns: partitions, where each goes on, what has been received of them, and the group's positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from confluent_kafka import TopicPartition

from ....batch import Batch
from ....errors import Fenced
from ...interface import Advance, OwnedPartition
from ...reading.assigned import Holding, Holdings, Place
from ...reading.fair_share import share
from ...reading.seeking import check_advance
from ..topics.catalog import ClusterCatalog
from .buffer import PartitionBuffer
from .consumer import Committed, beginning
from .deduplication import Deduplication, records_before


class Assignment:
    """Kept up by the membership's callbacks. Used by one thread at a time."""

    def __init__(self, catalog: ClusterCatalog, *, repeats: bool) -> None:
        """``repeats``: whether rows may be stored twice, and only the first is to be handed out."""
        self._catalog, self._repeats = catalog, repeats
        self._own = Holdings()
        self._through: dict[Place, int] = {}  # the group's positions, as far as known here
        self._given: dict[Place, int] = {}  # where it has none: the first that this member was given of it
        self._topics: dict[Place, str] = {}  # the id of the topic that each is a partition of
        self._epochs = count(1)  # one each time that a partition is gained
        self.lanes: dict[Place, PartitionBuffer] = {}

    @property
    def held(self) -> dict[Place, Holding]:
        return self._own.held

    @property
    def rows(self) -> int:
        """Received and not handed out."""
        return sum(lane.rows for lane in self.lanes.values())

    # -- gaining and losing ---------------------------------------------------

    def gained(self, found: list[tuple[str, int, Committed | None]]) -> list[TopicPartition]:
        begin = []
        topics = self._catalog.identities.of({name for name, _, _ in found}, 0.0)
        for name, partition, committed in found:
            place = (self._catalog.own(name), partition)
            if name in topics:
                self._topics[place] = topics[name]
            if committed is None:
                self.begin(place, Committed(0))
                begin.append(beginning(name, partition))
            else:
                self.set(place, committed)
                begin.append(self.begin(place, committed))
        return begin

    def begin(self, place: Place, where: Committed) -> TopicPartition:
        numbering, known = self._catalog.numbering(place[0]), self.held.get(place)
        epoch = next(self._epochs) if known is None else known.epoch
        self.held[place] = Holding(place, epoch, numbering.position(where.offset, where.row))
        self.lanes[place] = PartitionBuffer(place, numbering, where.offset, (where.offset, where.row))
        return TopicPartition(self._catalog.name(place[0]), place[1], self._first(place, where.offset))

    def made_anew(self, age: float) -> list[Place]:
        """What is still read as of a topic that, as of ``age`` seconds ago, had been deleted and made again."""
        names = {topic: self._catalog.name(topic) for topic, _ in self.held}
        topics = self._catalog.identities.of(names.values(), age)
        known = [(place, topics[names[place[0]]]) for place in self.held if names[place[0]] in topics]
        return [place for place, topic in known if self._topics.setdefault(place, topic) != topic]

    def begin_anew(self, place: Place) -> TopicPartition:
        """From the first event. What the caller has in hand is of the topic that is gone: its commit is refused."""
        self._drop(place)
        return self.begin(place, Committed(0))

    def dropped(self, lost: list[tuple[str, int]]) -> None:
        for name, partition in lost:
            self._drop((self._catalog.own(name), partition))

    def abandon_all(self, named: Sequence[Place]) -> Fenced:
        """Everything is lost at once: ``named``, and all else of which the caller has rows in hand."""
        for place in list(self.held):
            self._drop(place)
        return Fenced(list(dict.fromkeys([*named, *self._own.abandon()])))

    def displaced(self, places: Sequence[Place]) -> None:
        """Another goes by this member's name: it has nothing any more, and is told so at its next commit."""
        self._own.abandon()
        self._own.lost.update(places)

    def release_lost(self, topic: str, partition: int | None) -> None:
        """The caller gives up what it has in hand, so what was lost may be read again."""
        self._own.lost = {p for p in self._own.lost if p[0] != topic or partition not in (None, p[1])}

    def _first(self, place: Place, offset: int) -> int:
        """From where to read; where rows may be stored twice, what was stored before has to be known."""
        if not self._repeats:
            return offset
        lane = self.lanes[place]
        lane.repeats = Deduplication()
        earliest = self._catalog.offsets([place], "earliest")[place] if offset else 0
        return max(offset - records_before(lane.numbering), min(earliest, offset))

    def _drop(self, place: Place) -> None:
        self._own.drop(place)
        self.lanes.pop(place, None)
        self._through.pop(place, None)
        self._given.pop(place, None)
        self._topics.pop(place, None)

    # -- the group's positions ------------------------------------------------

    def owned(self, topic: str) -> dict[int, OwnedPartition]:
        return self._own.owned(topic)

    def answered_for(self, done: Sequence[Advance]) -> list[Place]:
        return self._own.answered_for(done)

    def check_held(self, places: Sequence[Place]) -> None:
        """Raises ``Fenced``.

        The brokers look at the member's generation only: a member that has let a partition go in the rebalance that
        gave it this generation could still move that partition's position.
        """
        if lost := self._own.refuse(places):
            raise Fenced(lost)

    def check_advances(self, done: Sequence[Advance]) -> None:
        for advance in done:
            place = (advance.topic, advance.partition)
            known = max(self.held[place].cursor, self._through.get(place, -1) + 1)
            if advance.through >= known:  # beyond what was handed out: legal as far as the partition goes
                known = self._catalog.numbering(place[0]).position(self._catalog.end(*place))
            check_advance(advance, self._through.get(place), known)

    def position(self, advance: Advance) -> TopicPartition:
        """What Kafka keeps of it."""
        offset, row = self.lanes[advance.topic, advance.partition].committed(advance.through)
        return Committed(offset, row).at(self._catalog.name(advance.topic), advance.partition)

    def advanced(self, advance: Advance) -> None:
        place = (advance.topic, advance.partition)
        self._through[place] = advance.through
        self.held[place].committed(advance.through)

    def passed(self) -> dict[Place, Committed]:
        """Where repeats lie behind the group's position, and nothing else before the offset that is told."""
        if not self._repeats:
            return {}
        found = {place: Committed(lane.passed) for place, lane in self.lanes.items() if lane.passed and not lane.rows}
        return {
            place: to
            for place, to in found.items()
            if self.held[place].returned < 0 and self._position(place, to) > self._through.get(place, -1)
        }

    def known(self, place: Place) -> bool:
        """Whether the group has a position there."""
        return place in self._through

    def missed(self, place: Place, to: Committed) -> int | None:
        """From where on events went before the group dealt with any: it has no position, and begins again at ``to``."""
        first = self._given.get(place)
        if self.known(place) or first is None or first > self._position(place, to):
            return None
        self._given[place] = self._position(place, to) + 1
        return first

    def set(self, place: Place, to: Committed) -> None:
        self._through[place] = self._position(place, to)

    def _position(self, place: Place, to: Committed) -> int:
        """The last one that is dealt with."""
        return self._catalog.numbering(place[0]).position(to.offset, to.row) - 1

    # -- handing out ----------------------------------------------------------

    def open_lanes(self) -> Iterator[PartitionBuffer]:
        """Those that may be read, in the order of their turns."""
        for place, lane in self.lanes.items():
            if self.held[place].readable and place not in self._own.lost:
                yield lane

    @property
    def ready(self) -> list[PartitionBuffer]:
        return [lane for lane in self.open_lanes() if lane.rows]

    def hand_out(self, max_events: int) -> list[Batch]:
        shares = share({lane.place: lane.rows for lane in self.ready}, max_events)
        return [self._take(place, count) for place, count in shares.items()]

    def _take(self, place: Place, count: int) -> Batch:
        lane = self.lanes[place] = self.lanes.pop(place)  # its next turn is after all others
        batch = lane.take(self._catalog.topic(place[0]), count)
        holding = self.held[place]
        holding.cursor = batch.through + 1
        holding.returned = batch.through
        if not self.known(place):
            self._given.setdefault(place, min([*batch.positions[:1].tolist(), *(r.position for r in batch.rejected)]))
        return batch
