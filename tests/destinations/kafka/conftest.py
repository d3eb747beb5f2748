from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # documented, and not marked as exported

from penstock.clock import Clock, SystemClock
from penstock.destinations.kafka.lane import KafkaLane
from penstock.log.kafka.cluster.address import Address


@pytest.fixture
def lanes() -> Iterator[Callable[..., KafkaLane]]:
    """Makes lanes that are closed in the end."""
    made: list[KafkaLane] = []

    def make(brokers: str, topic: str, clock: Clock | None = None, **given: Any) -> KafkaLane:
        client = given.pop("client", {})
        options: dict[str, Any] = {"hidden": (), "concurrency": 16, "per_second": 0.0, "answer_s": 20.0} | given
        made.append(KafkaLane(Address(brokers, client=client), topic, clock=clock or SystemClock(), **options))
        return made[-1]

    yield make
    for lane in made:
        lane.close()
        lane.thread.join(20)
        assert not lane.thread.is_alive()


def made_topic(brokers: str, partitions: int = 1, **settings: str) -> str:
    """A new one, which the brokers know by now."""
    name = f"t{uuid4().hex[:10]}"
    admin = AdminClient({"bootstrap.servers": brokers})
    made = admin.create_topics([NewTopic(name, partitions, config=settings)], request_timeout=90)
    made[name].result(100)  # a broker that was stopped a moment ago needs a while
    return name


def records(brokers: str, topic: str, count: int, partitions: int = 1) -> list[Message]:
    """The first ones of a topic, as a consumer of anybody's reads them."""
    reader = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "isolation.level": "read_committed"})
    reader.assign([TopicPartition(topic, n, 0) for n in range(partitions)])
    found: list[Message] = []
    try:
        while len(found) < count:
            message = reader.poll(20)
            assert message is not None, f"{len(found)} of {count} records are there"
            assert message.error() is None, message.error()
            found.append(message)
    finally:
        reader.close()
    return found
