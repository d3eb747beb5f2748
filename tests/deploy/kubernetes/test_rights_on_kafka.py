"""The rules that a deployment prints, on a real broker that asks for each: everybody can do their work, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not marked as exported
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from tests.brokers import jars
from tests.brokers.cluster import SASL, Cluster, running
from tests.brokers.fixtures import or_skip
from tests.brokers.hub import AUTHORIZER
from tests.deploy.components import ADMIN, asked
from tests.deploy.plans import SUBSCRIBED
from tests.log.kafka.child import NUMBERS, rows

from penstock.access.admin import admit
from penstock.access.audit import AUDIT, AUDIT_TOPIC, Act
from penstock.batch import DEAD, RETRY, SYSTEM, TopicSpec, Write
from penstock.clock import SystemClock
from penstock.deploy.access import with_access
from penstock.deploy.kubernetes.identities import KafkaAcl, acls_of
from penstock.deploy.kubernetes.logs import KafkaCluster, cluster_of, topics_of
from penstock.deploy.requirements import requirements_of
from penstock.errors import LogError, LogRefused
from penstock.log.interface import Advance
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog
from penstock.run.compose.bootstrap import all_topics, open_registry
from penstock.run.compose.guard import opened_audit
from penstock.stages.deliver.retry import WaitingDelivery, waiting_rows
from penstock.stages.deliver.state import PartitionTaken
from penstock.system.messages import to_rows

pytestmark = pytest.mark.broker

PASSWORD, PATIENCE_S = "pump-house", 30.0
NEEDED = with_access(requirements_of(SUBSCRIBED), asked("keys"))
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker with the topics, where each identity is a user who may do what the rules say."""
    with or_skip():
        jars.classpath()
    strict = {**AUTHORIZER, "allow.everyone.if.no.acl.found": "false"}
    with running(tmp_path_factory.mktemp("guarded"), overrides=strict) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        there = kafka_of(cluster)
        made = [NewTopic(t.name, t.partitions, 1, config=dict(t.settings)) for t in topics_of(NEEDED, there)]
        settled(admin.create_topics(made))
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
        users = ("gateway", "worker", "courier", "scaler")
        settled(
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(who, info, PASSWORD.encode()) for who in users]
            )
        )
        settled(admin.create_acls([binding(acl) for acl in acls_of(NEEDED, there)]))
        for who in users:  # a broker knows each a moment later
            AdminClient(login(cluster, who)).list_topics(timeout=PATIENCE_S)
        yield cluster


def login(cluster: Cluster, who: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": cluster.address(SASL), "security.protocol": "sasl_plaintext", "log_level": 0,
        "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": who, "sasl.password": PASSWORD,
        "reconnect.backoff.max.ms": 200,
    }  # fmt: skip


def settled(asked: object) -> None:
    for future in asked.values():  # type: ignore[attr-defined]
        future.result(PATIENCE_S)


def binding(acl: KafkaAcl) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if acl.pattern == "prefixed" else ResourcePatternType.LITERAL
    who = f"User:{acl.service}", "*"
    return AclBinding(KINDS[acl.resource], acl.name, pattern, *who, OPERATIONS[acl.operation], AclPermissionType.ALLOW)


def kafka_of(cluster: Cluster) -> KafkaCluster:
    url = f"kafka://{cluster.address(SASL)}?security=sasl_plaintext&mechanism=SCRAM-SHA-512"
    return cluster_of(url, SUBSCRIBED.app)


def opened(cluster: Cluster, who: str) -> closing[KafkaLog]:
    environ = {"KAFKA_USER": who, "KAFKA_PASSWORD": PASSWORD}
    return closing(KafkaLog(Address.parse(kafka_of(cluster).url, environ)))


def declared() -> list[TopicSpec]:
    return [replace(topic, schema=NUMBERS) if topic.place else topic for topic in all_topics(SUBSCRIBED)]


def test_a_worker_and_the_doors_can_do_their_work(guarded: Cluster) -> None:
    with opened(guarded, "worker") as worker, opened(guarded, "gateway") as gateway:
        for topic in declared():
            worker.create(topic)
        gateway.append([Write("orders", 0, rows([1])), Write("inputs", 0, rows([2]))])  # one transaction
        gateway.append([Write("scores", 0, rows([3]))])
        reader = worker.reader("prepare", ["orders"], "worker-1")
        (batch,) = reader.read(100, PATIENCE_S)
        reader.commit([Advance("orders", 0, batch.through)], [Write("inputs", 0, batch.rows)])
        for group, topics in (
            ("score", ["inputs"]),
            ("penstock.redrive.score", [DEAD]),
            ("penstock.registry", [SYSTEM]),
        ):
            worker.reader(group, topics, "worker-1").read(1, 0.1)
        (shown,) = gateway.reader(None, ["scores"], "doors").read(100, PATIENCE_S)
        assert shown.rows.column("n").to_pylist() == [3]
        groups = {state.group: state for state in gateway.groups()}
        assert "prepare" in groups, "the doors show how far behind a stage is"
        assert gateway.positions([("prepare", "orders")])["prepare", "orders", 0] >= batch.through


def test_a_courier_can_do_its_work(guarded: Cluster) -> None:
    """As its stages do: a router stores positions in commits without any advance, and reads beside its group."""
    with opened(guarded, "courier") as courier, opened(guarded, "gateway") as gateway:
        for log in (courier, gateway):
            for topic in declared():
                log.create(topic)
        gateway.append([Write("scores", 0, rows([1]))])
        router = courier.reader("penstock.deliver.scores", ["scores"], "courier", start="earliest")
        (batch,) = router.read(100, PATIENCE_S)
        told = to_rows([PartitionTaken(token="t")])
        router.commit([], [Write(SYSTEM, 0, told)])
        waiting = WaitingDelivery("cases", "scores", 0, 0, "1", 0, 1, 0, "Busy", "", None, b"")
        router.commit([Advance("scores", 0, batch.through)], [Write(RETRY, 1, waiting_rows([waiting]))])
        (behind,) = courier.reader(None, ["scores"], "courier").read(100, PATIENCE_S)
        assert behind.rows.column("n").to_pylist()[-1:] == [1]
        ladder = courier.reader("penstock.ladder", [RETRY], "courier")
        (due,) = ladder.read(100, PATIENCE_S)
        ladder.commit([Advance(RETRY, 1, due.through)], [Write(RETRY, 2, waiting_rows([waiting]))])
        for group, topics in (
            ("copied", [SYSTEM]),
            ("penstock.redrive.copied", [DEAD]),
            ("penstock.redrive.penstock.ladder", [DEAD]),
        ):
            courier.reader(group, topics, "courier").read(1, 0.1)
        courier.append([Write(SYSTEM, 0, told)])  # a reminder to save
        assert "penstock.deliver.scores" in {state.group for state in courier.groups()}
        assert "penstock.deliver.scores" in {state.group for state in gateway.groups()}, "the doors show what waits"


def test_a_courier_can_do_no_more(guarded: Cluster) -> None:
    with opened(guarded, "courier") as courier, opened(guarded, "worker") as worker:
        for log in (courier, worker):
            for topic in declared():
                log.create(topic)
        with pytest.raises(LogError, match="AUTHORIZATION_FAILED"):
            courier.reader(None, ["orders"], "courier").read(1, PATIENCE_S)
        with pytest.raises(LogRefused, match="TOPIC_AUTHORIZATION_FAILED"):
            courier.append([Write("scores", 0, rows([1]))])
        with pytest.raises(LogError, match="AUTHORIZATION_FAILED"):
            courier.reader("penstock.registry", [SYSTEM], "courier").read(1, PATIENCE_S)
        with pytest.raises(LogError, match="AUTHORIZATION_FAILED"):
            worker.reader("penstock.deliver.scores", ["scores"], "worker").read(1, PATIENCE_S)


def test_the_doors_alone_keep_keys_and_the_audit(guarded: Cluster) -> None:
    """As a gateway does that asks whoever comes: it lets in the first key, and notes what it refused."""
    with opened(guarded, "gateway") as gateway, opened(guarded, "worker") as worker:
        for log in (gateway, worker):
            for topic in declared():
                log.create(topic)
        audit = opened_audit(gateway, SystemClock(), "gateway-1")
        with closing(open_registry(gateway, SystemClock(), "gateway")) as registry:
            assert admit(gateway, registry.view, SystemClock(), ADMIN) is not None
            assert admit(gateway, registry.view, SystemClock(), ADMIN) is None
        audit.note(Act("", "", "GET", "/topics", "10.0.0.1", 401, "nothing was shown"))
        audit.write()
        (shown,) = gateway.reader(None, [AUDIT], "doors").read(100, PATIENCE_S)
        assert "nothing was shown" in shown.rows.column("json").to_pylist()[0]
        with pytest.raises(LogError, match="AUTHORIZATION_FAILED"):
            worker.create(AUDIT_TOPIC)


def test_nobody_can_do_more(guarded: Cluster) -> None:
    with opened(guarded, "worker") as worker, opened(guarded, "gateway") as gateway:
        for topic in declared():
            worker.create(topic)
        with pytest.raises(LogError, match="AUTHORIZATION_FAILED"):
            worker.create(TopicSpec("more"))
        with pytest.raises(LogRefused, match="TOPIC_AUTHORIZATION_FAILED"):
            worker.append([Write("orders", 0, rows([1]))])  # no stage feeds it
        with pytest.raises(LogError, match="AUTHORIZATION_FAILED"):
            gateway.reader("prepare", ["orders"], "gateway").read(1, PATIENCE_S)


def test_the_scaler_sees_how_far_behind_a_stage_is_and_no_event(guarded: Cluster) -> None:
    admin = AdminClient(login(guarded, "scaler"))
    place = TopicPartition("shop.orders", 0)
    latest: Any = OffsetSpec
    (end,) = admin.list_offsets({place: latest.latest()}).values()
    assert end.result(PATIENCE_S).offset >= 0
    (at,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("shop.prepare", [place])]).values()
    assert [found.topic for found in at.result(PATIENCE_S).topic_partitions] == ["shop.orders"]
    consumer = Consumer({**login(guarded, "scaler"), "group.id": "shop.prepare", "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition("shop.orders", 0, 0)])
        read = consumer.poll(PATIENCE_S)
        error = None if read is None else read.error()
        assert error is not None and "AUTHORIZATION_FAILED" in error.name()
    finally:
        consumer.close()
    with pytest.raises(KafkaException, match=r"(?i)authorization"):
        (other,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("shop.penstock.registry")]).values()
        other.result(PATIENCE_S)
