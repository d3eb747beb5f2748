"""What librdkafka says, as our errors."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from penstock.errors import LogError, LogRefused, LogUnreachable
from penstock.log.kafka.cluster.client import TopicUnknown, translated

NOBODY = "127.0.0.1:1"


def test_positions_that_no_broker_takes_are_told_as_unreachable() -> None:
    consumer = Consumer({"bootstrap.servers": NOBODY, "group.id": "g", "log_level": 0, "session.timeout.ms": 1_000})
    with pytest.raises(KafkaException) as said:
        consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
    consumer.close()
    assert isinstance(translated(said.value, "commit"), LogUnreachable)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._TIMED_OUT,
        KafkaError._DESTROY_BROKER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.KAFKA_STORAGE_ERROR,
    ],
)
def test_what_passes_by_itself_is_told_as_unreachable(code: int) -> None:
    assert isinstance(translated(KafkaError(code), "ask"), LogUnreachable)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, LogRefused),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, LogRefused),
        (KafkaError.POLICY_VIOLATION, LogRefused),
        (KafkaError._UNKNOWN_TOPIC, TopicUnknown),
        (KafkaError.INVALID_CONFIG, LogError),
        (KafkaError._FATAL, LogError),  # the process that has such a producer is better begun anew
    ],
)
def test_what_stays_is_told_as_it_is(code: int, kind: type[LogError]) -> None:
    error = translated(KafkaError(code), "ask")
    assert type(error) is kind and KafkaError(code).name() in str(error)
