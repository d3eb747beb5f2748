"""Three brokers that replicate, killed, hung and all away, under writers and movers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest
from tests.brokers.cluster import Cluster
from tests.log.kafka.child import PARTITIONS, opened, rows
from tests.log.kafka.moving import A_LIFE, Moving, encoding, eventually

from penstock.batch import TopicSpec, Write
from penstock.errors import LogUnreachable
from penstock.log.interface import Advance
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.testing.log_contract import NUMBERS, write

pytestmark = pytest.mark.soak  # three brokers take more of a machine than `make test` may ask for

__all__ = ["encoding"]

BOUND = 120.0  # seconds after which a call has raised, whatever the brokers do
SPARE = 200 << 20  # bytes by which a process may grow while it cannot get rid of anything


@pytest.fixture
def moving(three: Cluster, prefix: str, encoding: str) -> Iterator[Moving]:
    moving = Moving(three.bootstrap, prefix, encoding)
    yield moving
    moving.close()


def begin(moving: Moving, movers: int = 2) -> None:
    for partition in range(PARTITIONS):
        moving.write(partition, A_LIFE, most=50)
    for n in range(movers):
        moving.start("move", f"worker-{n}").says("moved")


def end(moving: Moving) -> None:
    """All stop writing, all is moved, and nothing of it is lost or doubled."""
    for partition, writer in list(moving.writers.items()):
        writer.end()
        moving.note(partition)
    moving.finish(600)
    moving.check_acknowledged()
    moving.check_moved()


def goes_on(moving: Moving) -> None:
    """Each writer has something acknowledged, and each mover moves something, from now on."""
    writers = list(moving.writers.values())
    for process in moving.children:
        process.forget()
    for process in moving.children:
        process.says(tuple("123456789") if process in writers else "moved", within=180)


def test_brokers_killed_hard_in_the_middle_of_appends_and_commits(three: Cluster, moving: Moving) -> None:
    begin(moving)
    for number in random.Random(3).sample([1, 2, 3], 2):
        time.sleep(2)
        three.kill(number)
        time.sleep(4)
        three.start(number)
    goes_on(moving)
    end(moving)


def test_a_broker_that_hangs_for_a_while(three: Cluster, moving: Moving) -> None:
    begin(moving)
    three.hang(2)
    time.sleep(15)
    three.resume(2)
    goes_on(moving)
    end(moving)


def test_all_brokers_away_for_half_a_minute(three: Cluster, moving: Moving) -> None:
    """Nothing is acknowledged meanwhile, whoever waits is told, and no memory is filled."""
    begin(moving)
    before = {p.popen.pid: psutil.Process(p.popen.pid).memory_info().rss for p in moving.children}
    for number in (1, 2, 3):
        three.kill(number)
    heard = {id(p): len(p.said) for p in moving.writers.values()}
    time.sleep(30)
    for process in moving.writers.values():
        since = [said for said in process.said[heard[id(process)] :] if said != "away"]
        assert len(since) <= 1, "acknowledged what no broker has"  # one line may have been on its way to us
    for process in moving.writers.values():
        process.says("away", within=BOUND)
    for process in moving.children:
        grown = psutil.Process(process.popen.pid).memory_info().rss - before[process.popen.pid]
        assert grown < SPARE, f"grown by {grown >> 20} MiB"
    for node in three.nodes:
        node.start()
    three.heal()
    goes_on(moving)
    end(moving)


def test_the_first_look_after_a_brokers_death_finds_all_groups(three: Cluster, prefix: str) -> None:
    """Also those that it coordinated: they have another coordinator by then."""
    with closing(KafkaLog(Address(three.bootstrap, prefix))) as log:
        log.create(TopicSpec("t", NUMBERS))
        log.append([write(range(10))])
        for n in range(8):
            with closing(log.reader(f"g{n}", ["t"], "m")) as reader:
                reader.read(10, 0)
                reader.commit([Advance("t", 0, n)], [])
        before = through(log)
        assert sorted(n for n in before.values() if n is not None) == list(range(8))
        for number in (1, 2, 3):
            three.kill(number)
            assert through(log) == before
            three.heal()


def through(log: KafkaLog) -> dict[str, int | None]:
    return {state.group: state.through for state in log.groups()}


def test_an_append_without_brokers_raises_in_bounded_time(three: Cluster, moving: Moving) -> None:
    log = opened(moving.brokers, moving.namespace, moving.encoding)
    try:
        log.append([Write("in", 0, rows([1]))])
        for number in (1, 2, 3):
            three.hang(number)
        for partitions in (1, 2):
            began = time.monotonic()
            with pytest.raises(LogUnreachable):
                log.append([Write("in", p, rows([2])) for p in range(partitions)])
            assert time.monotonic() - began < BOUND
        for number in (1, 2, 3):
            three.resume(number)
        eventually(lambda: appended(log), "appends work again", 180)
    finally:
        log.close()
    found = [n for ns in moving.stored("in").values() for n in ns]
    assert found.count(1) == 1 and found.count(3) == 1


def appended(log: KafkaLog) -> bool:
    try:
        log.append([Write("in", 0, rows([3]))])
    except LogUnreachable:
        return False
    return True


@pytest.mark.soak
def test_a_million_events_a_hundred_kills_and_five_restarts_of_brokers(three: Cluster, moving: Moving) -> None:
    rng = random.Random(11)
    most = 20 if moving.encoding == "arrow" else 500  # of `arrow` they write by far the most, and all is compared
    stages = [moving.start("move", f"worker-{n}") for n in range(2)]
    for partition in range(PARTITIONS):
        moving.write(partition, A_LIFE, most)
    restarts = iter(sorted(rng.sample(range(5, 95), 5)))
    restart = next(restarts)
    kills = 0
    while kills < 100 or sum(map(len, moving.acknowledged.values())) < 1_000_000:
        time.sleep(rng.uniform(0.5, 2.5))
        kills += 1
        if kills == restart:
            number = rng.randint(1, 3)
            three.kill(number)
            time.sleep(rng.uniform(0, 3))
            three.start(number)
            restart = next(restarts, -1)
        if rng.random() < 0.5:
            victim = rng.randrange(len(stages))
            stages[victim].end()
            stages[victim] = moving.start("move", f"worker-{victim}")
        else:
            partition = rng.randrange(PARTITIONS)
            moving.writers[partition].end()
            moving.note(partition)
            moving.write(partition, A_LIFE, most)
    end(moving)
    events = sum(map(len, moving.acknowledged.values()))
    print(f"{events} events acknowledged, {kills} kills")
