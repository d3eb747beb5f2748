"""librdkafka as this log uses it: its settings, its errors, and one thread's wait for several answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ...errors import LogError, LogUnreachable
from ...telemetry import logger
from .address import Address

T = TypeVar("T")

ANSWER = 15.0  # seconds within which a broker must answer a question
RECORD_LIMIT = 1 << 20  # bytes of one record; what brokers take unless told otherwise is a little more

AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
_log = logger(__name__)


def configuration(address: Address, **settings: Any) -> dict[str, Any]:
    """What every client is told. Errors say what is wrong; librdkafka's own lines go to the log of the process."""
    return {
        "bootstrap.servers": address.brokers,
        "client.id": "penstock",
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        "logger": _quiet(),
        **address.client,
        **settings,
    }


def translated(error: KafkaError | Exception, doing: str) -> LogError:
    """As one of our errors: what was tried, what the broker or librdkafka said, and what to do."""
    reason = error.args[0] if isinstance(error, KafkaException) else error
    if isinstance(reason, KafkaError):
        if reason.code() in AWAY:
            return LogUnreachable(f"{doing}: {reason.str()}; do the brokers run, and are address and access right?")
        return LogError(f"{doing}: {reason.str()} ({reason.name()})")
    return LogError(f"{doing}: {reason}")


def code_of(error: KafkaException) -> int:
    reason = error.args[0]
    return int(reason.code()) if isinstance(reason, KafkaError) else 0


def ask(doing: str, question: Callable[[], dict[Any, Any]]) -> dict[Any, Any]:
    """The answers of an ``AdminClient``'s futures, by what was asked for. Raises the first error, translated."""
    try:
        return {key: future.result(ANSWER) for key, future in question().items()}
    except (KafkaException, TimeoutError) as error:
        raise translated(error, doing) from None


def admin(address: Address) -> AdminClient:
    return AdminClient(configuration(address))


class _Lines(logging.Handler):
    """librdkafka tells of each lost connection many times; what matters comes back as an error of the call."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.debug("librdkafka", said=record.getMessage())


def _quiet() -> logging.Logger:
    lines = logging.Logger("librdkafka", logging.INFO)
    lines.addHandler(_Lines())
    return lines
