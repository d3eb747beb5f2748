"""Topics that are deleted and made again under the same name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tests.log.kafka.child import NUMBERS, rows
from tests.log.kafka.moving import eventually, read_on

from penstock.batch import Batch, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.errors import Fenced, LogError, LogRefused, Overtaken
from penstock.log.interface import Advance
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.cluster.client import admin
from penstock.log.kafka.log import KafkaLog
from penstock.log.kafka.topics.topic_ids import TopicIds
from penstock.settings import Settings


class Ours:
    """One topic of one partition, on brokers of which nothing else is asked."""

    def __init__(self, address: Address) -> None:
        self.log = KafkaLog(address, settings=Settings(member_timeout=6.0, poll_interval=0.2))
        self.spec = TopicSpec("t", NUMBERS, 1)
        self.log.create(self.spec)
        self.name, self.admin = self.log.catalog.name("t"), admin(address)

    def append(self, *numbers: int) -> None:
        self.log.append([Write("t", 0, rows([n])) for n in numbers])

    def delete(self) -> None:
        self.admin.delete_topics([self.name])[self.name].result(30)
        eventually(lambda: self.name not in self.admin.list_topics(timeout=10).topics, "the topic is gone")


@pytest.fixture
def ours(kafka: str, prefix: str) -> Iterator[Ours]:
    ours = Ours(Address(kafka, prefix))
    yield ours
    ours.log.close()


def test_a_topic_keeps_its_id_until_it_is_made_anew(ours: Ours) -> None:
    clock = ManualClock()
    identities = TopicIds(ours.admin, clock)
    first = identities.of([ours.name, "not-there"], 1.0)
    assert list(first) == [ours.name] and first == identities.of([ours.name], 0.0)
    ours.delete()
    assert identities.of([ours.name], 1.0) == first  # no second has passed: nobody was asked
    clock.advance(1.0)
    assert identities.of([ours.name], 1.0) == {}
    ours.log.create(ours.spec)
    assert list(again := identities.of([ours.name], 0.0)) == [ours.name] and again != first


def test_a_topic_that_is_gone_is_told_and_others_are_served(ours: Ours) -> None:
    ours.log.create(TopicSpec("other", NUMBERS, 1))
    ours.append(1)
    reader = ours.log.reader("g", ["t", "other"], "m")
    got: list[Batch] = []
    eventually(lambda: values(read_on(reader, got)) == [1], "it is read")
    reader.commit([Advance("t", 0, got[-1].through)], [])
    ours.delete()
    with pytest.raises(LogRefused, match="topic 't' is not on the brokers any more"):
        ours.log.ends("t")
    for _ in range(2):
        with pytest.raises(LogRefused, match="topic 't' is not on the brokers any more"):
            ours.append(2)
    ours.log.append([Write("other", 0, rows([3]))])
    assert "t" not in {state.topic for state in ours.log.groups()}
    ours.log.create(ours.spec)
    ours.append(4)


def test_brokers_that_do_not_answer_are_not_waited_for(ours: Ours) -> None:
    away = TopicIds(admin(Address("127.0.0.1:1", "p")), ManualClock())
    assert away.of([ours.name], 1.0) == {}


def test_a_member_reads_a_topic_made_anew_from_its_first_event(ours: Ours) -> None:
    """Also where the new one reaches beyond where the group stood. What is in hand of the old one is refused."""
    ours.append(*range(5))
    reader = ours.log.reader("g", ["t"], "m")
    hand: list[Batch] = []
    eventually(lambda: values(read_on(reader, hand)) == list(range(5)), "all is in hand")
    ours.delete()
    ours.log.create(ours.spec)
    ours.append(*range(100, 120))
    got: list[Batch] = []
    told: list[LogError] = []
    refused: list[Fenced] = []

    def goes_on() -> bool:
        try:
            got.extend(reader.read(100, 0.2))
        except LogError as error:
            told.append(error)
        if told and not refused:  # the partition is read on when its commit has been refused
            try:
                reader.commit([Advance("t", 0, hand[-1].through)], [])
            except Fenced as error:
                refused.append(error)
        return len(values(got)) >= 20

    eventually(goes_on, "the new topic is read")
    assert values(got) == list(range(100, 120)) and refused
    assert all(isinstance(error, Overtaken) or "t'" in str(error) for error in told)


def values(batches: Sequence[Batch]) -> list[int]:
    return [n for b in batches for n in b.rows.column("n").to_pylist()]
