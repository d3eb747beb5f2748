"""Other clients on the same cluster: in our group, in our topics, and deleting them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from tests.log.kafka.child import NUMBERS, rows
from tests.log.kafka.moving import PATIENCE, encoding, eventually

from penstock.batch import Batch, TopicSpec, Write
from penstock.errors import LogError, Overtaken
from penstock.log.interface import Advance
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.consume.reader import KafkaReader
from penstock.log.kafka.log import KafkaLog
from penstock.settings import Settings

pytestmark = pytest.mark.soak  # minutes, which groups and transactions spend on waiting

__all__ = ["encoding"]


class Ours:
    def __init__(self, brokers: str, prefix: str, encoding: str) -> None:
        self.brokers, self.prefix = brokers, prefix
        self.log = KafkaLog(Address(brokers, prefix), settings=Settings(member_timeout=6.0, poll_interval=0.2))
        self.spec = TopicSpec("t", NUMBERS, 1, encoding=cast(Any, encoding))
        self.admin = AdminClient({"bootstrap.servers": brokers})
        self.log.create(self.spec)

    def append(self, *numbers: int, topic: str = "t") -> int:
        return self.log.append([Write(topic, 0, rows(list(numbers)))])[0].last

    def produce(self, value: bytes | None, **settings: Any) -> int:
        """As another client would; its position."""
        producer = Producer({"bootstrap.servers": self.brokers, "acks": "all", **settings})
        offsets: list[int] = []
        producer.produce(f"{self.prefix}t", value, on_delivery=lambda _e, m: offsets.append(cast(int, m.offset())))
        producer.flush(30)
        return self.log.catalog.numbering("t").position(offsets[0])

    def delete(self) -> None:
        for future in self.admin.delete_topics([f"{self.prefix}t"]).values():
            future.result(30)
        eventually(lambda: f"{self.prefix}t" not in self.admin.list_topics(timeout=10).topics, "the topic is gone")


@pytest.fixture
def ours(kafka: str, prefix: str, encoding: str) -> Iterator[Ours]:
    ours = Ours(kafka, prefix, encoding)
    yield ours
    ours.log.close()


def values(batches: Sequence[Batch]) -> list[int]:
    return [n for b in batches for n in pa.array(b.rows.column("n")).to_pylist()]


def reads(reader: KafkaReader, last: int) -> tuple[list[Batch], list[LogError]]:
    """All up to that number, and what was raised on the way."""
    got: list[Batch] = []
    told: list[LogError] = []

    def goes_on() -> bool:
        try:
            got.extend(reader.read(1_000, 0.2))
        except LogError as error:
            told.append(error)
        return last in values(got)

    eventually(goes_on, f"{last} is read")
    return got, told


def commit(reader: KafkaReader, batches: Sequence[Batch]) -> None:
    reader.commit([Advance("t", 0, max(b.through for b in batches))], [])


# -- in our group -------------------------------------------------------------


@contextmanager
def stranger(ours: Ours, **settings: Any) -> Iterator[None]:
    """Another client that owns what our group reads, and polls as it should."""
    consumer = Consumer({"bootstrap.servers": ours.brokers, "group.id": f"{ours.prefix}g", **settings})
    given, ended = threading.Event(), threading.Event()
    consumer.subscribe([f"{ours.prefix}t"], on_assign=lambda _consumer, places: given.set() if places else None)

    def poll() -> None:
        while not ended.is_set():
            consumer.poll(0.1)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        assert given.wait(PATIENCE), "the stranger never got a partition"
        yield
    finally:
        ended.set()
        thread.join()
        consumer.close()


def test_a_group_in_use_by_a_stranger_is_refused_and_works_when_it_has_gone(ours: Ours) -> None:
    ours.append(1)
    with (
        stranger(ours, **{"partition.assignment.strategy": "range"}),
        pytest.raises(LogError, match=r"group '.*g' is in use by other clients"),
    ):
        ours.log.reader("g", ["t"], "m")
    reader = ours.log.reader("g", ["t"], "m")
    got, told = reads(reader, 1)
    assert not told
    commit(reader, got)


def test_a_group_is_shared_with_a_stranger_of_the_newer_protocol(ours: Ours) -> None:
    """There the broker shares out the partitions, and takes members that would rather do so themselves."""
    ours.append(1)
    with stranger(ours, **{"group.protocol": "consumer"}):
        reader = ours.log.reader("g", ["t"], "m")
        assert not reader.read(10, 1)
    got, told = reads(reader, 1)
    assert not told
    commit(reader, got)


def test_a_stranger_that_comes_later_disturbs_nobody(ours: Ours) -> None:
    ours.append(1)
    reader = ours.log.reader("g", ["t"], "m")
    reads(reader, 1)
    other = Consumer(
        {"bootstrap.servers": ours.brokers, "group.id": f"{ours.prefix}g", "partition.assignment.strategy": "range"}
    )
    other.subscribe([f"{ours.prefix}t"])
    assert any(m is not None and m.error() for m in (other.poll(0.5) for _ in range(60))), "it was let in"
    ours.append(2)
    got, told = reads(reader, 2)
    assert not told
    commit(reader, got)
    other.close()


# -- in our topics ------------------------------------------------------------


def test_records_that_cannot_be_read_come_as_rejected_and_are_passed(ours: Ours) -> None:
    ours.append(1)
    places = [ours.produce(None), ours.produce(b"\xff\xff\xff\xff\x10\x00\x00\x00rubbish")]
    ours.append(2)
    reader = ours.log.reader("g", ["t"], "m")
    got, told = reads(reader, 2)
    assert not told and [r.position for b in got for r in b.rejected] == places and values(got) == [1, 2]
    commit(reader, got)
    reader.close()
    ours.append(3)
    got, told = reads(ours.log.reader("g", ["t"], "m"), 3)
    assert not told and not any(b.rejected for b in got) and values(got) == [3]


def test_a_record_larger_than_ours_may_be_is_read(ours: Ours) -> None:
    entry = ConfigEntry("max.message.bytes", str(8 << 20), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, f"{ours.prefix}t", incremental_configs=[entry])
    for future in ours.admin.incremental_alter_configs([resource]).values():
        future.result(30)
    place = ours.produce(b"x" * (5 << 20), **{"message.max.bytes": 8 << 20})
    ours.append(1)
    got, told = reads(ours.log.reader("g", ["t"], "m"), 1)
    (rejected,) = [r for b in got for r in b.rejected]
    assert not told and rejected.position == place and len(rejected.payload) == 5 << 20


def test_an_event_too_large_is_refused_and_nothing_of_its_append_is_stored(ours: Ours) -> None:
    text = pa.schema([pa.field("text", pa.string(), nullable=False)])
    ours.log.create(TopicSpec("large", text, 1, encoding=ours.spec.encoding))

    def write(*sizes: int) -> Write:
        return Write("large", 0, pa.record_batch([pa.array(["x" * size for size in sizes])], schema=text))

    with pytest.raises(LogError, match="does not fit a record"):
        ours.log.append([write(10, 2 << 20)])
    ours.log.append([write(900_000, 10)])
    found = ours.log.reader(None, ["large"], "m").read(10, 5)
    assert [len(t) for b in found for t in b.rows.column("text").to_pylist()] == [900_000, 10]


# -- topics that go -----------------------------------------------------------


def raises(act: Callable[[], object]) -> LogError:
    found: list[LogError] = []

    def tried() -> bool:
        try:
            act()
        except LogError as error:
            found.append(error)
        return bool(found)

    eventually(tried, "it is told")
    return found[0]


def test_a_deleted_topic_is_told_and_the_others_go_on(ours: Ours) -> None:
    ours.log.create(TopicSpec("other", NUMBERS, 1, encoding=ours.spec.encoding))
    ours.append(1)
    reader = ours.log.reader("g", ["t", "other"], "m")
    reads(reader, 1)
    ours.delete()
    assert "t" in str(raises(lambda: ours.append(2)))
    assert "read topic 't'" in (said := str(raises(lambda: reader.read(10, 0.2)))) or "read t/0" in said
    ours.append(3, topic="other")
    got, _ = reads(reader, 3)
    assert values(got) == [3]


@pytest.mark.parametrize("filled", [1, 40])
def test_a_topic_made_anew_under_a_group_is_read_from_its_beginning(ours: Ours, filled: int) -> None:
    """Filled again beyond where the group stood, it looks as if nothing had happened."""
    for n in range(20):
        ours.append(n)
    reader = ours.log.reader("g", ["t"], "m")
    got, _ = reads(reader, 19)
    commit(reader, got)
    ours.delete()
    ours.log.create(ours.spec)
    for n in range(100, 100 + filled):
        ours.append(n)
    got, told = reads(reader, 99 + filled)
    assert values(got) == list(range(100, 100 + filled))
    assert all(isinstance(error, Overtaken) or "t'" in str(error) for error in told)
    commit(reader, got)
    reader.close()
    ours.append(1_000)
    got, told = reads(ours.log.reader("g", ["t"], "m"), 1_000)
    assert values(got) == [1_000] and not told


@pytest.mark.parametrize("filled", [1, 40])
def test_a_topic_made_anew_while_its_group_was_away_is_read_from_its_beginning(ours: Ours, filled: int) -> None:
    for n in range(20):
        ours.append(n)
    reader = ours.log.reader("g", ["t"], "m")
    got, _ = reads(reader, 19)
    commit(reader, got)
    reader.close()
    ours.delete()
    ours.log.create(ours.spec)
    for n in range(100, 100 + filled):
        ours.append(n)
    got, _ = reads(ours.log.reader("g", ["t"], "m"), 99 + filled)
    assert values(got) == list(range(100, 100 + filled))
