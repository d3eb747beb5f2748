"""Outputs and positions: together, or where the cluster cannot, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from confluent_kafka import Producer, TopicPartition

from ....clock import Clock
from ....errors import LogError, LogRefused, LogUnreachable
from ..cluster.address import Address
from ..cluster.client import translated
from .transactions import DELIVERY_S, TURN_S, Deliveries, Record, Transactions, durable, produce

Commit = Callable[[list[TopicPartition]], None]


class Storing(Protocol):
    def run(
        self, records: Sequence[Record], positions: Sequence[TopicPartition] = (), group: bytes | None = None
    ) -> list[int]: ...
    def settle(self) -> None: ...
    def close(self) -> None: ...


def storing(address: Address, name: str, clock: Clock, commit: Commit | None = None) -> Storing:
    """``commit`` moves the positions of the member's group, and raises ``Refused`` when it has put the member out."""
    return Transactions(address, name, clock) if address.transactional else AtLeastOnce(address, commit)


class AtLeastOnce:
    """In the place of ``Transactions``: all records are acknowledged before a position moves.

    Killed in between, or put out of its group, a stage stores its outputs again; they have the same ids, and readers
    drop them. Used by one thread at a time, but for ``close``.
    """

    def __init__(self, address: Address, commit: Commit | None = None) -> None:
        self._address, self._commit = address, commit
        self._mutex = threading.Lock()
        self._producer: Producer | None = None

    def run(
        self, records: Sequence[Record], positions: Sequence[TopicPartition] = (), group: bytes | None = None
    ) -> list[int]:
        """The records' offsets. Raises ``Refused`` and ``LogUnreachable``: some or all records may be stored then."""
        with self._mutex:
            offsets = self._send(records)
        if positions and self._commit is not None:
            self._commit(list(positions))
        return offsets

    def settle(self) -> None:
        """Nothing is ever left open."""

    def close(self) -> None:
        with self._mutex:
            self._drop()

    def _send(self, records: Sequence[Record]) -> list[int]:
        if self._producer is None:
            # A record that was given up may not be overtaken by those behind it: order per key would be broken.
            settings = {"enable.gapless.guarantee": True, "delivery.timeout.ms": int(DELIVERY_S * 1_000)}
            self._producer = Producer(durable(self._address, **settings))
        deliveries = Deliveries(len(records))
        try:
            produce(self._producer, records, deliveries)
            while not deliveries.complete and deliveries.error is None:
                self._producer.poll(TURN_S)
            if deliveries.error is not None:
                raise translated(deliveries.error, "append", self._address.heard)
        except LogError as error:
            self._drop()
            if isinstance(error, LogRefused) and len(records) > 1:
                raise LogUnreachable(str(error)) from None  # the others may be stored
            raise
        self._address.heard.clear()
        return deliveries.offsets

    def _drop(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
