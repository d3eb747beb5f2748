"""``python -m bench.transactions``: what a transaction of a stage costs on Kafka, for decision 0007.

Starts brokers of its own, as the tests do: one as Kafka comes, and one that has each record on its disk before it
acknowledges it. Milliseconds, the median and the 99th percentile of 200.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # documented, and not marked as exported
from tests.brokers.cluster import running

from penstock.log.kafka.produce.transactions import RETRY

TOPIC, PARTITIONS, VALUE = "measured", range(4), b"x" * 10_000


def measure(name: str, act: Callable[[], object], runs: int = 200) -> None:
    act()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1e3)
    taken.sort()
    print(f"{name:48} p50 {taken[runs // 2]:7.1f} ms   p99 {taken[runs * 99 // 100]:7.1f} ms", flush=True)


def main() -> None:
    for overrides in ({}, {"log.flush.interval.messages": "1"}):
        print(overrides or "as Kafka comes", flush=True)
        measured(overrides)


def measured(overrides: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), overrides=overrides) as cluster:
        brokers: dict[str, str | int | float | bool] = {"bootstrap.servers": cluster.bootstrap, "log_level": 0}
        admin = AdminClient(brokers)
        for made in admin.create_topics([NewTopic(TOPIC, len(PARTITIONS), 1)]).values():
            made.result(30)
        member = Consumer({**brokers, "group.id": "measuring", "enable.auto.commit": False})
        member.subscribe([TOPIC])
        while not member.assignment():
            member.poll(0.1)
        positions = [TopicPartition(TOPIC, p, 0) for p in PARTITIONS]
        for name, settings in (("as librdkafka comes", {}), ("with our retries", RETRY)):
            producer = Producer({**brokers, "transactional.id": name, "linger.ms": 0, **settings})
            producer.init_transactions(30)

            def transact(producer: Producer = producer) -> None:
                producer.begin_transaction()
                for partition in PARTITIONS:
                    producer.produce(TOPIC, VALUE, partition=partition)
                producer.send_offsets_to_transaction(positions, member.consumer_group_metadata())
                producer.commit_transaction()

            measure(f"transaction, {name}", transact)
        plain = Producer({**brokers, "acks": "all", "enable.idempotence": True, "linger.ms": 0})

        def send() -> None:
            plain.produce(TOPIC, VALUE, partition=0)
            plain.flush()

        measure("one record, acks=all", send)
        measure("positions alone", lambda: member.commit(offsets=positions, asynchronous=False))
        member.close()


if __name__ == "__main__":
    main()
