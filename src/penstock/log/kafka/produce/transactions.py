"""Writing: records that stand alone, and transactions.

The transaction of a killed process holds all ``read_committed`` readers back until it is ended: by the broker when its
time is up (``TRANSACTION_S``, and up to 10 s more until the broker looks, which is the broker's setting), or at once by
the next producer of its name. A name must never be two living processes': each would end the other's transactions for
ever. Members are called worker-1 to N on every host, so their names alone do not do, and a host's name does not either:
containers share it, and a new one has another. So a name ends in a *slot*, which a supervisor makes for each process
that it keeps alive: random once a run, and handed on to the process that replaces a killed one. What dies with its
supervisor is left to the time-out. That is not made shorter: a broker that fails over takes up to 9 s to be replaced,
and every transaction under way would be given up and done again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from ....clock import Clock
from ....errors import LogError, LogRefused
from ..cluster.address import Address
from ..cluster.client import code_of, configuration, translated
from ..cluster.event_hubs import BATCH_LIMIT_BYTES
from ..records.interface import OutgoingRecord

DELIVERY_S = 20.0  # seconds within which a record must be acknowledged
TRANSACTION_S = 10.0  # seconds after which the broker ends a transaction whose process was killed
GRACE_S = 2.0  # seconds beyond its own limit after which a call is taken for stuck
TURN_S = 0.1  # seconds of one wait
# After a transaction the coordinator is busy for a millisecond with ending it, and refuses the next one for so long.
# librdkafka would ask again after 100 ms, which is then what every transaction takes; so it asks after 1 ms.
LINGER_MS = 5  # milliseconds for records to gather: none is ever waited for, since the commit sends what there is
RETRY = {"retry.backoff.ms": 1, "retry.backoff.max.ms": 10}
NO_TRANSACTIONS = {
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,
}
GROUP_REFUSED = {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID}


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record on its way to one partition. ``topic``: its name on the cluster."""

    topic: str
    partition: int
    out: OutgoingRecord


class GenerationRefused(Exception):
    """The group has another generation by now: nothing was stored."""


class OutcomeUnknown(Exception):
    """Whether the transaction was stored is not known before another producer of its name has been started."""


class Deliveries:
    """The offsets of records sent, in their order, as the broker acknowledges them."""

    def __init__(self, count: int) -> None:
        self.offsets = [-1] * count
        self.error: KafkaError | None = None
        self._left = count

    def expect(self, place: int) -> Callable[[KafkaError | None, Any], None]:
        def delivered(error: KafkaError | None, message: Any) -> None:
            self._left -= 1
            if error is not None:
                self.error = self.error or error
            else:
                self.offsets[place] = message.offset()

        return delivered

    @property
    def complete(self) -> bool:
        return not self._left


class RecordSender:
    """Sends single records, each acknowledged by every replica in sync. Safe to use from several threads."""

    def __init__(self, address: Address) -> None:
        self._heard = address.heard
        self._producer = Producer(durable(address, **{"delivery.timeout.ms": int(DELIVERY_S * 1_000)}))

    def send(self, record: Record) -> int:
        """Its offset. Raises ``LogUnreachable`` when no acknowledgement came: it may be stored or not."""
        delivery = Deliveries(1)
        produce(self._producer, [record], delivery)
        while not delivery.complete:
            self._producer.poll(TURN_S)
        if delivery.error is not None:
            raise translated(delivery.error, f"append to '{record.topic}'", self._heard)
        self._heard.clear()
        return delivery.offsets[0]

    def close(self) -> None:
        self._producer.purge()
        self._producer.flush(TURN_S)


class Transactions:
    """One transactional producer. ``name`` is no other's: a second producer of that name fences the first.

    Used by one thread at a time, but for ``close``.
    """

    def __init__(self, address: Address, name: str, clock: Clock) -> None:
        self._address, self._name, self._clock = address, name, clock
        self._mutex = threading.Lock()
        self._producer: Producer | None = None

    def run(
        self, records: Sequence[Record], positions: Sequence[TopicPartition] = (), group: bytes | None = None
    ) -> list[int]:
        """Store the records and the group's positions, all or nothing. Without positions, the records' offsets.

        A stage, which has positions, asks for no offsets: to be told of each record costs as much as sending it.
        ``group``: what ``Consumer.consumer_group_metadata`` said of the member. Raises ``GenerationRefused``;
        ``OutcomeUnknown``; and ``LogUnreachable``, ``LogRefused`` or another ``LogError``, after which nothing was
        stored.
        """
        with self._mutex:
            producer = self._started()
            deliveries = Deliveries(0 if positions else len(records))
            try:
                producer.begin_transaction()
                produce(producer, records, None if positions else deliveries)
                if positions:
                    self._insist(lambda: self._send_positions(producer, positions, group))
            except (KafkaException, LogError) as error:
                self._undo(producer, error, records)
            try:
                self._insist(lambda: producer.commit_transaction(TRANSACTION_S))
            except KafkaException as error:
                self._undo(producer, error, records)
            while not deliveries.complete:
                producer.poll(TURN_S)
            self._address.heard.clear()
            return deliveries.offsets

    def settle(self) -> None:
        """After ``OutcomeUnknown``: end the transaction that may be open; positions read afterwards are certain."""
        with self._mutex:
            self._started()

    def close(self) -> None:
        with self._mutex:
            self._drop()

    def _started(self) -> Producer:
        if self._producer is None:
            settings = {
                "transactional.id": self._name,
                "transaction.timeout.ms": int(TRANSACTION_S * 1_000),
                "delivery.timeout.ms": int(TRANSACTION_S * 1_000),
                "linger.ms": LINGER_MS,
                **RETRY,
            }
            producer = Producer(durable(self._address, **settings))
            try:
                self._insist(lambda: producer.init_transactions(TRANSACTION_S))
            except KafkaException as error:
                if code_of(error) in NO_TRANSACTIONS:
                    raise LogRefused(
                        f"the cluster refuses transactions ({error.args[0].str()}): let this user write and describe "
                        f"transactional ids that begin with '{self._address.namespace}', or put transactions=no into "
                        "--log, and outputs are stored at least once"
                    ) from None
                raise translated(error, "start a transaction", self._address.heard) from None
            self._producer = producer
        return self._producer

    def _send_positions(self, producer: Producer, positions: Sequence[TopicPartition], group: bytes | None) -> None:
        """librdkafka may wait for ever for a group's coordinator that went away (its issues 5456 and 5511): then the
        producer is left to the thread that waits, and the next of its name ends the transaction."""
        answer: SimpleQueue[Exception | None] = SimpleQueue()

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(list(positions), group, TRANSACTION_S)
            except Exception as error:
                answer.put(error)
            else:
                answer.put(None)

        threading.Thread(target=send, name="positions", daemon=True).start()
        try:
            error = answer.get(timeout=TRANSACTION_S + GRACE_S)
        except Empty:
            self._drop()
            raise OutcomeUnknown("the group's coordinator went away and was waited for without end") from None
        if error is not None:
            raise error

    def _insist(self, act: Callable[[], None]) -> None:
        """Ask again while the answer may still come; a broker that is gone for long ends it with the last error."""
        deadline = self._clock.monotonic() + TRANSACTION_S
        while True:
            try:
                return act()
            except KafkaException as error:
                if not error.args[0].retriable() or self._clock.monotonic() > deadline:
                    raise
                self._clock.sleep(0.02)

    def _undo(self, producer: Producer, error: Exception, records: Sequence[Record]) -> None:
        """Raises what became of the transaction that failed."""
        reason = error.args[0] if isinstance(error, KafkaException) else None
        if reason is not None and (reason.fatal() or not reason.txn_requires_abort()):
            self._drop()
            raise OutcomeUnknown(reason.str()) from None
        try:
            self._insist(lambda: producer.abort_transaction(TRANSACTION_S))
        except KafkaException as failed:
            self._drop()
            if (
                code_of(failed) != KafkaError.INVALID_TXN_STATE
            ):  # the broker knows of none: its first record was refused
                raise OutcomeUnknown(failed.args[0].str()) from None
        if reason is None:
            raise error
        if code_of(KafkaException(reason)) in GROUP_REFUSED:
            raise GenerationRefused from None
        topics = ", ".join(sorted({f"'{record.topic}'" for record in records}))
        raise translated(reason, f"store in {topics}") from None

    def _drop(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer = None


def durable(address: Address, **settings: Any) -> dict[str, Any]:
    """How every producer sends: what is acknowledged is with all replicas in sync, once and in its order."""
    sending = {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0,
        "compression.type": "lz4",
        "message.max.bytes": BATCH_LIMIT_BYTES,
    }
    return configuration(address, **{**sending, **address.limits.producer, **settings})


def produce(producer: Producer, records: Sequence[Record], deliveries: Deliveries | None = None) -> None:
    """Hand them over, in order; there are as many as events. Raises what ``translated`` makes of a refusal."""
    send: Any = producer.produce  # a headers' list would have to be of the signature's type, to the letter
    for place, record in enumerate(records):
        out, delivered = record.out, None if deliveries is None else deliveries.expect(place)
        while True:
            try:
                send(record.topic, out.value, out.key, record.partition, delivered, headers=out.headers)
                break
            except BufferError:
                producer.poll(TURN_S)
            except KafkaException as error:
                raise translated(error, f"append to '{record.topic}'") from None
