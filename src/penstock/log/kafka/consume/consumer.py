"""One consumer: as a member of a group, or on its own over every partition."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from ....clock import Clock
from ....errors import LogError, LogUnreachable
from ....settings import Settings
from ....telemetry import logger
from ..cluster.address import Address
from ..cluster.client import ANSWER_S, configuration, translated
from ..produce.transactions import GROUP_REFUSED, GenerationRefused
from ..records.positions import ROWS

log = logger(__name__)

RECEIVED = 8_192  # records taken at once, which bounds a pass of a stage; what librdkafka holds is bounded in bytes
HELD_KIB = 16_384  # that one consumer may have received and not yet been asked for
EMPTY_MS = 500  # milliseconds after which a broker that has nothing more to send says so
EMPTY_ALONE_MS = 100  # to a reader without a group, which often wants to know just that: a look at a topic waits for it
PATIENCE_MS = (
    24 * 3_600 * 1_000
)  # milliseconds between two looks: a call may take long, and the runner has its own limits
GLANCE_S = 1.0  # seconds to ask for the positions of what was given, while other partitions have work
UNSETTLED_S = 25.0  # seconds that they may be away: a dead process's transaction lasts up to 20 (see ``transactions``)
ASSIGNMENT = "cooperative-sticky"
_GENERATION = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class Committed:
    """A group's position in one partition as Kafka keeps it: the record to go on with, and its rows already done."""

    offset: int
    row: int = 0

    @classmethod
    def of(cls, found: TopicPartition) -> Committed | None:
        if found.offset < 0:
            return None
        key, _, value = (found.metadata or "").partition("=")
        readable = key == "row" and value.isdecimal() and len(value) <= len(str(ROWS))
        row = int(value) if readable else 0
        return cls(found.offset, row if row < ROWS else 0)  # another client may write there what it likes

    def at(self, topic: str, partition: int) -> TopicPartition:
        return TopicPartition(topic, partition, self.offset, f"row={self.row}" if self.row else "")


Gained = Callable[[list[tuple[str, int, Committed | None]]], list[TopicPartition]]
Lost = Callable[[list[tuple[str, int]]], None]


class Rebalancing(Exception):
    """The group takes no positions until its members have what they are to own; that takes their polling."""


class GroupConsumer:
    """``gained`` answers where to begin in partitions that this member now owns, inside ``assign_pending``; ``lost``
    hears of those it no longer does, inside ``receive``. Names of topics and of the group are the cluster's.
    """

    def __init__(
        self,
        address: Address,
        settings: Settings,
        clock: Clock,
        group: str | None,
        topics: Sequence[str],
        member: str,
        gained: Gained,
        lost: Lost,
    ) -> None:
        self._clock, self._settings = clock, settings
        self._topics = list(topics)
        self._gained, self._lost = gained, lost
        self._assigned = False
        self._offered: list[TopicPartition] = []  # assigned by the group, and not begun
        self._asked = math.inf  # when their positions were asked for first; infinite: not yet
        self.group, self.open = group, True
        self._configuration = configuration(address, **_settings(address, settings, group, member))
        self._consumer = Consumer(self._configuration)

    # -- coming and going -----------------------------------------------------

    def join(self) -> None:
        """Ask for a share of the partitions, and wait until the group has answered; it may be none."""
        self._assigned = False
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    @property
    def joined(self) -> bool:
        return self._assigned

    def own(self, places: list[TopicPartition]) -> None:
        """Read these as well, outside of any group."""
        self._consumer.incremental_assign(places)

    def rejoin(self) -> None:
        """Give up everything, and come back as a new member: positions are read anew.

        With a consumer of its own: one that unsubscribed and subscribed while the group was just rebalancing was given
        partitions that it then never fetched from.
        """
        self._consumer.close()
        self._offered.clear()
        self._consumer = Consumer(self._configuration)
        self.join()

    def close(self) -> None:
        """Leave at once, so that others need not wait for a timeout."""
        self.open = False
        self._consumer.close()

    # -- records --------------------------------------------------------------

    def receive(self, timeout: float, limit: int) -> list[Message]:
        """What has arrived; waits up to ``timeout`` seconds for the first record, and for no other."""
        first = self._consumer.poll(timeout)
        return [] if first is None else [first, *self._consumer.consume(limit - 1, 0)] if limit > 1 else [first]

    def assign_pending(self, at_once: bool) -> None:
        """Begin with what the group has given this member.

        Not where librdkafka tells of it: when the brokers do not answer there, it begins by itself, at the offset alone
        and with nobody to take the records. Here it is tried again: unless ``at_once``, what a dead member's
        transaction still holds is left to the next call, so that it holds up nothing else.
        """
        if not self._offered:
            self._asked = math.inf
            return
        self._asked = min(self._asked, self._clock.monotonic())
        patient = not at_once and self._clock.monotonic() < self._asked + UNSETTLED_S
        try:
            found = self.committed(self._offered, GLANCE_S if patient else ANSWER_S)
        except LogUnreachable:
            if patient:
                return
            raise
        begin = self._gained([(p.topic, p.partition, Committed.of(p)) for p in found])
        self._offered.clear()
        self._asked = math.inf
        self._consumer.incremental_assign(begin)

    def move(self, place: TopicPartition) -> None:
        """Go on there; what had been received of the partition is dropped."""
        bare = [TopicPartition(place.topic, place.partition)]
        self._consumer.incremental_unassign(bare)
        self._consumer.incremental_assign([place])

    def pause(self, places: list[TopicPartition]) -> None:
        self._consumer.pause(places)

    def resume(self, places: list[TopicPartition]) -> None:
        self._consumer.resume(places)

    # -- positions ------------------------------------------------------------

    @property
    def identity(self) -> bytes:
        """What fences a transaction of this member. Raises ``GenerationRefused`` when the group has put it out.

        Without a generation the broker would not look at who commits (KIP-447), and take a zombie's positions.
        """
        found: bytes = self._consumer.consumer_group_metadata()
        if _GENERATION.unpack_from(found, len(b"CGMDv2:"))[0] < 0:
            raise GenerationRefused
        return found

    def committed(self, places: list[TopicPartition], within: float = ANSWER_S) -> list[TopicPartition]:
        """Waits for transactions of the group that are just ending."""
        try:
            found = self._consumer.committed(places, within)
        except KafkaException as error:
            raise translated(error, f"ask for the positions of group '{self.group}'") from None
        for each in found:
            if each.error is not None:
                raise translated(each.error, f"ask for the positions of group '{self.group}'")
        return found

    def commit(self, positions: list[TopicPartition]) -> None:
        """Without outputs. Raises ``GenerationRefused``, and ``Rebalancing`` while the group settles who owns what."""
        _ = self.identity
        try:
            self._consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() in GROUP_REFUSED:
                raise GenerationRefused from None
            if error.args[0].code() == KafkaError.REBALANCE_IN_PROGRESS:
                raise Rebalancing from None
            raise translated(error, f"commit positions of group '{self.group}'") from None

    def begin(self, positions: list[TopicPartition]) -> None:
        """Set the positions of a group that has no member, before joining it."""
        try:
            self._consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in GROUP_REFUSED:  # it has one by now, who has set them
                raise translated(error, f"commit positions of group '{self.group}'") from None

    # -- the group's side -----------------------------------------------------

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._assigned = True
        if self.open:  # else it is leaving: what it is offered meanwhile is not taken
            self._offered += places
        consumer.incremental_assign([])

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._lost([(p.topic, p.partition) for p in places])
        begun = [p for p in places if p not in self._offered]
        self._offered = [p for p in self._offered if p not in places]
        consumer.incremental_unassign(begun)


def is_end(error: KafkaError) -> bool:
    return bool(error.code() == KafkaError._PARTITION_EOF)


def refusal(error: KafkaError, group: str) -> LogError:
    """Why the group does not take this member."""
    if error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
        return LogError(
            f"group '{group}' is in use by other clients, which share partitions in another way than "
            f"'{ASSIGNMENT}': end them, or give the stage another name"
        )
    return translated(error, f"be a member of group '{group}'")


def beginning(topic: str, partition: int) -> TopicPartition:
    return TopicPartition(topic, partition, OFFSET_BEGINNING)


def _settings(address: Address, settings: Settings, group: str | None, member: str) -> dict[str, Any]:
    session = int(max(settings.member_timeout, address.limits.session) * 1_000)
    return {
        "group.id": group or address.groupless,
        "client.id": member,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # a position that is gone is told, never replaced in silence
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "partition.assignment.strategy": ASSIGNMENT,
        "session.timeout.ms": session,
        "heartbeat.interval.ms": max(session // 6, 50),
        "max.poll.interval.ms": PATIENCE_MS,
        "topic.metadata.refresh.interval.ms": int(settings.poll_interval * 1_000),
        "queued.max.messages.kbytes": HELD_KIB,
        "fetch.wait.max.ms": min(int(settings.poll_interval * 1_000), EMPTY_MS if group else EMPTY_ALONE_MS),
    }
