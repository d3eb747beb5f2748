"""A whole run on three brokers that replicate, while its processes are killed, and brokers too."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.brokers.cluster import Cluster
from tests.e2e import rig, steps

pytestmark = pytest.mark.soak  # three brokers and a run take more of a machine than `make test` may ask for

MILLION, WRITERS = 1_000_000, 48
KILLS, RESTARTS = 100, 5
AWAY = 600.0  # seconds
SPARE = 200 << 20  # bytes that the processes of a run may grow by while nothing can be stored
STEP = {"key": "k", "writer": steps.PROBES, "seq": 1 << 40}  # never acknowledged


@pytest.mark.parametrize("encoding", ["arrow", "json"])
def test_a_million_events_a_hundred_kills_and_five_restarts_of_brokers(
    tmp_path: Path, three: Cluster, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """Workers and gateways die at any moment, also while what died before is on its way back."""
    monkeypatch.setattr(rig, "brokers", three.bootstrap)
    rng, kills, began = random.Random(5), Counter[str](), time.monotonic()
    restarts = set(rng.sample(range(5, KILLS - 5), RESTARTS))
    with rig.running(steps.APP, tmp_path, env={"STEPS_ENCODING": encoding}) as running:
        with steps.load(running.url, WRITERS, pause=0.1, keys=1_000) as publishers:
            while kills.total() < KILLS or written(publishers) < MILLION:
                assert not any(publisher.error for publisher in publishers)
                time.sleep(rng.uniform(0.5, 5.0))
                role = rng.choice(("gateway", "worker"))
                kills[role] += running.kill(role, rng) is not None
                if kills.total() in restarts:
                    restarts.remove(kills.total())
                    restart(three, rng)
                if kills.total() % 10 == 0:
                    print(f"{time.monotonic() - began:.0f} s: {kills.total()} kills, {written(publishers)} events")
        assert not restarts
        assert rig.eventually(lambda: steps.lag(running.url) == 0, 10 * rig.PATIENCE)
        assert running.stop() == 0
    three.heal()  # a replica that is behind is no reason to find nothing
    stored = steps.judge(tmp_path, publishers)
    if encoding == "json":
        ids = ids_for_any_client(three.bootstrap, f"{rig.log_url(tmp_path).rpartition('/')[2]}.copies")
        assert len(ids) == len(set(ids)) == stored.height
    retried = sum(publisher.retried for publisher in publishers)
    print(
        f"{written(publishers)} events acknowledged, {retried} requests repeated, {stored.height} stored, {dict(kills)}"
    )


def test_brokers_away_for_ten_minutes(tmp_path: Path, three: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """F11: nothing is acknowledged meanwhile and nothing piles up; afterwards everything goes on by itself."""
    monkeypatch.setattr(rig, "brokers", three.bootstrap)
    with rig.running(steps.APP, tmp_path) as running:
        with steps.load(running.url, pause=0.05, patience=AWAY + 3 * rig.PATIENCE) as publishers:
            steps.probe(running.url, 0)
            began, memory = time.monotonic(), resident(running)
            for node in three.nodes:
                node.kill()
            time.sleep(30)  # what was on its way has been answered
            done, pids = [publisher.done for publisher in publishers], {p.pid for p in running.family()}
            while time.monotonic() < began + AWAY:
                answer = httpx.post(f"{running.url}/topics/steps/events", json=[STEP], timeout=60)
                assert answer.status_code == 503 and answer.headers["retry-after"], answer.text
                assert httpx.get(f"{running.url}/readyz", timeout=30).status_code == 503
                time.sleep(10)
            assert done == [publisher.done for publisher in publishers], "acknowledged what no broker has"
            assert pids == {p.pid for p in running.family()}, "somebody ended because the brokers were away"
            assert resident(running) - memory < SPARE, f"grown by {resident(running) - memory >> 20} MiB"
            three.heal()
            steps.probe(running.url, 1)
            assert rig.eventually(lambda: httpx.get(f"{running.url}/readyz", timeout=30).status_code == 200)
        assert steps.drained(running.url)
        assert pids == {p.pid for p in running.family()}, "somebody ended because the brokers came back"
        assert running.stop() == 0
    steps.judge(tmp_path, publishers)


def resident(running: rig.Rig) -> int:
    return sum(process.memory_info().rss for process in running.family())


def written(publishers: list[rig.Publisher]) -> int:
    return sum(publisher.done for publisher in publishers) * steps.SIZE


def restart(brokers: Cluster, rng: random.Random) -> None:
    """Hard, and away for a while."""
    number = rng.randint(1, len(brokers.nodes))
    brokers.kill(number)
    time.sleep(rng.uniform(0.0, 3.0))
    brokers.start(number)


def ids_for_any_client(bootstrap: str, topic: str) -> list[str]:
    """The ``ce_id`` of each record that a consumer of the field finds, with its default isolation: read_committed."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "any", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    ids, ended = [], set[int | None]()
    until = time.monotonic() + 10 * rig.PATIENCE
    while len(ended) < len(partitions):
        assert time.monotonic() < until, f"the ends of {len(partitions) - len(ended)} partitions were not found"
        for message in consumer.consume(10_000, 1.0):
            if message.error() is None:
                identity = dict(message.headers() or ())["ce_id"]
                assert isinstance(identity, bytes)
                ids.append(identity.decode())
            else:
                ended.add(message.partition())
    consumer.close()
    return ids
