"""Where transactions are refused, as on Event Hubs Standard: stored at least once, handed out once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pytest
from tests.brokers.cluster import SASL_TLS, Cluster
from tests.brokers.node import CONNECTION_STRING, HUB_USER
from tests.brokers.tls import Authority
from tests.log.kafka import hub_child
from tests.log.kafka.hub_child import SETTINGS, copy, made

from penstock.batch import TopicSpec, Write
from penstock.errors import DeclarationError, LogError
from penstock.log.interface import Advance, Reader, Seek
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.consume import assignment, deduplication
from penstock.log.kafka.consume.deduplication import Deduplication
from penstock.log.kafka.consume.reader import KafkaReader
from penstock.log.kafka.log import KafkaLog
from penstock.log.kafka.records.interface import Chunk

pytestmark = pytest.mark.soak  # minutes, which groups and transactions spend on waiting

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
PATIENCE = 90.0


def every_row(self: Deduplication, chunk: Chunk) -> deduplication.Mask:
    """Planted: whatever is stored is handed out."""
    return np.ones(len(chunk.positions), np.bool_)


@pytest.fixture(params=["arrow", "json"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Copying:
    """``in`` and ``out`` in a namespace of their own, and a stage between them."""

    def __init__(self, hub: Cluster, certificates: Authority, namespace: str, encoding: str) -> None:
        where = f"{hub.address(SASL_TLS)}/{namespace.rstrip('.')}"
        self.url = f"kafka+eventhubs://{where}?ca={certificates.certificate}"
        self.bare = f"kafka://{hub.bootstrap}/{namespace.rstrip('.')}?transactions=no"
        self.environ = {"EVENTHUBS_CONNECTION_STRING": CONNECTION_STRING}
        self.encoding = cast(Literal["arrow", "json"], encoding)
        self.log = KafkaLog(Address.parse(self.url, self.environ), settings=SETTINGS)
        for topic in ("in", "out"):
            self.log.create(TopicSpec(topic, NUMBERS, 2, encoding=self.encoding))

    def publish(self, *numbers: int) -> None:
        rows = pa.record_batch([pa.array(numbers, pa.int64())], schema=NUMBERS)
        self.log.append([Write("in", 0, rows)])

    def killed(self, death: int = 1) -> None:
        """A stage that ends between its outputs and its positions."""
        command = [sys.executable, hub_child.__file__, self.url, str(death)]
        done = subprocess.run(command, env={**os.environ, **self.environ}, timeout=PATIENCE, check=False)
        assert done.returncode == -signal.SIGKILL

    def finish(self) -> None:
        """Another one goes on, until nothing is left."""
        with closing(self.log.reader("copies", ["in"], "heir")) as reader:
            eventually(lambda: copy(reader) == 0 and self.lag("copies") == 0)

    def lag(self, group: str) -> int:
        return sum(state.lag_events for state in self.log.groups() if state.group == group)

    def handed_out(self) -> list[int]:
        with closing(self.log.reader(None, ["out"], "check")) as reader:
            return all_of(reader)

    def stored(self) -> list[int]:
        """What is in the topic, repeats included, as any other client finds it."""
        with pytest.MonkeyPatch.context() as patch, closing(KafkaLog(Address.parse(self.bare, {}))) as log:
            patch.setattr(Deduplication, "fresh", every_row)
            return all_of(log.reader(None, ["out"], "raw"))


def all_of(reader: Reader) -> list[int]:
    found: list[int] = []
    while batches := reader.read(1_000, 0):
        for batch in batches:
            found += pa.array(batch.rows.column("n")).to_pylist()
    return found


def eventually(holds: Callable[[], Any]) -> None:
    limit = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.fixture
def copying(hub: Cluster, certificates: Authority, prefix: str, encoding: str) -> Iterator[Copying]:
    copying = Copying(hub, certificates, prefix, encoding)
    yield copying
    copying.log.close()


def check_killed(copying: Copying) -> None:
    """A stage dies twice with outputs stored and positions not; another goes on."""
    copying.publish(*range(5))
    copying.killed()
    copying.publish(*range(5, 20))
    copying.killed(death=2)
    copying.finish()
    stored = copying.stored()
    assert len(stored) > 20 and set(stored) == set(range(20)), "nothing was stored twice: the test shows nothing"
    assert copying.handed_out() == list(range(20)), "repeats are handed out"


def test_a_stage_killed_between_outputs_and_positions(copying: Copying) -> None:
    check_killed(copying)


def test_mutant_repeats_that_are_handed_out_are_caught(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deduplication, "fresh", every_row)
    with pytest.raises(AssertionError, match="repeats are handed out"):
        check_killed(copying)


def check_restarted(copying: Copying) -> list[int]:
    """A reader that ends before the repeats of what it has handed out; another goes on behind its position."""
    copying.publish(*range(10))
    copying.killed()
    first = copying.log.reader("readers", ["out"], "one")
    seen: list[int] = []
    while len(seen) < 7:  # all that was stored by then
        for batch in first.read(4, 1.0):
            seen += pa.array(batch.rows.column("n")).to_pylist()
            first.commit([Advance("out", batch.partition, batch.through)], [])
    first.close()
    copying.finish()
    with closing(copying.log.reader("readers", ["out"], "two")) as second:
        seen += all_of(second)
    return seen


def test_a_reader_that_starts_again_knows_what_was_handed_out(copying: Copying) -> None:
    assert check_restarted(copying) == list(range(10))


def test_mutant_who_does_not_look_back_is_caught(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "records_before", lambda _numbering: 0)
    assert check_restarted(copying) != list(range(10))


def check_lag(copying: Copying) -> int:
    """What is left of a reader's lag when all that is left are repeats."""
    copying.publish(*range(5))
    copying.killed()
    with closing(copying.log.reader("readers", ["out"], "one")) as reader:
        left: list[int] = []
        while len(left) < 5:
            for batch in reader.read(100, 1.0):
                left += pa.array(batch.rows.column("n")).to_pylist()
                reader.commit([Advance("out", batch.partition, batch.through)], [])
        copying.finish()
        for _ in range(5):
            assert reader.read(100, 0) == []
        return copying.lag("readers")


def test_repeats_are_no_lag(copying: Copying) -> None:
    assert check_lag(copying) == 0


def test_mutant_repeats_that_are_never_passed_are_caught(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaReader, "_pass_repeats", lambda _self: None)
    assert check_lag(copying) > 0


def test_a_place_that_is_sought_begins_there(copying: Copying) -> None:
    """Going back does not make what comes after it a repeat of itself."""
    copying.publish(*range(6))
    copying.finish()
    with closing(copying.log.reader(None, ["out"], "again")) as reader:
        for _ in range(2):
            assert all_of(reader) == list(range(6))
            reader.seek(Seek("out", None, "earliest"))


def test_transactions_that_are_refused_are_told(hub: Cluster, certificates: Authority, prefix: str) -> None:
    url = f"kafka://{hub.address(SASL_TLS)}/{prefix.rstrip('.')}?security=sasl_ssl&ca={certificates.certificate}"
    address = Address.parse(url, {"KAFKA_USER": HUB_USER, "KAFKA_PASSWORD": CONNECTION_STRING})
    with closing(KafkaLog(address, settings=SETTINGS)) as log:
        log.create(TopicSpec("in", NUMBERS, 2))
        rows = pa.record_batch([pa.array([1], pa.int64())], schema=NUMBERS)
        with pytest.raises(LogError, match=r"the cluster refuses transactions .* put transactions=no into --log"):
            log.append([Write("in", 0, rows), Write("in", 1, rows)])
    with closing(KafkaLog(replace(address, transactional=False), settings=SETTINGS)) as log:
        spans = log.append([Write("in", 0, rows), Write("in", 1, rows)])
        assert [span.count for span in spans] == [1, 1]


def test_it_is_said_at_the_start(
    hub: Cluster, certificates: Authority, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        Copying(hub, certificates, prefix, "arrow").log.close()
    assert "outputs are stored at least once" in caplog.text
    assert "SharedAccessKey=" not in caplog.text + "".join(str(vars(record)) for record in caplog.records)


def test_the_limits_of_a_hub(hub: Cluster, certificates: Authority, prefix: str) -> None:
    with closing(Copying(hub, certificates, prefix, "json").log) as log:
        with pytest.raises(DeclarationError, match="partitions=33, and an event hub of the Standard tier has 32"):
            log.create(TopicSpec("many", NUMBERS, 33))
        log.create(TopicSpec("texts", pa.schema([pa.field("s", pa.string(), nullable=False)]), 1, encoding="json"))
        long = pa.RecordBatch.from_pydict({"s": ["x" * 1_000_000]}, schema=log.catalog.topic("texts").schema)
        with pytest.raises(LogError, match="does not fit a record"):
            log.append([Write("texts", 0, long)])


def test_what_the_stage_makes_says_where_it_came_from(copying: Copying) -> None:
    """The premise of all of these: ``made`` gives the columns that a stage's outputs have."""
    copying.publish(1)
    copying.finish()
    with closing(copying.log.reader(None, ["out"], "check")) as reader:
        (batch,) = [b for b in reader.read(10, 0) if len(b)]
    again = made(replace(batch, topic="in"))
    assert batch.origin == again.origin
    assert batch.rows.column("_parent").null_count == 0
