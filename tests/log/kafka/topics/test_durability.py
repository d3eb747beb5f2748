"""How many brokers have what is accepted: what is asked of topics that we make, and what is said of others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from tests.brokers.cluster import SASL_TLS, Cluster
from tests.brokers.node import CONNECTION_STRING, HUB_USER
from tests.brokers.tls import Authority
from tests.log.kafka.child import NUMBERS, rows
from tests.log.kafka.moving import eventually

from penstock.batch import TopicSpec, Write
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.cluster.client import admin
from penstock.log.kafka.log import KafkaLog
from penstock.log.kafka.topics import durability
from penstock.log.kafka.topics.declaration import set_on, settings_of
from penstock.log.kafka.topics.durability import FLUSH, IN_SYNC, UNCLEAN, Durability, wanted, weakness


@contextmanager
def opened(address: Address) -> Iterator[KafkaLog]:
    log = KafkaLog(address)
    try:
        yield log
    finally:
        log.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "penstock.log.kafka.topics.durability"]


@pytest.mark.parametrize(("replicas", "needed"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3)])
def test_more_than_half_of_three_or_more_are_asked_for(replicas: int, needed: int) -> None:
    assert wanted(replicas) == needed


@pytest.mark.parametrize(
    ("replicas", "settings", "said"),
    [
        (1, {IN_SYNC: "1", FLUSH: "9223372036854775807"}, "one replica"),
        (1, {IN_SYNC: "2", FLUSH: "9223372036854775807"}, "one replica"),
        (1, {IN_SYNC: "1", FLUSH: "1"}, None),
        (2, {IN_SYNC: "1", FLUSH: "100"}, "Set min.insync.replicas=2"),
        (2, {IN_SYNC: "2"}, None),
        (3, {IN_SYNC: "1"}, "Set min.insync.replicas=2"),
        (3, {IN_SYNC: "1", FLUSH: "1"}, None),
        (3, {IN_SYNC: "2"}, None),
        (5, {IN_SYNC: "1"}, "Set min.insync.replicas=3"),
        (3, {IN_SYNC: "2", UNCLEAN: "true"}, "Set unclean.leader.election.enable=false"),
        (1, {}, None),  # a server that speaks Kafka's protocol and stores in another way
    ],
)
def test_what_may_take_accepted_events(replicas: int, settings: dict[str, str], said: str | None) -> None:
    weak = weakness(replicas, settings)
    assert weak is None if said is None else said in str(weak)


def test_one_replica_is_told_once(kafka: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), opened(Address(kafka, prefix, replication=1)) as log:
        for name in ("a", "b"):
            log.create(TopicSpec(name, NUMBERS, 1))
    (line,) = told(caplog)
    assert "one replica" in line and "three brokers" in line


def test_a_broker_that_flushes_each_record_is_enough(kafka: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for name in ("penstock.system", "a"):
            make(admin(Address(kafka)), prefix + name, 1, {FLUSH: "1"})
        with opened(Address(kafka, prefix, replication=1)) as log:
            log.create(TopicSpec("a", NUMBERS, 1))
    assert not told(caplog)


def test_a_topic_of_ours_is_on_two_of_three_brokers(
    three: Cluster, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The cluster asks for one, as Kafka comes. What another has made is told, and left as it is."""
    client = admin(Address(three.bootstrap))
    make(client, prefix + "theirs", 3, {})
    with caplog.at_level(logging.WARNING), opened(Address(three.bootstrap, prefix)) as log:
        log.create(TopicSpec("ours", NUMBERS, 1))
        assert not told(caplog)
        log.create(TopicSpec("theirs", NUMBERS, 1))
    for name, needed in (("penstock.system", "2"), ("ours", "2"), ("theirs", "1")):
        becomes(client, prefix + name, IN_SYNC, needed)
    (line,) = told(caplog)
    assert "3 replicas and accept what one of them has" in line and "Set min.insync.replicas=2" in line


def unknown_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first broker that is asked for a topic's settings has not heard of it."""
    answers = iter([".not-yet"])

    def settings(client: AdminClient, name: str) -> dict[str, str]:
        return settings_of(client, name + next(answers, ""))

    monkeypatch.setattr(durability, "settings_of", settings)


def test_a_topic_that_is_not_known_everywhere_yet_is_asked_for_again(
    three: Cluster, prefix: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = admin(Address(three.bootstrap))
    make(client, prefix + "t", 3, {})
    unknown_at_first(monkeypatch)
    with caplog.at_level(logging.WARNING):
        Durability(client).see_to(prefix + "t", made=True)
    assert not told(caplog), f"told of a topic just made: {told(caplog)}"
    becomes(client, prefix + "t", IN_SYNC, "2")


def test_mutant_that_asks_once_for_a_topic_just_made_is_found(
    three: Cluster, prefix: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "until_known", lambda question: question())
    with pytest.raises(AssertionError, match=r"told of a topic just made: .*UNKNOWN_TOPIC_OR_PART"):
        test_a_topic_that_is_not_known_everywhere_yet_is_asked_for_again(three, prefix, caplog, monkeypatch)


def test_what_the_cluster_asks_for_beyond_that_stays(three: Cluster, prefix: str) -> None:
    client = admin(Address(three.bootstrap))
    make(client, prefix + "t", 3, {IN_SYNC: "3"})
    Durability(client).see_to(prefix + "t", made=True)
    becomes(client, prefix + "t", IN_SYNC, "3")


def test_who_may_not_see_the_settings_is_told_so(
    hub: Cluster, certificates: Authority, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    granted = [(AclOperation.ALL, AclPermissionType.ALLOW)]
    granted += [(o, AclPermissionType.DENY) for o in (AclOperation.DESCRIBE_CONFIGS, AclOperation.ALTER_CONFIGS)]
    where = ResourceType.TOPIC, prefix, ResourcePatternType.PREFIXED, f"User:{HUB_USER}", "*"
    client = admin(Address(hub.bootstrap))
    for done in client.create_acls([AclBinding(*where, *grant) for grant in granted]).values():
        done.result(30)
    url = f"kafka://{hub.address(SASL_TLS)}/{prefix.rstrip('.')}?security=sasl_ssl&ca={certificates.certificate}"
    login = {"KAFKA_USER": HUB_USER, "KAFKA_PASSWORD": CONNECTION_STRING}
    with caplog.at_level(logging.WARNING), opened(Address.parse(f"{url}&transactions=no", login)) as log:
        log.create(TopicSpec("t", NUMBERS, 1))
        assert log.append([Write("t", 0, rows([1]))])[0].count == 1
    (line,) = told(caplog)
    assert "not sure" in line and "TOPIC_AUTHORIZATION_FAILED" in line


def make(client: AdminClient, name: str, replicas: int, settings: dict[str, str]) -> None:
    client.list_topics(timeout=30)  # else what is asked by the first address is lost when the brokers' own are known
    client.create_topics([NewTopic(name, 1, replicas)])[name].result(30)
    if settings:
        set_on(client, name, settings, "set it")
    for setting, value in settings.items():
        becomes(client, name, setting, value)


def becomes(client: AdminClient, name: str, setting: str, value: str) -> None:
    """A broker may answer that has not heard of it yet."""
    eventually(lambda: settings_of(client, name)[setting] == value, f"{setting}={value}")
