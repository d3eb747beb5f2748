"""What an operator sees of a log on Kafka: exact where it can be, cheap, and with as many topics as one likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Literal

import pytest
from confluent_kafka import Consumer

from penstock.batch import TopicSpec
from penstock.log.interface import Advance, GroupState
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.inspect import sampling
from penstock.log.kafka.log import KafkaLog
from penstock.testing.log_contract import NUMBERS, write

Encoding = Literal["arrow", "json"]


@pytest.fixture
def log(kafka: str, prefix: str) -> Iterator[KafkaLog]:
    with closing(KafkaLog(Address(kafka, prefix))) as log:
        yield log


def numbers(encoding: Encoding, name: str = "t", partitions: int = 1) -> TopicSpec:
    return TopicSpec(name, NUMBERS, partitions, encoding=encoding)


def deal(log: KafkaLog, count: int, topic: str = "t") -> None:
    """Let group g deal with so many events, in one commit."""
    with closing(log.reader("g", [topic], "worker-1")) as reader:
        while count > 0 and (batches := reader.read(count, 0.0)):
            reader.commit([Advance(b.topic, b.partition, int(b.positions[-1])) for b in batches], [])
            count -= sum(map(len, batches))


def lag(log: KafkaLog) -> dict[tuple[str, int], int]:
    return {(s.topic, s.partition): s.lag_events for s in log.groups()}


def only(states: Sequence[GroupState]) -> GroupState:
    (state,) = states
    return state


@pytest.mark.parametrize("encoding", ["arrow", "json"])
def test_lag_is_counted_in_events(log: KafkaLog, encoding: Encoding) -> None:
    """Whatever the records are, and with the records that end transactions in between."""
    log.create(numbers(encoding, partitions=2))
    for size in (3, 40, 1, 7):
        log.append([write(range(size)), write(range(2), partition=1)])
    with closing(log.reader("g", ["t"], "worker-1")):
        assert lag(log) == {("t", 0): 51, ("t", 1): 8}
    deal(log, 20)
    assert sum(lag(log).values()) == 39
    deal(log, 100)
    assert lag(log) == {("t", 0): 0, ("t", 1): 0}
    assert {s.lag_seconds for s in log.groups()} == {0.0}


@pytest.mark.parametrize("encoding", ["arrow", "json"])
def test_far_behind_it_is_exact_for_records_of_one_size(
    log: KafkaLog, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "RECORDS", 5)
    log.create(numbers(encoding))
    for _ in range(30):
        log.append([write(range(10))]) if encoding == "arrow" else [log.append([write([n])]) for n in range(10)]
    deal(log, 3)
    assert only(log.groups()).lag_events == 297
    assert [s.events for s in log.partitions("t")] == [300]


def test_far_behind_it_is_an_estimate_for_others(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small records first and large ones later: what is read is taken for what follows. Nearer, it is right again."""
    monkeypatch.setattr(sampling, "RECORDS", 5)
    log.create(numbers("arrow"))
    for size in [10] * 20 + [30] * 5:
        log.append([write(range(size))])
    deal(log, 1)
    assert only(log.groups()).lag_events == 249  # 349 it is
    deal(log, 200)
    assert only(log.groups()).lag_events == 149


def test_a_group_without_a_position_is_behind_by_everything(log: KafkaLog) -> None:
    log.create(numbers("arrow"))
    log.append([write(range(10))])
    with closing(log.reader("g", ["t"], "worker-1")):
        state = only(log.groups())
    assert (state.through, state.lag_events) == (None, 10)


def test_seconds_are_the_age_of_the_first_event_left(log: KafkaLog) -> None:
    log.create(numbers("json"))
    spans = [log.append([write([n])])[0] for n in range(3)]
    deal(log, 1)
    with closing(log.reader(None, ["t"], "m")) as reader:
        appended = [t for b in reader.read(10, 1.0) for t in b.appended.tolist()]
    before = log._clock.now()
    state = only(log.groups())
    after = log._clock.now()
    assert state.through == spans[0].last
    assert before - appended[1] <= state.lag_seconds * 1e6 + 1_000 and state.lag_seconds * 1e6 <= after - appended[1]


def test_owners_are_told_with_their_host(log: KafkaLog) -> None:
    log.create(numbers("arrow"))
    with closing(log.reader("g", ["t"], "worker-1")):
        assert only(log.groups()).owner == "worker-1@127.0.0.1"
    deal(log, 1)
    assert all(state.owner is None for state in log.groups())


def test_other_apps_are_not_seen(log: KafkaLog, kafka: str, prefix: str) -> None:
    log.create(numbers("arrow"))
    with closing(KafkaLog(Address(kafka, f"other.{prefix}"))) as other:
        other.create(numbers("arrow"))
        with closing(other.reader("g", ["t"], "m")):
            assert log.groups() == []
            assert [state.group for state in other.groups()] == ["g"]


def test_a_look_at_hundreds_of_topics_takes_one_consumer(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    assigned: list[int] = []

    class Counted(Consumer):
        def __init__(self, settings: dict[str, Any]) -> None:
            made.append(self)
            super().__init__(settings)

        def assign(self, partitions: list[Any]) -> None:
            assigned.append(len(partitions))
            super().assign(partitions)

    monkeypatch.setattr(sampling, "Consumer", Counted)
    names = [f"t{n}" for n in range(200)]
    for name in names:
        log.create(numbers("arrow", name, 1))
    log.append([write(range(n % 5 + 1), topic=name) for n, name in enumerate(names)])
    with closing(log.reader("g", names, "worker-1")) as reader:
        first = reader.read(1, 1.0)[0]
        reader.commit([Advance(first.topic, first.partition, first.through)], [])
        expected = {(name, 0): n % 5 + 1 for n, name in enumerate(names)}
        expected[first.topic, 0] -= 1
        assert lag(log) == expected
        assert (len(made), assigned) == (1, [200])
        assert lag(log) == expected
        assert assigned == [200], "nothing moved, so nothing is read again"
        log.append([write(range(9), topic="t7")])
        assert lag(log) == expected | {("t7", 0): expected["t7", 0] + 9}
        assert (len(made), assigned) == (1, [200, 1])


def test_two_groups_at_two_places_of_one_partition(log: KafkaLog) -> None:
    log.create(numbers("arrow"))
    log.append([write(range(5))])
    log.append([write(range(5))])
    deal(log, 5)
    with closing(log.reader("h", ["t"], "m")):
        assert {s.group: s.lag_events for s in log.groups()} == {"g": 5, "h": 10}


def test_what_the_brokers_do_not_send_in_time_counts_as_an_event_a_record(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.create(numbers("arrow"))
    log.append([write(range(50))])
    with closing(log.reader("g", ["t"], "worker-1")):
        monkeypatch.setattr(sampling, "WITHIN_S", 0.0)
        assert only(log.groups()).lag_events == 1
        monkeypatch.undo()
        assert only(log.groups()).lag_events == 50


def test_bytes_and_events_of_a_topic(log: KafkaLog) -> None:
    log.create(numbers("json", partitions=2))
    log.append([write(range(10))])
    log.append([write([1], partition=1)])
    states = log.partitions("t")
    assert [s.events for s in states] == [10, 1]
    assert [s.bytes for s in states] == [len(b'{"n":1}') * 10, len(b'{"n":1}')]
