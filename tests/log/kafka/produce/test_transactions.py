"""A transaction whose positions nobody answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from tests.log.kafka.child import opened, rows

from penstock.batch import Write
from penstock.errors import Fenced
from penstock.log.interface import Advance
from penstock.log.kafka.log import KafkaLog
from penstock.log.kafka.produce import transactions
from penstock.log.kafka.produce.transactions import Transactions

BOUND = 20.0  # seconds, many times the limit that is set here


class Stuck(Producer):
    """As librdkafka is in its issues 5456 and 5511; three brokers that are killed under load bring that about now and
    then, and nothing does so at will."""

    until = threading.Event()

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        self.until.wait()
        super().send_offsets_to_transaction(*arguments)


@pytest.fixture
def log(kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaLog]:
    monkeypatch.setattr(transactions, "TRANSACTION_S", 1.0)
    monkeypatch.setattr(transactions, "GRACE_S", 0.5)
    monkeypatch.setattr(Stuck, "until", threading.Event())
    log = opened(kafka, prefix, "json")
    yield log
    Stuck.until.set()
    log.close()


def fenced_and_moved_later(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append([Write("in", 0, rows([1, 2, 3]))])
    reader = log.reader("movers", ["in"], "worker")
    (batch,) = reader.read(100, BOUND)
    monkeypatch.setattr(transactions, "Producer", Stuck)
    with pytest.raises(Fenced):
        reader.commit([Advance("in", 0, batch.through)], [Write("out", 0, batch.rows)])
    Stuck.until.set()
    (batch,) = reader.read(100, BOUND)
    reader.commit([Advance("in", 0, batch.through)], [Write("out", 0, batch.rows)])
    (stored,) = log.reader(None, ["out"], "check").read(100, 0)
    assert stored.rows.column("n").to_pylist() == [1, 2, 3]


def test_positions_without_an_answer_are_not_waited_for_without_end(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is ended by the next producer of its name, and what was in hand is read and stored again."""
    fenced_and_moved_later(log, monkeypatch)


def test_mutant_the_librarys_own_limit_is_trusted(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(self: Transactions, producer: Producer, positions: Any, group: Any) -> None:
        producer.send_offsets_to_transaction(list(positions), group, transactions.TRANSACTION_S)

    monkeypatch.setattr(Transactions, "_send_positions", send)

    def tested() -> None:
        with contextlib.suppress(BaseException):  # what becomes of it once it is let go does not matter
            fenced_and_moved_later(log, monkeypatch)

    stuck = threading.Thread(target=tested)
    stuck.start()
    stuck.join(4 * (transactions.TRANSACTION_S + transactions.GRACE_S))
    assert stuck.is_alive()
    Stuck.until.set()
    stuck.join()
