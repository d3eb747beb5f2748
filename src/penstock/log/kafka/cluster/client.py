"""librdkafka as this log uses it: its settings, its errors, and one thread's wait for several answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ....errors import AccessRefused, LogError, LogRefused, LogUnreachable
from .address import Address
from .connection_errors import ConnectionErrors, Lines

T = TypeVar("T")

ANSWER_S = 15.0  # seconds within which a broker must answer a question
ATTEMPTS = 3  # of one question that share this time, where another broker may know better
NEWS_S = [0.05 * min(attempt, 10) for attempt in range(1, 50)]  # seconds between questions about a topic just made

AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._DESTROY_BROKER,  # a client that has just begun asked by an address that is a known broker's by now
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError._WAIT_COORD,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.CONCURRENT_TRANSACTIONS,  # the coordinator, just back, still ends the last one of that name
    KafkaError.KAFKA_STORAGE_ERROR,  # a broker's disk: another broker leads soon
}


REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.POLICY_VIOLATION,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
}
UNKNOWN = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class TopicUnknown(LogRefused):
    """The broker that was asked knows no such topic, or not yet."""


def configuration(address: Address, **settings: Any) -> dict[str, Any]:
    """What every client is told that is polled. What librdkafka says is heard at each poll, and kept until then.

    Raises ``LogUnreachable`` where a managed identity has no token, and ``AccessRefused`` where it gets none.
    """
    return {
        "bootstrap.servers": address.brokers,
        "client.id": "penstock",
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        "error_cb": address.heard.note,
        "logger": _lines(address.heard),
        **address.client,
        **({} if address.identity is None else {"oauth_cb": address.identity.callback()}),
        **settings,
    }


def translated(error: KafkaError | Exception, doing: str, heard: ConnectionErrors | None = None) -> LogError:
    """As one of our errors: what was tried, what the broker or librdkafka said, and what to do.

    ``heard``: of the address; it knows why a call that only says "timed out" came to nothing.
    """
    reason = error.args[0] if isinstance(error, KafkaException) else error
    if isinstance(reason, KafkaError):
        if reason.code() in AWAY:
            if heard is not None and heard.refusal:
                return AccessRefused(f"{doing}: {heard.refusal}; are the credentials and the certificates still valid?")
            said = f"{reason.str()} ({heard.reason})" if heard is not None and heard.reason else reason.str()
            return LogUnreachable(f"{doing}: {said}; do the brokers run, and are address and access right?")
        if reason.code() in UNKNOWN:
            return TopicUnknown(f"{doing}: {reason.str()} ({reason.name()})")
        kind = LogRefused if reason.code() in REFUSED else LogError
        return kind(f"{doing}: {reason.str()} ({reason.name()})")
    return LogError(f"{doing}: {reason}")


def code_of(error: KafkaException) -> int:
    reason = error.args[0]
    return int(reason.code()) if isinstance(reason, KafkaError) else 0


def ask(doing: str, question: Callable[[], dict[Any, Any]]) -> dict[Any, Any]:
    """The answers of an ``AdminClient``'s futures, by what was asked for. Raises the first error, translated."""
    try:
        return {key: future.result(ANSWER_S) for key, future in question().items()}
    except TimeoutError:
        raise LogUnreachable(f"{doing}: no answer within {ANSWER_S:g} s; do the brokers run?") from None
    except KafkaException as error:
        raise translated(error, doing) from None


def until_known(question: Callable[[], T], meanwhile: tuple[type[Exception], ...] = (TopicUnknown,)) -> T:
    """The answer, asked again for some 20 s: a topic just made is not yet known everywhere.

    ``meanwhile``: what it may raise until then.
    """
    for pause in NEWS_S:
        with suppress(*meanwhile):
            return question()
        threading.Event().wait(pause)
    return question()


def persistently(admin: AdminClient, attempt: Callable[[float], T]) -> T:
    """``attempt(seconds)``, and again while it raises ``LogUnreachable`` and another broker answers.

    For what goes to certain brokers. One that has just died is asked for as long as the client thinks that it is the
    one, and what it thinks is only put right by asking which brokers there are.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(LogUnreachable):
            return attempt(ANSWER_S / ATTEMPTS)
        if not _refreshed(admin):
            break
    return attempt(ANSWER_S / ATTEMPTS)


def _refreshed(admin: AdminClient) -> bool:
    try:
        admin.list_topics(timeout=ANSWER_S / ATTEMPTS)
    except KafkaException:
        return False
    return True


def quiet(address: Address) -> dict[str, Any]:
    """What every client is told that is never polled: to say nothing, since what it said would be kept for good."""
    heard = ("error_cb", "logger")
    return {**{name: value for name, value in configuration(address).items() if name not in heard}, "log_level": 0}


def admin(address: Address) -> AdminClient:
    """Not to be asked what a group's coordinator answers: see ``groups``."""
    return AdminClient(quiet(address))


def _lines(heard: ConnectionErrors) -> logging.Logger:
    lines = logging.Logger("librdkafka", logging.INFO)
    lines.addHandler(Lines(heard))
    return lines
