"""Views over the log on a real broker, with transactions and without."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.system.contract import AlterableLog, ViewContract

from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog


class Kafka(ViewContract):
    transactional = True

    @pytest.fixture(autouse=True)
    def _brokers(self, kafka: str, prefix: str) -> None:
        self.brokers, self.prefix = kafka, prefix

    def open(self, directory: Path) -> AlterableLog:
        return KafkaLog(Address(self.brokers, self.prefix, transactional=self.transactional))


class TestWithTransactions(Kafka): ...


class TestWithout(Kafka):
    transactional = False
