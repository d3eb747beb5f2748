"""The brokers do what the tests that stand on them take for granted."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # documented, and not marked as exported

from tests.brokers.cluster import PATIENCE, SASL, SASL_TLS, TLS, Cluster
from tests.brokers.node import CONNECTION_STRING, HUB_USER, PASSWORD, USER
from tests.brokers.tls import Authority, authority

Settings = dict[str, Any]


def topic(bootstrap: str, name: str, **settings: str) -> str:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(name, num_partitions=1, config=settings)]).values():
        made.result(PATIENCE)
    return name


def produce(bootstrap: str, name: str, values: list[bytes]) -> None:
    """Each is acknowledged by every replica in sync on return."""
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})
    for value in values:
        producer.produce(name, value, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(PATIENCE) == 0
    assert errors == [None] * len(values)


def consume(bootstrap: str, name: str, count: int) -> list[bytes]:
    """The first ``count`` values that a ``read_committed`` reader of partition 0 sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(name, 0, 0)])
    found: list[bytes] = []
    limit = time.monotonic() + PATIENCE
    try:
        while len(found) < count and time.monotonic() < limit:
            for message in consumer.consume(count - len(found), 0.5):
                assert message.error() is None, message.error()
                value = message.value()
                assert value is not None
                found.append(value)
    finally:
        consumer.close()
    return found


def refusal(settings: Settings) -> int | None:
    """Why a client with these settings is not served; ``None`` when it is."""
    told: list[KafkaError] = []
    listening: Settings = {**settings, "log_level": 0, "error_cb": told.append}
    admin = AdminClient(listening)
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        try:
            admin.list_topics(timeout=0.5)
            return None
        except KafkaException:
            admin.poll(0)
        for error in told:
            if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
                return error.code()
    raise AssertionError(f"neither served nor refused: {told}")


def test_what_was_acknowledged_is_read(kafka: str, prefix: str) -> None:
    name = topic(kafka, prefix + "plain")
    produce(kafka, name, [b"1", b"2", b"3"])
    assert consume(kafka, name, 3) == [b"1", b"2", b"3"]


def test_outputs_and_positions_are_one_transaction(kafka: str, prefix: str) -> None:
    source, target = topic(kafka, prefix + "in"), topic(kafka, prefix + "out")
    produce(kafka, source, [b"a", b"b"])
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": prefix + "group", "enable.auto.commit": False})
    consumer.assign([TopicPartition(source, 0, 0)])
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": prefix + "worker"})
    producer.init_transactions(PATIENCE)
    try:
        producer.begin_transaction()
        producer.produce(target, b"dropped")
        producer.send_offsets_to_transaction(
            [TopicPartition(source, 0, 2)], consumer.consumer_group_metadata(), PATIENCE
        )
        producer.abort_transaction(PATIENCE)
        (position,) = consumer.committed([TopicPartition(source, 0)], PATIENCE)
        assert position.offset < 0

        producer.begin_transaction()
        producer.produce(target, b"kept")
        producer.send_offsets_to_transaction(
            [TopicPartition(source, 0, 1)], consumer.consumer_group_metadata(), PATIENCE
        )
        producer.commit_transaction(PATIENCE)
        (position,) = consumer.committed([TopicPartition(source, 0)], PATIENCE)
        assert position.offset == 1
    finally:
        consumer.close()
    assert consume(kafka, target, 1) == [b"kept"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password_is_asked_for(secured: Cluster, mechanism: str) -> None:
    asked: Settings = {
        "bootstrap.servers": secured.address(SASL),
        "security.protocol": SASL,
        "sasl.mechanism": mechanism,
        "sasl.username": USER,
    }
    assert refusal({**asked, "sasl.password": PASSWORD}) is None
    assert refusal({**asked, "sasl.password": "guess"}) == KafkaError._AUTHENTICATION


def test_a_token_is_asked_for(secured: Cluster) -> None:
    asked: Settings = {
        "bootstrap.servers": secured.address(SASL),
        "security.protocol": SASL,
        "sasl.mechanism": "OAUTHBEARER",
    }
    unsecured = {**asked, "enable.sasl.oauthbearer.unsecure.jwt": True}
    assert refusal({**unsecured, "sasl.oauthbearer.config": "principal=penstock"}) is None
    assert (
        refusal({**unsecured, "sasl.oauthbearer.config": "principalClaimName=other principal=penstock"})
        == KafkaError._AUTHENTICATION
    )


@pytest.mark.parametrize("protocol", [TLS, SASL_TLS])
def test_only_its_authority_vouches_for_it(
    secured: Cluster, certificates: Authority, tmp_path: Path, protocol: str
) -> None:
    other = authority(tmp_path / "other")
    asked: Settings = {"bootstrap.servers": secured.address(protocol), "security.protocol": protocol}
    if protocol == SASL_TLS:
        asked |= {"sasl.mechanism": "PLAIN", "sasl.username": USER, "sasl.password": PASSWORD}
    assert refusal({**asked, "ssl.ca.location": str(certificates.certificate)}) is None
    assert refusal({**asked, "ssl.ca.location": str(other.certificate)}) == KafkaError._SSL


def test_the_hub_takes_records_and_refuses_transactions(hub: Cluster, certificates: Authority, prefix: str) -> None:
    asked: Settings = {
        "bootstrap.servers": hub.address(SASL_TLS),
        "security.protocol": SASL_TLS,
        "ssl.ca.location": str(certificates.certificate),
        "sasl.mechanism": "PLAIN",
        "sasl.username": HUB_USER,
        "sasl.password": CONNECTION_STRING,
        "log_level": 0,
    }
    name = topic(hub.bootstrap, prefix + "events")
    producer = Producer({**asked, "transactional.id": prefix + "worker"})
    with pytest.raises(KafkaException) as refused:
        producer.init_transactions(PATIENCE)
    assert refused.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    plain = Producer({**asked, "acks": "all", "enable.idempotence": True})
    plain.produce(name, b"1")
    assert plain.flush(PATIENCE) == 0
    assert consume(hub.bootstrap, name, 1) == [b"1"]


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_two_of_three_go_on(three: Cluster, prefix: str, how: str) -> None:
    name = topic(three.bootstrap, prefix + how, **{"min.insync.replicas": "2"})
    produce(three.bootstrap, name, [b"before"])
    admin = AdminClient({"bootstrap.servers": three.bootstrap})
    leader = admin.list_topics(name, PATIENCE).topics[name].partitions[0].leader
    if how == "killed":
        three.kill(leader)
    else:
        three.hang(leader)
    produce(three.bootstrap, name, [b"without"])
    if how == "killed":
        three.start(leader)
    else:
        three.resume(leader)
    produce(three.bootstrap, name, [b"after"])
    assert consume(three.bootstrap, name, 3) == [b"before", b"without", b"after"]


def test_a_broker_that_cannot_start_says_why(tmp_path: Path, secured: Cluster) -> None:
    cluster = Cluster(tmp_path)
    host, port = cluster.bootstrap.split(":")
    with socket.create_server((host, int(port))):
        try:
            with pytest.raises(AssertionError, match=r"(?s)before it was ready.*Address already in use"):
                cluster.open()
        finally:
            cluster.close()
