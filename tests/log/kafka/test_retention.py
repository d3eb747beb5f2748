"""Retention as the broker applies it, by its own clock. What is asked for is short, and waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pyarrow as pa
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from tests.log.kafka.child import NUMBERS, rows
from tests.log.kafka.moving import encoding, eventually

from penstock.batch import AppendResult, Batch, TopicSpec, Write
from penstock.errors import Overtaken
from penstock.log.interface import Advance, Seek
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.settings import Settings

pytestmark = pytest.mark.soak  # minutes, which groups and transactions spend on waiting

__all__ = ["encoding"]

SECOND = 1_000_000
HOUR = 3_600 * SECOND


class Small:
    """A log whose topics have segments of a few records, since a broker removes whole ones only."""

    def __init__(self, brokers: str, namespace: str, encoding: str) -> None:
        self.log = KafkaLog(Address(brokers, namespace), settings=Settings(member_timeout=6.0, poll_interval=0.2))
        self._brokers, self._namespace, self._encoding = brokers, namespace, encoding

    def create(self, **limits: Any) -> None:
        self.log.create(TopicSpec("t", NUMBERS, 1, encoding=cast(Any, self._encoding), **limits))

    def cut(self, **settings: int) -> None:
        """Set the topic's segments."""
        entries = [
            ConfigEntry(name.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, f"{self._namespace}t", incremental_configs=entries)
        admin = AdminClient({"bootstrap.servers": self._brokers})
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(30)

    def append(self, numbers: Sequence[int]) -> AppendResult:
        return self.log.append([Write("t", 0, rows(list(numbers)))])[0]

    def left(self) -> list[int]:
        reader = self.log.reader(None, ["t"], "look")
        try:
            return values(drain(reader))
        finally:
            reader.close()


@pytest.fixture
def small(kafka: str, prefix: str, encoding: str) -> Iterator[Small]:
    small = Small(kafka, prefix, encoding)
    yield small
    small.log.close()


def drain(reader: Any) -> list[Batch]:
    found: list[Batch] = []
    while batches := reader.read(10_000, 0):
        found += batches
    return found


def values(batches: Sequence[Batch]) -> list[int]:
    return [n for b in batches for n in pa.array(b.rows.column("n")).to_pylist()]


def test_retention_by_age_removes_what_is_older_and_nothing_else(small: Small) -> None:
    small.create(retain_us=2 * SECOND)
    small.cut(segment_ms=500)
    small.append(range(5))
    time.sleep(0.6)  # the broker begins a segment when the former one is as old as that
    kept = small.append(range(5, 10))
    eventually(lambda: 0 not in small.left(), "the older ones are removed")
    small.create(retain_us=HOUR)
    small.append([10])
    left = small.left()
    assert left[-1] == 10 and left[:-1] in ([5, 6, 7, 8, 9], []), "a segment goes as a whole"
    assert small.log.partitions("t")[0].earliest >= kept.first


def test_retention_by_size_keeps_the_newest(small: Small) -> None:
    """The broker's smallest segment is 1 MiB."""
    small.create(retain_bytes=2 << 20)
    small.cut(segment_bytes=1 << 20)
    n = 0
    while not n or small.log.partitions("t")[0].earliest == 0:
        assert n < 16_000_000, "nothing is ever removed"
        small.append(range(n, n + 40_000))
        n += 40_000
    left = small.left()
    assert 0 < left[0] < n - 20_000 and left == list(range(left[0], n)), "the end is left, without a gap"


def test_a_group_that_retention_overtook_is_told_once_and_goes_on(small: Small) -> None:
    small.create(retain_us=HOUR)
    small.cut(segment_ms=500)
    small.append(range(5))
    reader = small.log.reader("g", ["t"], "m")
    begun = reader.read(2, 5)
    reader.commit([Advance("t", 0, b.through) for b in begun], [])
    reader.close()
    time.sleep(0.6)
    kept = small.append(range(5, 10))
    small.create(retain_us=SECOND)
    eventually(lambda: small.log.partitions("t")[0].earliest >= kept.first, "the older ones are removed")
    small.create(retain_us=HOUR)
    last = small.append([10])
    reader = small.log.reader("g", ["t"], "m")
    told: list[Overtaken] = []
    got: list[Batch] = []

    def goes_on() -> bool:
        try:
            got.extend(reader.read(100, 0.2))
        except Overtaken as error:
            told.append(error)
        return 10 in values(got)

    eventually(goes_on, "it goes on")
    drain(reader)
    assert [(e.topic, e.partition) for e in told] == [("t", 0)]
    assert kept.first <= told[0].earliest <= int(got[0].positions[0])
    reader.commit([Advance("t", 0, b.through) for b in got], [])
    assert {s.through for s in small.log.groups()} == {last.last} or small.log.groups()[0].through is not None
    reader.close()


def test_a_member_whose_group_committed_nothing_is_told(small: Small) -> None:
    """For as long as it owns the partition: the brokers keep no position of a group that has committed none."""
    small.create(retain_us=HOUR)
    small.cut(segment_ms=500)
    small.append(range(5))
    reader = small.log.reader("g", ["t"], "m")
    eventually(lambda: bool(drain(reader)), "it is given something")
    time.sleep(0.6)
    kept = small.append(range(5, 10))
    small.create(retain_us=SECOND)
    eventually(lambda: small.log.partitions("t")[0].earliest >= kept.first, "the older ones are removed")
    small.create(retain_us=HOUR)
    reader.seek(Seek("t", None, "committed"))
    with pytest.raises(Overtaken) as told:
        drain(reader)
    assert told.value.earliest >= kept.first
    reader.seek(Seek("t", None, "committed"))
    drain(reader)
    reader.close()


def test_positions_go_on_after_everything_expired(small: Small) -> None:
    small.create(retain_us=SECOND)
    small.cut(segment_ms=500)
    first = small.append(range(5))
    eventually(lambda: not small.left(), "all is removed")
    small.create(retain_us=HOUR)
    assert small.append([5]).first > first.last
    assert small.left() == [5]


def test_raising_retention_brings_nothing_back_and_lowering_it_counts(small: Small) -> None:
    small.create(retain_us=SECOND)
    small.cut(segment_ms=500)
    small.append(range(5))
    eventually(lambda: not small.left(), "all is removed")
    small.create(retain_us=HOUR)
    assert small.left() == []
    small.append(range(5, 10))
    time.sleep(2)
    assert small.left() == [5, 6, 7, 8, 9]
    small.create(retain_us=SECOND)
    eventually(lambda: not small.left(), "what is older than the new limit is removed")


def test_seek_by_time(small: Small) -> None:
    small.create()
    small.append([0, 1])
    time.sleep(0.05)
    between = datetime.now(UTC)
    time.sleep(0.05)
    small.append([2, 3])
    reader = small.log.reader("g", ["t"], "m")
    for to, expected in (
        (between, [2, 3]),
        (datetime(2000, 1, 1, tzinfo=UTC), [0, 1, 2, 3]),
        (datetime(2100, 1, 1, tzinfo=UTC), []),
    ):
        reader.seek(Seek("t", 0, to))
        assert values(drain(reader)) == expected
    small.append([4])
    assert values(drain(reader)) == [4], "the end at that time"
