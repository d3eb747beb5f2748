"""Processes for the tests on Kafka to kill and to stop: ``child.py ROLE BROKERS NAMESPACE ENCODING [ARGUMENT …]``.

Each says on stdout what it was promised, one unbuffered line at a time, so that what it said is known when it dies.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pyarrow as pa
from confluent_kafka import Producer, TopicPartition

from penstock.batch import TopicSpec, Write
from penstock.errors import Fenced, LogError, LogUnreachable
from penstock.log.interface import Advance, Seek
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.consume.consumer import GroupConsumer
from penstock.log.kafka.log import KafkaLog
from penstock.log.kafka.produce import transactions
from penstock.log.kafka.produce.transactions import Transactions
from penstock.settings import Settings

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
SETTINGS = Settings(member_timeout=3.0, poll_interval=0.2)
PARTITIONS = 4
LEAP = 10_000  # numbers left out after an append of which nobody knows whether it was stored


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def rows(numbers: list[int]) -> pa.RecordBatch:
    return pa.record_batch([pa.array(numbers, pa.int64())], schema=NUMBERS)


def opened(brokers: str, namespace: str, encoding: str) -> KafkaLog:
    """Brokers that are just being started again are waited for, as ``penstock run`` does."""
    log = KafkaLog(Address(brokers, namespace), settings=SETTINGS, slot=os.environ.get("SLOT"))
    while True:
        try:
            for name in ("in", "out"):
                log.create(TopicSpec(name, NUMBERS, PARTITIONS, encoding=cast(Any, encoding)))
            return log
        except LogUnreachable:
            time.sleep(1.0)


def write(log: KafkaLog, partition: str, first: str, limit: str, most: str = "7") -> None:
    """Increasing numbers, a few an append; says the first and the last of each append once it is acknowledged."""
    n = int(first)
    left = int(limit)
    while left:
        count = min(1 + n % int(most), left)
        try:
            log.append([Write("in", int(partition), rows(list(range(n, n + count))))])
        except LogUnreachable:
            say("away")
            n += LEAP
            continue
        say(f"{n} {n + count - 1}")
        n, left = n + count, left - count


def stand_still() -> None:
    say("still")
    os.kill(os.getpid(), signal.SIGSTOP)


def in_a_transaction(act: Callable[[], None]) -> None:
    """Once the first one has outputs and positions, and is not yet committed."""
    plain, acts = Transactions._send_positions, [act]

    def send(self: Transactions, producer: Producer, positions: Sequence[TopicPartition], group: bytes | None) -> None:
        plain(self, producer, positions, group)
        if acts:
            acts.pop()()

    Transactions._send_positions = send  # type: ignore[method-assign]


def without_generation(self: GroupConsumer) -> bytes:
    """A mutant: as a client commits that knows nothing of KIP-447."""
    assert self.group is not None
    return b"CGMDv2:" + struct.pack("=i", -1) + self.group.encode() + b"\0\0\1"  # no member, no instance


def move(log: KafkaLog, member: str, way: str = "", mutant: str = "") -> None:
    """A stage that copies ``in`` to ``out`` until it is killed."""
    if way == "still in a transaction":
        in_a_transaction(stand_still)
    if way == "killed in a long transaction":
        transactions.TRANSACTION_S = 600.0
        in_a_transaction(lambda: os.kill(os.getpid(), signal.SIGKILL))
    if mutant == "no generation":
        GroupConsumer.identity = property(without_generation)  # type: ignore[method-assign, assignment]
    reader = log.reader("movers", ["in"], member)
    say("ready")
    rewind = False
    while True:
        try:
            if rewind:
                reader.seek(Seek("in", None, "committed"))
                rewind = False
            batches = reader.read(5_000, 1.0)
            done = [Advance(b.topic, b.partition, b.through) for b in batches]
            outputs = [Write("out", b.partition, b.rows) for b in batches]
            if way == "still" and batches:
                way = ""
                stand_still()
            if mutant == "positions first" and batches:
                reader.commit(done, [])
                os.kill(os.getpid(), signal.SIGKILL)
            if mutant == "outputs first" and batches:
                log.append(outputs)
                os.kill(os.getpid(), signal.SIGKILL)
            reader.commit(done, outputs)
            if batches:
                say(f"moved {sorted({b.partition for b in batches})}")
        except Fenced as error:
            say(f"fenced {sorted(error.lost)}")
        except LogError as error:  # brokers that come back may first say that they know no such topic
            say("away" if isinstance(error, LogUnreachable) else f"held {error}")
            rewind = True


if __name__ == "__main__":
    role = {f.__name__: f for f in (write, move)}[sys.argv[1]]
    role(opened(*sys.argv[2:5]), *sys.argv[5:])
