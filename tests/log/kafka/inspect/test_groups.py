"""What the brokers say of groups, also after they were away."""

from __future__ import annotations

import struct
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.brokers.cluster import Cluster
from tests.log.kafka.moving import eventually

from penstock.batch import TopicSpec
from penstock.errors import LogUnreachable
from penstock.log.interface import Advance
from penstock.log.kafka.cluster import client
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.inspect import groups
from penstock.log.kafka.inspect.groups import assigned
from penstock.log.kafka.log import KafkaLog
from penstock.testing.log_contract import NUMBERS, write

FORGETS = {"metadata.recovery.rebootstrap.trigger.ms": "300"}
"""How soon a client lets go of brokers that are all away, and begins again with the addresses that it was given."""

Shares = dict[str, list[int]]
topics = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
shares = st.dictionaries(topics, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=5)


def assignment(version: int, shares: Shares, custom: bytes) -> bytes:
    data = struct.pack(">hi", version, len(shares))
    for topic, partitions in shares.items():
        name = topic.encode()
        data += struct.pack(f">h{len(name)}si{len(partitions)}i", len(name), name, len(partitions), *partitions)
    return data + struct.pack(">i", len(custom)) + custom


@given(st.integers(0, 3), shares, st.binary(max_size=20))
def test_what_a_member_has_been_given(version: int, shares: Shares, custom: bytes) -> None:
    data = assignment(version, shares, custom)
    assert assigned(data) == [(topic, partition) for topic, partitions in shares.items() for partition in partitions]


@given(shares, st.data())
def test_what_is_cut_short_gives_nothing(shares: Shares, data: st.DataObject) -> None:
    whole = assignment(1, shares, b"")[:-4]
    assert assigned(whole[: data.draw(st.integers(0, len(whole) - 1))]) == []


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(data: bytes) -> None:
    assert len(assigned(data)) <= len(data) / 4


def test_groups_are_known_again_when_brokers_come_back(alone: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so long that librdkafka has let go of them, and with questions that nobody has answered."""
    for module in (client, groups):
        monkeypatch.setattr(module, "ANSWER_S", 1.0)
    with closing(KafkaLog(Address(alone.bootstrap, "p", client=FORGETS))) as log:
        log.create(TopicSpec("t", NUMBERS, encoding="json"))
        log.append([write(range(10))])
        with closing(log.reader("g", ["t"], "worker-1")) as reader:
            reader.read(4, 0)
            reader.commit([Advance("t", 0, 3)], [])
        assert [(s.group, s.through, s.owner) for s in log.groups()] == [("g", 3, None)]
        assert log.positions([("g", "t")]) == {("g", "t", 0): 3}
        alone.kill(1)
        for _ in range(12):
            with pytest.raises(LogUnreachable):
                log.positions([("g", "t")])
        alone.start(1)

        def known() -> bool:
            try:
                return [s.through for s in log.groups()] == list(log.positions([("g", "t")]).values()) == [3]
            except LogUnreachable:
                return False

        eventually(known, "groups were told again")
