"""The log on Kafka, for one app on many machines."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...batch import AppendResult, TopicSpec, Write
from ...clock import Clock, SystemClock
from ...errors import LogError, LogUnreachable
from ...settings import Settings
from ...telemetry import logger
from ..broker_limits import APPENDING
from ..interface import GroupState, PartitionState, Start
from ..topic_schema import check_spec
from .cluster.address import Address
from .cluster.client import admin
from .cluster.connect import reach
from .consume.reader import KafkaReader, ReaderContext
from .encodings import Encodings
from .inspect.states import States
from .produce.at_least_once import storing
from .produce.transactions import OutcomeUnknown, Record, RecordSender
from .topics.catalog import ClusterCatalog

log = logger(__name__)


class KafkaLog:
    """Implements ``Log``, ``LogInspection``, ``Offsets`` and ``Alter``. Safe for several threads.

    Another process opens its own.

    What is appended as one record is sent by itself; anything more is a transaction, so all of it is stored or none.
    A cluster without transactions stores each record by itself, and some may be stored when an append fails.
    Raises ``LogUnreachable`` when the brokers do not answer, here and in every call; ``AccessRefused`` is a kind of it.
    """

    def __init__(
        self,
        address: Address,
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
        slot: str | None = None,
    ) -> None:
        """``slot``: the name of the process that this one replaces, and of none that lives (see ``transactions``)."""
        self._clock: Clock = clock or SystemClock()
        self._settings = settings or Settings()
        reach(address, self._clock)
        if not address.transactional:
            log.warning("no transactions here: outputs are stored at least once, readers drop repeats (docs/kafka.md)")
        self._admin = admin(address)
        self._appender = RecordSender(address)
        self.catalog = ClusterCatalog(address, self._admin, self._appender, self._clock)
        self._shared = ReaderContext(address, self._settings, self._clock, self.catalog)
        self._states = States(address, self._admin, self.catalog, self._clock)
        self._slot = slot
        self._serial = slot or secrets.token_hex(8)  # two handles never have the same transactions
        self._storing = storing(address, f"{address.namespace}{APPENDING}{self._serial}", self._clock)
        if slot is not None:
            self._storing.settle()
        self._encodings = Encodings(address.limits.record)
        self._mutex = threading.RLock()
        self._readers: dict[tuple[str, str], KafkaReader] = {}
        self._alone: list[KafkaReader] = []
        self._count = 0
        self._closed = False

    # -- Log ------------------------------------------------------------------

    def create(self, topic: TopicSpec, *, grow: bool = False) -> None:
        self._check_open()
        check_spec(topic)
        self.catalog.create(topic, grow=grow)

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        self._check_open()
        with self._mutex:
            records = self._encodings.encode(self.catalog, writes)
        sent = [record for each in records for record in each]
        try:
            offsets = iter(self._send(sent))
        except LogUnreachable:
            self.catalog.check_there({write.topic for write in writes})
            raise
        return [
            self._span(write, each, [next(offsets) for _ in each]) for write, each in zip(writes, records, strict=True)
        ]

    def reader(
        self, group: str | None, topics: Sequence[str], member: str, *, start: Start = "earliest"
    ) -> KafkaReader:
        with self._mutex:
            self._check_open()
            self._count += 1
            serial = f"{member}/{self._serial}" + ("" if self._slot else f"-{self._count}")
            if group is not None and (earlier := self._readers.pop((group, member), None)) is not None:
                earlier.displace()
        reader = KafkaReader(self._shared, group, topics, member, serial, start, heir=self._slot is not None)
        with self._mutex:
            if group is None:
                self._alone = [r for r in self._alone if not r.closed] + [reader]
            else:
                self._readers[group, member] = reader
        return reader

    def close(self) -> None:
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            readers = [*self._readers.values(), *self._alone]
        for reader in readers:
            reader.close()
        self._storing.close()
        self._appender.close()
        self._states.close()
        self.catalog.close()

    # -- Inspect --------------------------------------------------------------

    def topics(self) -> Sequence[TopicSpec]:
        self._check_open()
        return self.catalog.topics()

    def partitions(self, topic: str) -> Sequence[PartitionState]:
        self._check_open()
        return self._states.partitions(topic)

    def groups(self) -> Sequence[GroupState]:
        self._check_open()
        return self._states.groups()

    def ends(self, topic: str) -> Mapping[int, int]:
        self._check_open()
        return self._states.ends(topic)

    def positions(self, groups: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str, int], int]:
        self._check_open()
        return self._states.positions(groups)

    # -- Alter ----------------------------------------------------------------

    def reset(self, topic: TopicSpec) -> None:
        self._check_open()
        check_spec(topic)
        self.catalog.reset(topic)

    def delete(self, topic: str) -> None:
        self._check_open()
        self.catalog.delete(topic)

    # -- appending ------------------------------------------------------------

    def _send(self, records: list[Record]) -> list[int]:
        if len(records) == 1:
            return [self._appender.send(records[0])]
        if not records:
            return []
        try:
            return self._storing.run(records)
        except OutcomeUnknown as error:
            self._storing.settle()
            raise LogUnreachable(f"append: the brokers went away in the middle of it: {error}") from None

    def _span(self, write: Write, records: list[Record], offsets: list[int]) -> AppendResult:
        numbering = self.catalog.numbering(write.topic)
        if not records:
            end = numbering.position(self.catalog.end(write.topic, write.partition))
            return AppendResult(write.topic, write.partition, end, end - 1, 0)
        parts = [
            numbering.positions(offset, 0, record.out.rows) for offset, record in zip(offsets, records, strict=True)
        ]
        positions = np.concatenate(parts)
        first, last, count = int(positions[0]), int(positions[-1]), len(positions)
        sparse = None if last - first + 1 == count else positions
        return AppendResult(write.topic, write.partition, first, last, count, sparse)

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the log is closed")
