"""What a URL of Kafka says to a deployment is what it says to the log itself."""

from __future__ import annotations

import pytest
from tests.deploy.plans import DAY_US, PLAN

from penstock.batch import TopicSpec
from penstock.deploy.kubernetes.logs import CA, cluster_of, topics_of
from penstock.deploy.requirements import requirements_of
from penstock.errors import DeclarationError
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.topics.declaration import configured
from penstock.run.compose.bootstrap import all_topics

ENVIRON = {"KAFKA_USER": "shop", "KAFKA_PASSWORD": "hush"}
URLS = (
    "kafka://b",
    "kafka://b:9093/",
    "kafka://b-1.example:19092,b_2,[::1]:9094,[::2]/risk.shop",
    "kafka://b/shop?security=ssl&replication=3&wait=5",
    "kafka://b/shop?security=sasl_ssl&mechanism=SCRAM-SHA-256",
    "kafka://b/shop?transactions=no",
    "kafka://b/sh%6Fp",
)


@pytest.mark.parametrize("url", URLS)
def test_a_url_says_the_same_as_to_the_log(url: str) -> None:
    found = cluster_of(url, "shop")
    read = Address.parse(found.url, ENVIRON)
    assert (",".join(found.brokers), found.prefix) == (read.brokers, read.namespace)
    assert found.is_transactional == read.transactional
    assert found.security == read.client["security.protocol"]
    assert found.has_credentials == ("sasl.username" in read.client)
    given = url.rstrip("/").partition("?")[0].count("/") > 2
    assert found.prefix == ("risk.shop." if "risk" in url else "shop.") and (given or found.url != url)


def test_the_authorities_that_are_given_are_named_to_the_log() -> None:
    found = cluster_of("kafka://b?security=ssl", "shop", with_ca=True)
    assert found.url == f"kafka://b/shop?security=ssl&ca={CA}" and found.ports == (9092,)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("kafka://user:hush@b:9092", "a URL is seen by everybody.*kafka_credentials="),
        ("kafka://", "no Kafka that pods reach: write kafka://HOST"),
        ("kafka+eventhubs://shop", "no Kafka that pods reach"),
        ("kafka://b:0", "'b:0' is not HOST:PORT"),
        ("kafka://b:99999", "'b:99999' is not HOST:PORT"),
        ("kafka://b,,c", "'' is not HOST:PORT"),
        ("kafka://::1", "'::1' is not HOST:PORT"),
        ("kafka://b/a%20b", "'a b' begins names on Kafka"),
        ("kafka://b?acks=1", "'acks=1' is no option"),
        ("kafka://b?wait=1&wait=2", "'wait=2' is no option, or given twice"),
        ("kafka://b?security=tls", "security=tls is none of plaintext, ssl"),
        ("kafka://b?mechanism=PLAIN", "mechanism= is of no use with security=plaintext"),
        ("kafka://b?security=sasl_ssl&mechanism=OAUTHBEARER", "OAUTHBEARER cannot be given to pods yet"),
        ("kafka://b?security=ssl&ca=/here.pem", "ca= names a file.*kafka_ca="),
        ("kafka://b?security=ssl&cert=/here.pem&key=/k", "cert= names a file.*a user and a password"),
    ],
)
def test_a_url_that_no_pod_can_use_is_refused(url: str, told: str) -> None:
    with pytest.raises(DeclarationError, match=told) as refused:
        cluster_of(url, "shop")
    assert "hush" not in str(refused.value)


def test_authorities_without_tls_are_refused() -> None:
    with pytest.raises(DeclarationError, match="kafka_ca is of no use with security=plaintext"):
        cluster_of("kafka://b", "shop", with_ca=True)


def test_topics_to_make_are_as_a_start_makes_them() -> None:
    bounded = TopicSpec("bounded", partitions=3, retain_us=DAY_US, retain_bytes=10_000, place="app.py:1")
    plan = PLAN.__class__("shop", "app.py:app", "", (*PLAN.topics, bounded), (), (), place="app.py:1")
    cluster = cluster_of("kafka://b", "shop")
    made = {topic.name: topic for topic in topics_of(requirements_of(plan), cluster)}
    for topic in all_topics(plan):
        found = made.pop(f"shop.{topic.name}")
        assert (found.partitions, found.settings) == (topic.partitions, configured(topic))
    assert not made
    assert found.command == (
        "kafka-topics.sh --create --topic shop.bounded --partitions 3 --config cleanup.policy=delete "
        "--config retention.ms=86400000 --config retention.bytes=3333 --config max.message.bytes=1114112 "
        "--config message.timestamp.type=LogAppendTime"
    )
