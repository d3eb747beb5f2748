"""A topic of Kafka keeps what every destination promises: on a real broker, which is stopped where it is to be away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.brokers.cluster import Cluster
from tests.destinations.kafka.conftest import made_topic

from penstock.clock import Clock
from penstock.destinations.interface import Destination
from penstock.destinations.kafka.lane import KafkaLane
from penstock.testing import DestinationContract


class Broker:
    def __init__(self, cluster: Cluster, lanes: Callable[..., KafkaLane]) -> None:
        self.cluster, self.topic = cluster, made_topic(cluster.bootstrap)
        self._lanes = lanes

    def open(self, clock: Clock) -> Destination:
        return self._lanes(self.cluster.bootstrap, self.topic, clock, answer_s=10.0)

    def got(self) -> Sequence[bytes]:
        reader = Consumer({"bootstrap.servers": self.cluster.bootstrap, "group.id": "reader"})
        _, end = reader.get_watermark_offsets(TopicPartition(self.topic, 0), 20)
        reader.assign([TopicPartition(self.topic, 0, 0)])
        found = [message.value() or b"" for message in reader.consume(end, 20)]
        reader.close()
        return found

    def away(self) -> None:
        self.cluster.hang(1)

    def back(self) -> None:
        self.cluster.resume(1)


class TestKafka(DestinationContract):
    @pytest.fixture
    def endpoint(self, secured: Cluster, lanes: Callable[..., KafkaLane]) -> Iterator[Broker]:
        yield Broker(secured, lanes)
        secured.resume(1)
