"""The topics: what is declared of them, kept as records in ``penstock.system``; and their partitions, as Kafka says.

Every process folds the same declarations in the same order, so all agree on which of two that do not fit came first;
no lock is needed. The records stand among the system's events, in the one partition of that topic, and carry a header
by which readers of events leave them out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AdminClient,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from ....batch import SYSTEM, TopicSpec
from ....clock import Clock
from ....errors import LogError, LogRefused, LogUnreachable, NotFound, PartitionsChanged, SchemaChanged
from ...reading.assigned import Place
from ...topic_schema import grown
from ..cluster.address import Address
from ..cluster.client import ANSWER_S, ask, configuration, persistently, translated, until_known
from ..produce.transactions import Record, RecordSender
from ..records.interface import OutgoingRecord
from ..records.positions import MANY_A_RECORD, ONE_A_RECORD, PositionScheme
from .declaration import check_form, check_limits, configured, decoded, encoded, set_on
from .durability import Durability
from .topic_ids import GLANCE_S, TopicIds

RECEIVED = 10_000  # records taken at once
DECLARATION = "penstock-topic"  # the header of a record that declares one
FIRST, ANEW, GONE = b"1", b"anew", b"gone"  # its value: what comes before it counts, or does not, or the topic is gone


Which = Literal["earliest", "latest"] | int


class ClusterCatalog:
    """Safe to use from several threads."""

    def __init__(self, address: Address, admin: AdminClient, appender: RecordSender, clock: Clock) -> None:
        self.identities = TopicIds(admin, clock)
        self._durability = Durability(admin)
        self._address, self._admin, self._appender = address, admin, appender
        self._mutex = threading.RLock()
        self._declared: dict[str, TopicSpec] = {}
        self._partitions: dict[str, int] = {}
        self._consumer: Consumer | None = None
        self._next = 0  # offset in ``penstock.system`` up to which declarations are known

    def name(self, topic: str) -> str:
        """A topic's name on the cluster."""
        return self._address.namespace + topic

    def own(self, name: str) -> str:
        return name.removeprefix(self._address.namespace)

    def topic(self, name: str) -> TopicSpec:
        """As it is declared now, with as many partitions as Kafka has. Raises ``NotFound``."""
        with self._mutex:
            if name not in self._declared:
                self.refresh()
            if name not in self._declared:
                raise NotFound(f"there is no topic '{name}'")
            return self._declared[name]

    def is_declared(self, topic: str) -> bool:
        """As far as was known at the last ``refresh``."""
        return topic in self._declared

    def numbering(self, topic: str) -> PositionScheme:
        return MANY_A_RECORD if self.topic(topic).encoding == "arrow" else ONE_A_RECORD

    def partition(self, topic: str, partition: int) -> None:
        """Raises ``NotFound`` when there is no such partition, as far as Kafka knows now; ``LogRefused`` when the topic
        was found to be gone, and is not back."""
        if self.is_gone(topic):
            self.check_there([topic])
        if not 0 <= partition < self.topic(topic).partitions:
            self.refresh()
        count = self.topic(topic).partitions
        if not 0 <= partition < count:
            raise NotFound(f"topic '{topic}' has partitions 0 to {count - 1}, not {partition}")

    def is_gone(self, topic: str) -> bool:
        """Was it deleted, as far as was known at the last look?"""
        return topic in self._declared and self.name(topic) not in self._partitions

    def check_there(self, topics: Iterable[str]) -> None:
        """Looks. Raises ``LogRefused`` for a deleted topic, which else looks like brokers that do not answer.

        Where they do not answer this either, what was known stands.
        """
        with self._mutex:
            with suppress(LogError):
                self._partitions = self._count_partitions(GLANCE_S)
            for topic in filter(self.is_gone, topics):
                raise LogRefused(f"topic '{topic}' is not on the brokers any more: the next start makes it anew, empty")

    def topics(self) -> Sequence[TopicSpec]:
        with self._mutex:
            self.refresh()
            return list(self._declared.values())

    def refresh(self) -> None:
        """Take in what was declared since the last time, by whichever process."""
        with self._mutex:
            self._partitions = self._count_partitions()
            if self.name(SYSTEM) in self._partitions:
                self._fold()
            for name, spec in self._declared.items():
                count = self._partitions.get(self.name(name), 0)
                if count and count != spec.partitions:
                    self._declared[name] = replace(spec, partitions=count)

    def create(self, topic: TopicSpec, *, grow: bool) -> None:
        check_limits(topic, self.name(topic.name), self._address.limits)
        with self._mutex:
            self.refresh()
            if self.name(SYSTEM) not in self._partitions:
                self._make(TopicSpec(SYSTEM, partitions=1))
                self.refresh()
            known = self._declared.get(topic.name)
            there = self._partitions.get(self.name(topic.name))
            if known is not None:
                topic = grown(known, topic, grow=grow)
                if known.encoding != topic.encoding:
                    raise SchemaChanged(
                        f"topic '{topic.name}' has records of {known.encoding}, not of {topic.encoding}, "
                        "and their positions are counted in another way: use a new topic"
                    )
            elif there is not None and there != topic.partitions and not (grow and topic.partitions > there):
                raise PartitionsChanged(
                    f"topic '{topic.name}' is there already, with {there} partitions, not {topic.partitions}"
                )
            check_form(topic)
            if there is None:
                self._make(topic)
            else:
                self._adjust(topic, there, known)
                self._see_to_copies(topic, made=False)
            if known is None or encoded(known) != encoded(topic):
                self._declare(topic)

    def reset(self, topic: TopicSpec) -> None:
        """See ``Alter``. The records go and the offsets go on, so no position is used twice."""
        check_limits(topic, self.name(topic.name), self._address.limits)
        check_form(topic)
        with self._mutex:
            self.refresh()
            known = self.topic(topic.name)
            if topic.partitions < known.partitions or topic.encoding != known.encoding:
                raise PartitionsChanged(
                    f"topic '{topic.name}' keeps its {known.partitions} partitions and its records of {known.encoding}"
                )
            ends = [TopicPartition(self.name(topic.name), p, OFFSET_END) for p in range(known.partitions)]
            ask(f"remove the events of topic '{topic.name}'", lambda: self._admin.delete_records(ends))
            self._adjust(topic, known.partitions, known)
            self._say(topic, ANEW)

    def delete(self, name: str) -> None:
        """See ``Alter``."""
        with self._mutex:
            self.refresh()
            known = self.topic(name)
            if not self.is_gone(name):
                ask(f"delete topic '{name}'", lambda: self._admin.delete_topics([self.name(name)]))
            self._say(known, GONE)

    def offsets(
        self, places: Iterable[Place], which: Which, isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED
    ) -> dict[Place, int]:
        """Of each partition. ``latest``: one past the last record, also of a transaction that has not ended, unless
        only committed ones are asked for. A number: the first record as late as that, in milliseconds; -1: none is."""
        names = {TopicPartition(self.name(topic), p): (topic, p) for topic, p in places}
        wanted = dict.fromkeys(names, _spec(which))
        if not wanted:
            return {}

        def attempt(within: float) -> dict[TopicPartition, Any]:
            return ask(
                "ask for offsets",
                lambda: self._admin.list_offsets(wanted, isolation_level=isolation, request_timeout=within),
            )

        try:
            found = persistently(self._admin, attempt)
        except LogError:
            self.check_there({topic for topic, _ in names.values()})
            raise
        return {names[name]: int(answer.offset) for name, answer in found.items()}

    def end(self, topic: str, partition: int) -> int:
        return self.offsets([(topic, partition)], "latest")[topic, partition]

    def close(self) -> None:
        with self._mutex:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    # -- Kafka's side ---------------------------------------------------------

    def _count_partitions(self, within: float = ANSWER_S) -> dict[str, int]:
        try:
            found = self._admin.list_topics(timeout=within).topics
        except KafkaException as error:
            raise translated(error, "ask for the topics") from None
        prefix = self._address.namespace
        return {name: len(topic.partitions) for name, topic in found.items() if name.startswith(prefix)}

    def _make(self, topic: TopicSpec) -> None:
        new = NewTopic(
            self.name(topic.name), topic.partitions, self._address.replication, config=self._configured(topic)
        )
        try:
            for future in self._admin.create_topics([new]).values():
                future.result(ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was first
                raise translated(error, f"create topic '{topic.name}'") from None
        self._await(topic)
        self._see_to_copies(topic, made=True)

    def _adjust(self, topic: TopicSpec, there: int, known: TopicSpec | None) -> None:
        name = self.name(topic.name)
        if topic.partitions > there:
            more = [NewPartitions(name, topic.partitions)]
            ask(f"grow topic '{topic.name}'", lambda: self._admin.create_partitions(more))
            self._await(topic)
        if known is not None and self._configured(known) != self._configured(topic):
            set_on(self._admin, name, self._configured(topic), f"set the retention of topic '{topic.name}'")

    def _see_to_copies(self, topic: TopicSpec, *, made: bool) -> None:
        if self._address.limits.topic_settings:
            self._durability.see_to(self.name(topic.name), made=made)

    def _configured(self, topic: TopicSpec) -> dict[str, str]:
        return configured(topic) if self._address.limits.topic_settings else {}

    def _await(self, topic: TopicSpec) -> None:
        """Until its partitions have leaders."""
        wanted = {TopicPartition(self.name(topic.name), p): _spec("earliest") for p in range(topic.partitions)}

        def leaders() -> None:
            self._admin.list_topics(self.name(topic.name), timeout=ANSWER_S)  # what the client knows may be older
            ask(f"wait for topic '{topic.name}'", lambda: self._admin.list_offsets(wanted))

        until_known(leaders, (LogError, KafkaException))

    # -- declarations ---------------------------------------------------------

    def _declare(self, topic: TopicSpec) -> None:
        self._say(topic, FIRST)
        first = self._declared[topic.name]  # another process may have been quicker: then this one has to fit its own
        grown(first, replace(topic, partitions=max(topic.partitions, first.partitions)), grow=True)

    def _say(self, topic: TopicSpec, kind: bytes) -> None:
        record = OutgoingRecord(encoded(topic), 1, [(DECLARATION, kind)], topic.name.encode())
        self._appender.send(Record(self.name(SYSTEM), 0, record))
        self.refresh()

    def _fold(self) -> None:
        end = self.end(SYSTEM, 0)
        if self._next >= end:
            return
        if self._consumer is None:
            settings = {
                "group.id": self._address.groupless,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",  # declarations stand alone, outside of any transaction
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
            self._consumer = Consumer(configuration(self._address, **settings))
            self._consumer.assign([TopicPartition(self.name(SYSTEM), 0, OFFSET_BEGINNING)])
        while self._next < end:
            first = self._consumer.poll(ANSWER_S)
            if first is None:
                raise LogUnreachable("the declarations of the topics could not be read: the brokers do not answer")
            for message in [first, *self._consumer.consume(RECEIVED, 0)]:
                self._take(message)

    def _take(self, message: Any) -> None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise translated(error, "read the declarations of the topics")
        self._next = message.offset() + (error is None)
        kind = dict(message.headers() or ()).get(DECLARATION) if error is None else None
        if kind is not None:
            self._apply(decoded(message.value()), kind)

    def _apply(self, topic: TopicSpec, kind: bytes) -> None:
        if kind == GONE:
            self._declared.pop(topic.name, None)
            return
        known = None if kind == ANEW else self._declared.get(topic.name)
        try:
            self._declared[topic.name] = topic if known is None else grown(known, topic, grow=True)
        except (SchemaChanged, PartitionsChanged):
            pass  # its process was told so when it looked for its own declaration


def _spec(which: Which) -> Any:
    spec: Any = OffsetSpec
    if which == "earliest":
        return spec.earliest()
    return spec.latest() if which == "latest" else spec.for_timestamp(which)
