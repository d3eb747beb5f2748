"""What a reader may commit: only what it owns, and the brokers do not look at that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from confluent_kafka import TopicPartition
from tests.log.elsewhere import LogElsewhere
from tests.log.kafka.child import NUMBERS, rows
from tests.log.kafka.moving import eventually, read_on

from penstock.batch import Batch, TopicSpec, Write
from penstock.errors import Fenced, LogUnreachable
from penstock.log.interface import Advance
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.consume import consumer
from penstock.log.kafka.consume.assignment import Assignment
from penstock.log.kafka.consume.consumer import GroupConsumer
from penstock.log.kafka.consume.reader import KafkaReader
from penstock.log.kafka.log import KafkaLog
from penstock.log.kafka.produce import transactions
from penstock.log.kafka.produce.transactions import Transactions
from penstock.settings import Settings


@pytest.fixture
def log(kafka: str, prefix: str) -> Iterator[KafkaLog]:
    log = KafkaLog(Address(kafka, prefix), settings=Settings(member_timeout=6.0, poll_interval=0.2))
    for topic in ("in", "out"):
        log.create(TopicSpec(topic, NUMBERS, 2))
    yield log
    log.close()


def move(reader: KafkaReader, batches: Sequence[Batch]) -> None:
    done = [Advance(b.topic, b.partition, b.through) for b in batches]
    reader.commit(done, [Write("out", b.partition, b.rows) for b in batches])


def moved(log: KafkaLog) -> Counter[int]:
    found: Counter[int] = Counter()
    reader = log.reader(None, ["out"], "check")
    while batches := reader.read(1_000, 0):
        found.update(values(batches))
    return found


def lose_one_with_rows_in_hand(log: KafkaLog) -> tuple[KafkaReader, list[Batch], set[tuple[str, int]]]:
    """A reader, what it has in hand, and which of these partitions another has taken over and dealt with by now."""
    log.append([Write("in", p, rows([10 * p, 10 * p + 1])) for p in range(2)])
    first = log.reader("g", ["in"], "first")
    hand: list[Batch] = []
    eventually(lambda: len(read_on(first, hand)) == 2, "both partitions are in hand")
    second = log.reader("g", ["in"], "second")
    taken: list[Batch] = []
    eventually(lambda: first.read(10, 0.1) or read_on(second, taken), "another has taken its share")
    move(second, taken)
    return first, hand, {(b.topic, b.partition) for b in taken}


def test_a_commit_of_a_partition_that_was_given_away_is_refused_and_nothing_doubled(log: KafkaLog) -> None:
    first, hand, lost = lose_one_with_rows_in_hand(log)
    with pytest.raises(Fenced) as refused:
        move(first, hand)
    assert refused.value.lost == lost and len(lost) == 1
    move(first, [b for b in hand if (b.topic, b.partition) not in lost])
    assert moved(log) == Counter([0, 1, 10, 11])


def test_mutant_no_look_at_ownership_before_the_offsets_are_sent_is_caught(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brokers take the positions: the member that gave the partition away is in the present generation."""
    monkeypatch.setattr(Assignment, "dropped", lambda self, lost: None)
    first, hand, _ = lose_one_with_rows_in_hand(log)
    move(first, hand)
    assert max(moved(log).values()) == 2, "what another had dealt with was not moved again"


def opened(kafka: str, prefix: str) -> KafkaLog:
    return KafkaLog(Address(kafka, prefix), settings=Settings(member_timeout=1.0, poll_interval=0.2))


def test_what_was_put_out_of_its_group_is_told_of_all_that_it_had_in_hand(
    kafka: str, prefix: str, log: KafkaLog
) -> None:
    """Also of partitions that the commit did not name: their rows are no longer its own."""
    log.append([Write("in", p, rows([p])) for p in range(2)])
    twin = LogElsewhere(opened, kafka, prefix)
    try:
        zombie = twin.reader("g", ["in"], "zombie")
        hand: list[Batch] = []
        eventually(lambda: len(read_on(zombie, hand)) == 2, "both partitions are in hand")
        twin.stop()
        heir = log.reader("g", ["in"], "heir")
        taken: list[Batch] = []
        eventually(lambda: len(read_on(heir, taken)) == 2, "another has taken both")
        move(heir, taken)
        with pytest.raises(Fenced) as refused:
            zombie.commit([Advance(hand[0].topic, hand[0].partition, hand[0].through)], [])
        assert refused.value.lost == {("in", 0), ("in", 1)}
        assert moved(log) == Counter([0, 1])
    finally:
        twin.close()


def shared(log: KafkaLog) -> tuple[KafkaReader, KafkaReader, list[Batch]]:
    """Two readers with a partition each; the second has this in hand, and the first has dealt with its own."""
    one, two = (log.reader("g", ["in"], name) for name in ("one", "two"))
    log.append([Write("in", p, rows([p])) for p in range(2)])
    mine: list[Batch] = []
    hand: list[Batch] = []
    eventually(
        lambda: all((read_on(one, mine), read_on(two, hand))),
        "each has its share",
    )
    move(one, mine)
    return one, two, hand


@pytest.mark.parametrize(
    ("wait", "patience", "times"), [(0.0, 25.0, 1), (0.2, 0.0, 2), (0.2, 25.0, 0)], ids=["at once", "for long", "yet"]
)
def test_partitions_given_while_the_brokers_do_not_answer_are_begun_later(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch, wait: float, patience: float, times: int
) -> None:
    """librdkafka would begin them by itself, with nobody to take the records."""
    one, two, hand = shared(log)
    plain, failures = GroupConsumer.committed, iter(range(2))

    def away(self: GroupConsumer, places: list[TopicPartition], within: float) -> list[TopicPartition]:
        if next(failures, None) is not None:
            raise LogUnreachable("away")
        return plain(self, places, within)

    monkeypatch.setattr(GroupConsumer, "committed", away)
    monkeypatch.setattr(consumer, "UNSETTLED_S", patience)
    two.close()
    told: list[LogUnreachable] = []
    got: list[int] = []

    def goes_on() -> bool:
        try:
            got.extend(values(one.read(9, wait)))
        except LogUnreachable as error:
            told.append(error)
        return bool(got)

    eventually(goes_on, "the share of the one that left")
    assert got == values(hand)
    assert len(told) == times


def go_on_beside_what_a_dead_member_holds(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two dies in the middle of a transaction, which lasts a minute unless its heir ends it."""
    monkeypatch.setattr(transactions, "TRANSACTION_S", 60.0)
    one, two, hand = shared(log)
    with monkeypatch.context() as dying:
        plain, acts = Transactions._insist, iter(("init_transactions", "send_offsets_to_transaction"))

        def insist(self: Transactions, act: Callable[[], None]) -> None:
            if next(acts, None) is None:
                raise SystemExit
            plain(self, act)

        dying.setattr(Transactions, "_insist", insist)
        with pytest.raises(SystemExit):
            move(two, hand)
    asked: list[float] = []
    ask = GroupConsumer.committed

    def committed(self: GroupConsumer, places: list[TopicPartition], within: float) -> list[TopicPartition]:
        asked.append(within)
        return ask(self, places, within)

    monkeypatch.setattr(GroupConsumer, "committed", committed)
    two.close()
    got: list[int] = []

    def read() -> list[int]:
        got.extend(values(one.read(9, 0.2)))
        return got

    def comes(n: int) -> bool:
        return n in read()

    eventually(lambda: not read() and asked, "it is given the share of the one that died")
    for n in (100, 101, 102):
        log.append([Write("in", 1 - hand[0].partition, rows([n]))])
        eventually(partial(comes, n), "its own partition goes on")
    assert got == [100, 101, 102]
    two._storing.settle()  # as its heir does
    eventually(lambda: len(read()) > 3, "it takes up the share of the one that died")
    assert got[3:] == values(hand)


def test_what_a_dead_member_holds_open_holds_up_no_other_partition(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on_beside_what_a_dead_member_holds(log, monkeypatch)


def test_mutant_all_wait_for_what_is_held_open_is_caught(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "UNSETTLED_S", 0.0)
    monkeypatch.setattr("penstock.log.kafka.consume.consumer.ANSWER_S", 3.0)
    with pytest.raises(LogUnreachable, match="positions"):
        go_on_beside_what_a_dead_member_holds(log, monkeypatch)


def values(batches: Sequence[Batch]) -> list[int]:
    return [n for b in batches for n in b.rows.column("n").to_pylist()]
