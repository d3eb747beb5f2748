"""The log on a real broker, with both encodings."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from tests.brokers.fixtures import GROUP
from tests.log.elsewhere import LogElsewhere

from penstock.batch import TopicSpec
from penstock.clock import Clock
from penstock.errors import DeclarationError
from penstock.log.interface import Log
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.settings import Settings
from penstock.testing.log_contract import LogContract

Encoding = Literal["arrow", "json"]


class Encoded(KafkaLog):
    """Every topic gets records of one encoding."""

    def __init__(self, brokers: str, namespace: str, encoding: Encoding, settings: Settings) -> None:
        super().__init__(Address(brokers, namespace), settings=settings)
        self._encoding: Encoding = encoding

    def create(self, topic: TopicSpec, *, grow: bool = False) -> None:
        super().create(replace(topic, encoding=self._encoding), grow=grow)


class Kafka(LogContract):
    injected = False
    gentle = False
    limit = 1 << 20
    settling = 3.0
    encoding: ClassVar[Encoding]

    @pytest.fixture(autouse=True)
    def _brokers(self, kafka: str) -> None:
        self.brokers = kafka

    def namespace(self, directory: Path) -> str:
        return hashlib.sha256(str(directory).encode()).hexdigest()[:12] + "."

    def open(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        return Encoded(self.brokers, self.namespace(directory), self.encoding, settings)

    def open_twin(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        return LogElsewhere(Encoded, self.brokers, self.namespace(directory), self.encoding, settings)

    def silence(self, log: Log) -> None:
        assert isinstance(log, LogElsewhere)
        log.stop()

    def plant(self, log: Log, topic: str, partition: int) -> int:
        assert isinstance(log, KafkaLog)
        producer = Producer({"bootstrap.servers": self.brokers, "acks": "all"})
        offsets: list[int] = []
        producer.produce(
            log.catalog.name(topic),
            b"neither JSON nor Arrow",
            partition=partition,
            on_delivery=lambda _error, message: offsets.append(message.offset() or 0),
        )
        producer.flush(10)
        return log.catalog.numbering(topic).position(offsets[0])


@pytest.mark.xdist_group(f"{GROUP}log, arrow")
class TestKafkaArrow(Kafka):
    encoding = "arrow"


# A group of its own, on brokers of its own: no other takes as long as these two.
@pytest.mark.xdist_group(f"{GROUP}log, json")
class TestKafkaJson(Kafka):
    encoding = "json"
    anonymous = False

    def every_kind(self) -> pa.RecordBatch:
        return super().every_kind().drop_columns(["uint"])

    def test_a_column_without_a_form_in_json_is_refused(self, log: Log) -> None:
        with pytest.raises(DeclarationError, match="uint64"):
            log.create(TopicSpec("t", pa.schema([("n", pa.uint64())])))
