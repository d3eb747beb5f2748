"""Why a call came to nothing, as librdkafka tells it beside the call."""

from __future__ import annotations

import pickle

import pytest
from confluent_kafka import KafkaError, KafkaException

from penstock.errors import AccessRefused, LogRefused, LogUnreachable
from penstock.log.kafka.cluster.client import translated
from penstock.log.kafka.cluster.connection_errors import ConnectionErrors

TIMED_OUT = KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))
PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "sasl_ssl://b:1/bootstrap: wrong password (after 3ms in state AUTH)")
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
CLOSED = (
    "FAIL [rdkafka#producer-1] [thrd:[::1]:9092/bootstrap]: "
    "[::1]:9092/bootstrap: Connection refused (after 0ms in state CONNECT)"
)


def heard(*told: KafkaError | str) -> ConnectionErrors:
    found = ConnectionErrors()
    for each in told:
        found.say(each) if isinstance(each, str) else found.note(each)
    return found


def test_a_refusal_is_told_in_the_place_of_a_time_out() -> None:
    error = translated(TIMED_OUT, "append to 't'", heard(CLOSED, PASSWORD, DOWN))
    assert isinstance(error, AccessRefused)
    assert "append to 't': sasl_ssl://b:1: wrong password (AUTH)" in str(error)


def test_brokers_that_are_away_are_no_refusal() -> None:
    error = translated(TIMED_OUT, "append", heard(CLOSED, DOWN))
    assert isinstance(error, LogUnreachable) and not isinstance(error, AccessRefused)
    assert "([::1]:9092: Connection refused (CONNECT))" in str(error)


def test_an_answer_that_has_nothing_to_do_with_it_is_told_as_it_is() -> None:
    error = translated(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "append", heard(PASSWORD))
    assert type(error) is LogRefused and "password" not in str(error)


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        (PASSWORD, True),
        (KafkaError(KafkaError._SSL, "SSL handshake failed: certificate verify failed"), True),
        (KafkaError(KafkaError._SSL, "SSL handshake failed: Disconnected: closed by peer"), False),
        (KafkaError(KafkaError._AUTHENTICATION, "Failed to acquire token: Failed to connect to issuer"), False),
        (KafkaError(KafkaError._AUTHENTICATION, "Failed to acquire token: 503 (503)"), False),
        (KafkaError(KafkaError._RESOLVE, "Failed to resolve"), False),
        (DOWN, False),
    ],
)
def test_only_what_trying_again_does_not_mend_is_a_refusal(told: KafkaError, refused: bool) -> None:
    assert bool(heard(told).refusal) is refused


def test_what_a_broker_answers_ends_it() -> None:
    found = heard(PASSWORD)
    found.clear()
    assert (found.reason, found.refusal) == ("", "")
    assert heard(PASSWORD, KafkaError(KafkaError._TRANSPORT, "Connection refused")).refusal == ""


def test_another_process_hears_for_itself() -> None:
    assert pickle.loads(pickle.dumps(heard(PASSWORD))).reason == ""
