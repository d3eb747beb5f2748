"""The log's conformance suite without transactions: what it asks for, but that outputs may be stored twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from tests.brokers.cluster import SASL_TLS, Cluster
from tests.brokers.node import CONNECTION_STRING
from tests.brokers.tls import Authority
from tests.log.elsewhere import LogElsewhere
from tests.log.test_kafka import Encoded, Encoding, Kafka

from penstock.batch import Batch, Lineage, Write
from penstock.clock import Clock
from penstock.errors import Fenced
from penstock.log.interface import Log
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.settings import Settings
from penstock.testing.log_contract import by_partition, drain, numbers, pass_on, through, until, values, write


class OnHub(Encoded):
    def __init__(self, url: str, encoding: Encoding, settings: Settings) -> None:
        address = Address.parse(url, {"EVENTHUBS_CONNECTION_STRING": CONNECTION_STRING})
        KafkaLog.__init__(self, address, settings=settings)
        self._encoding: Encoding = encoding


@pytest.mark.soak
class TestHub(Kafka):
    encoding = "arrow"
    limit = 1_000_000

    @pytest.fixture(autouse=True)
    def _brokers(self, hub: Cluster, certificates: Authority) -> None:
        self.brokers = hub.bootstrap
        self.hub, self.authority = hub.address(SASL_TLS), certificates.certificate

    def url(self, directory: Path) -> str:
        return f"kafka+eventhubs://{self.hub}/{self.namespace(directory).rstrip('.')}?ca={self.authority}"

    def open(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        return OnHub(self.url(directory), self.encoding, settings)

    def open_twin(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        return LogElsewhere(OnHub, self.url(directory), self.encoding, settings)

    def test_many_readers_pass_everything_on_exactly_once(self, log: Log, twin: Log) -> None:
        """What is put out of the group between its outputs and its positions is made again, and seen once."""
        log.create(numbers(partitions=4))
        log.create(numbers("out", partitions=4))
        log.append([write(range(p * 100, p * 100 + 100), partition=p) for p in range(4)])

        readers = [(log, twin)[member % 2].reader("g", ["t"], f"m{member}") for member in range(3)]
        pass_on(readers, outputs, enough=400)
        assert by_partition(drain(log.reader(None, ["out"], "m"))) == {
            p: list(range(p * 100, p * 100 + 100)) for p in range(4)
        }

    def test_a_silent_member_loses_its_partitions_and_is_fenced_when_it_wakes(self, log: Log, twin: Log) -> None:
        """Its positions are refused. Its outputs are stored by then, as repeats of the heir's."""
        log.create(numbers(partitions=2))
        log.create(numbers("out", partitions=2))
        log.append([write([0], partition=0), write([1], partition=1)])
        zombie = twin.reader("g", ["t"], "zombie")
        held = until(lambda: zombie.read(10, 1), enough=2, within=30)
        self.silence(twin)
        heir = log.reader("g", ["t"], "heir")
        got = until(lambda: heir.read(10, 0.05), enough=2, within=30)
        heir.commit(through(got), outputs(got))
        with pytest.raises(Fenced) as refused:
            zombie.commit(through(held), outputs(held))
        assert refused.value.lost == {("t", 0), ("t", 1)}
        assert by_partition(drain(log.reader(None, ["out"], "m"))) == {0: [0], 1: [1]}
        heir.close()
        log.append([write([2], partition=0), write([3], partition=1)])
        assert sorted(values(until(lambda: zombie.read(10, 0.05), enough=2, within=30))) == [2, 3]


def outputs(batches: Sequence[Batch]) -> list[Write]:
    return [Write("out", b.partition, with_parents(b), Lineage("stage", "t", "code")) for b in batches]


def with_parents(batch: Batch) -> pa.RecordBatch:
    """The same rows, as a stage's outputs say where they came from."""
    rows = batch.rows.select(numbers().schema.names)
    partitions = pa.array([batch.partition] * len(batch), pa.int32())
    return pa.RecordBatch.from_arrays(
        [*rows.columns, partitions, pa.array(batch.positions, pa.int64())],
        [*rows.schema.names, "_parent_partition", "_parent"],
    )
