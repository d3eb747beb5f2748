"""The lane of a subscription to a Kafka topic: a producer, and a thread that feeds it and hears what became of records.

The producer is idempotent, so a record that librdkafka sends again by itself is there once. One that is tried again
from the ladder, since nobody knows what became of it, may be there twice, with the same ``ce_source`` and ``ce_id``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from threading import Event, Thread
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from ...clock import Clock
from ...errors import CannotStart
from ...log.kafka.cluster.address import Address
from ...log.kafka.cluster.client import configuration
from ...telemetry import logger
from ..interface import Answer, Parcel
from ..lane import Lane, Settled
from ..redaction import redact
from .answers import ABOUT_THE_PARCEL, FINAL, outcome_of

log = logger(__name__)

ANSWER_S = 30.0  # seconds that a record may take until it is known to be with the brokers
TURN_S = 0.01  # seconds of a wait while records are under way, which a report ends
IDLE_S = 1.0  # seconds of a wait while none is, which a parcel ends
SAID_CHARS = 300  # characters of what the client says that are repeated
STRUCTURED = "application/cloudevents"  # how the media type of an event as one JSON object begins
LARGEST_BYTES = 64 << 20  # bytes of a record: how large one may be is the brokers' to say
TOGETHER_BYTES = 64 << 10  # bytes of records that are sent together: a batch that is too large fails as a whole


class KeyedEvent(msgspec.Struct):
    """Of an event in the JSON event format."""

    partitionkey: str | None = None


_key_of = msgspec.json.Decoder(KeyedEvent).decode


class KafkaLane(Lane):
    """``address``: of the cluster, with what it takes to come in. ``hidden``: what may be in no text for people."""

    def __init__(
        self,
        address: Address,
        topic: str,
        hidden: Sequence[str],
        concurrency: int,
        per_second: float,
        clock: Clock,
        answer_s: float = ANSWER_S,
    ) -> None:
        """Raises ``CannotStart`` for certificates, keys and settings that cannot be used."""
        super().__init__(concurrency, per_second, clock)
        self._address, self._topic, self._hidden, self._answer_s = address, topic, hidden, answer_s
        self._inbox: deque[tuple[Sequence[Parcel], Settled]] = deque()
        self._awake = Event()
        self._spoilt = False  # the thread's own: librdkafka says that this producer sends nothing any more
        self._producer = self._made()
        self.thread = Thread(target=self._run, name=f"kafka {topic}", daemon=True)
        self.thread.start()

    def submit(self, parcels: Sequence[Parcel], settled: Settled) -> None:
        self._inbox.append((parcels, settled))
        self._awake.set()

    @property
    def stopped(self) -> bool:
        return not self.thread.is_alive()

    def close(self) -> None:
        super().close()
        self._awake.set()

    # -- the thread -----------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self.closed:
                if self.flying:
                    self._producer.poll(TURN_S)
                else:
                    self._awake.wait(self._wait())
                    self._producer.poll(0)
                self._awake.clear()  # before the inbox is looked at: what comes after that wakes again
                while self._inbox:
                    self.take(*self._inbox.popleft())
                self._launch()
                if self._spoilt:
                    self._renew()
        except BaseException:
            log.critical("nothing more is sent to a Kafka topic", topic=self._topic, exc_info=True)
            raise

    def _wait(self) -> float:
        """``due`` is there while something waits for the rate."""
        return min(IDLE_S, max(0.0, self.due - self._clock.monotonic())) if self.queue else IDLE_S

    def _launch(self) -> None:
        while self.may_send() and self.flying < self.allowed and self.due <= self._clock.monotonic():
            self._produce(*self.queue.popleft())

    def _produce(self, parcel: Parcel, settled: Settled) -> None:
        began = self._clock.now()
        try:
            self._producer.produce(
                self._topic,
                parcel.body,
                key_of(parcel),
                headers=[(name, value.encode()) for name, value in parcel.headers],
                on_delivery=partial(self._reported, parcel, settled, began),
            )
        except BufferError:
            self.settle(parcel, settled, Answer(False, "Busy", reason="not sent: the client holds all that it may"))
        except KafkaException as error:
            self.begin()
            self._reported(parcel, settled, began, error.args[0], None)
        else:
            self.begin()

    def _reported(self, parcel: Parcel, settled: Settled, began: int, error: KafkaError | None, _message: Any) -> None:
        """Called by librdkafka in this thread, while it polls."""
        if error is None:
            self._address.heard.clear()
            self.land(parcel, settled, Answer(True, "Delivered", began=began))
            return
        self._spoilt = self._spoilt or error.fatal() or error.code() == KafkaError._FATAL
        self.land(parcel, settled, self._answer(error, began))

    def _answer(self, error: KafkaError, began: int) -> Answer:
        code, heard = error.code(), self._address.heard
        outcome, reason = outcome_of(code), error.str()
        if outcome == "TimedOut" and heard.reason:
            reason = f"{reason} ({heard.reason})"
            outcome = "Unauthorized" if heard.refusal else "SocketError"
        reason = redact(reason, self._hidden)[:SAID_CHARS]
        sent = began if code != KafkaError._PURGE_QUEUE else 0  # else it waited for a producer that was given up
        blameless = code in ABOUT_THE_PARCEL
        return Answer(False, outcome, reason=reason, final=code in FINAL, began=sent, blameless=blameless)

    # -- the producer ---------------------------------------------------------

    def _made(self) -> Producer:
        given = configuration(
            self._address,
            **{
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 1,
                "message.timeout.ms": round(self._answer_s * 1e3),
                "socket.timeout.ms": round(self._answer_s * 1e3),
                "topic.metadata.propagation.max.ms": round(self._answer_s * 500),
                "message.max.bytes": LARGEST_BYTES,
                "batch.size": TOGETHER_BYTES,
            },
        )
        try:
            return Producer(given)
        except KafkaException as error:
            reason = redact(error.args[0].str(), self._hidden)[:SAID_CHARS]
            raise CannotStart(f"the brokers at {self._address.brokers} cannot be written to: {reason}") from None

    def _renew(self) -> None:
        """What is under way is reported first: it fails."""
        log.warning("a Kafka producer is made anew", topic=self._topic)
        self._producer.purge()
        while self.flying and not self.closed:
            self._producer.poll(TURN_S)
        self._producer, self._spoilt = self._made(), False


def key_of(parcel: Parcel) -> bytes | None:
    """The record's: of the event what its extension ``partitionkey`` says, which stays in it (Kafka binding §3.1).
    Whatever the body is, it raises nothing: the thread would end with each attempt."""
    found = dict(parcel.headers)
    key = found.get("ce_partitionkey")
    if "ce_specversion" not in found and found.get("content-type", "").startswith(STRUCTURED):
        try:
            key = _key_of(parcel.body).partitionkey
        except msgspec.DecodeError:
            return None
    return None if key is None else key.encode()
