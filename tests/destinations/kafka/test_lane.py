"""A lane to a real broker: what a record holds, what each report means, and when nothing is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st
from tests.brokers.cluster import Cluster
from tests.brokers.node import PASSWORD, USER
from tests.destinations.kafka.conftest import made_topic, records
from tests.destinations.webhook.receivers import deliver, parcel

from penstock.clock import SystemClock
from penstock.destinations.interface import Parcel
from penstock.destinations.kafka import answers
from penstock.destinations.kafka import lane as lane_module
from penstock.destinations.kafka.lane import KafkaLane, key_of
from penstock.destinations.kafka.open import open_kafka
from penstock.errors import DeclarationError
from penstock.plan.destination import DestinationSpec
from penstock.plan.plan import SubscriptionSpec
from penstock.plan.references import ReferenceSpec

Lanes = Callable[..., KafkaLane]
STRUCTURED = (("content-type", "application/cloudevents+json; charset=utf-8"),)
BINARY = (("content-type", "text/plain"), ("ce_specversion", "1.0"), ("ce_id", "é 1"), ("ce_partitionkey", "k é"))


def test_a_record_is_the_parcel(kafka: str, lanes: Lanes) -> None:
    topic = made_topic(kafka)
    lane = lanes(kafka, topic)
    bare = Parcel("t/0/2", b"\xff\x00", (*BINARY[:3],), 1)
    structured = Parcel("t/0/3", b'{"id":"3","partitionkey":"k","data":{"a":[1]}}', STRUCTURED, 1)
    found = [deliver(lane, [one])[0] for one in (Parcel("t/0/1", b"text", BINARY, 1), bare, structured)]
    assert [(a.ok, a.outcome, a.began > 0) for a in found] == [(True, "Delivered", True)] * 3
    first, second, third = records(kafka, topic, 3)
    assert first.headers() == [(name, value.encode()) for name, value in BINARY]
    assert (first.key(), first.value()) == ("k é".encode(), b"text")
    assert (second.key(), second.value()) == (None, b"\xff\x00")
    assert (third.key(), third.value()) == (b"k", structured.body)
    assert (lane.status().delivered, lane.status().failed) == (3, 0)


@given(st.binary() | st.sampled_from([b"[1]", b'{"partitionkey":5}', b'{"partitionkey":null}', b"{}"]))
def test_a_body_that_is_no_event_has_no_key(body: bytes) -> None:
    assert key_of(Parcel("t/0/1", body, STRUCTURED, 1)) is None
    of_data = (("ce_specversion", "1.0"), *STRUCTURED)  # in binary mode the data may be of any media type
    assert key_of(Parcel("t/0/1", b'{"partitionkey":"data"}', of_data, 1)) is None


def test_the_end_of_what_a_record_may_be(kafka: str, lanes: Lanes) -> None:
    """A broker's limit is of a batch: what is too large fails alone, and for good."""
    topic = made_topic(kafka, 1, **{"max.message.bytes": "200000"})
    lane = lanes(kafka, topic)
    sizes = [300_000, 190_000, *[20_000] * 30]
    first, *others = deliver(lane, [parcel(str(n), b"x" * size) for n, size in enumerate(sizes)])
    assert (first.outcome, first.final, first.ok) == ("PayloadTooLarge", True, False)
    assert first.blameless, "a subscription would be disabled for what one event is"
    assert all(answer.ok for answer in others), "one that is too large took others along"
    assert lane.failures == 0


def test_mutant_that_sends_as_much_as_it_can_together_is_caught(
    kafka: str, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "TOGETHER_BYTES", 1_000_000)
    monkeypatch.setattr(KafkaLane, "allowed", 64)
    with pytest.raises(AssertionError, match="took others along"):
        test_the_end_of_what_a_record_may_be(kafka, lanes)


def test_a_topic_that_is_not_there_may_come(kafka: str, lanes: Lanes) -> None:
    lane = lanes(kafka, "nobody-made-it", answer_s=4.0)
    [answer] = deliver(lane, [parcel()])
    assert (answer.outcome, answer.final, answer.gone) == ("NotFound", False, False)


def test_nobody_there(lanes: Lanes) -> None:
    lane = lanes("127.0.0.1:9", "t", answer_s=1.0)
    [answer] = deliver(lane, [parcel()])
    assert (answer.ok, answer.outcome, answer.final, answer.began > 0) == (False, "SocketError", False, True)
    assert "refused" in answer.reason


def refused(secured: Cluster, lanes: Lanes, password: str) -> str:
    client = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"}
    client |= {"sasl.username": USER, "sasl.password": password}
    lane = lanes(secured.address("SASL_PLAINTEXT"), "t", client=client, hidden=[password], answer_s=2.0)
    [answer] = deliver(lane, [parcel()])
    assert (answer.ok, answer.outcome, answer.final) == (False, "Unauthorized", False)
    return f"{answer}{lane.status()}{lane!r}{lane._address!r}"


def test_a_password_that_is_wrong_is_told_and_not_shown(
    secured: Cluster, lanes: Lanes, caplog: pytest.LogCaptureFixture
) -> None:
    assert "hush-hush" not in refused(secured, lanes, "hush-hush") + caplog.text


def test_who_may_come_in_does(secured: Cluster, lanes: Lanes) -> None:
    topic = made_topic(secured.bootstrap)
    spec = SubscriptionSpec(
        "s", "t", destination=DestinationSpec(
            "kafka", ReferenceSpec("env", "BROKERS"), topic,
            (("security", "sasl_plaintext"), ("user", USER), ("password", ReferenceSpec("secret", "KEY"))),
        ),
    )  # fmt: skip
    environ = {"BROKERS": secured.address("SASL_PLAINTEXT"), "KEY": PASSWORD}
    opened = open_kafka(spec, environ, SystemClock())
    try:
        assert deliver(opened, [parcel()])[0].ok
    finally:
        opened.close()
        opened.thread.join(20)
    with pytest.raises(DeclarationError, match="set the environment variable KEY"):
        open_kafka(spec, {"BROKERS": "b:1"}, SystemClock())
    with pytest.raises(DeclarationError, match=r"ps.secret\('KEY'\) is empty"):
        open_kafka(spec, environ | {"KEY": ""}, SystemClock())
    with pytest.raises(DeclarationError, match=r"ps.env\('BROKERS'\) is not HOST:PORT") as refusal:
        open_kafka(spec, environ | {"BROKERS": "me:hush@b:1"}, SystemClock())
    assert "hush" not in str(refusal.value)


def spoilt(kafka: str, lanes: Lanes) -> None:
    """As librdkafka says that a producer will send nothing any more."""
    lane = lanes(kafka, made_topic(kafka))
    assert deliver(lane, [parcel("1")])[0].ok
    before = lane._producer
    fatal = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "planted", True)
    lane.begin()
    lane._reported(parcel("2"), lambda _: None, 1, fatal, None)
    [purged] = deliver(lane, [parcel("3")])
    assert purged.ok or bool(purged.began) == (purged.reason == KafkaError(KafkaError._PURGE_INFLIGHT).str())
    assert deliver(lane, [parcel("4")])[0].ok
    assert lane._producer is not before, "nothing is sent any more"


def test_a_producer_that_sends_no_more_is_made_anew(kafka: str, lanes: Lanes) -> None:
    spoilt(kafka, lanes)


def test_mutant_that_keeps_it_is_caught(kafka: str, lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaLane, "_renew", lambda _: None)
    with pytest.raises(AssertionError, match="nothing is sent any more"):
        spoilt(kafka, lanes)


def test_a_thread_that_ends_by_an_error_says_so(kafka: str, lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = lanes(kafka, "t")
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(lane, "_launch", lambda: 1 / 0)
    lane.send([parcel()], lambda _: None)
    lane.thread.join(20)
    assert lane.stopped and lane.room() == 0


def test_every_answer_has_its_outcome() -> None:
    for code in answers.FINAL:
        assert answers.outcome_of(code) in ("PayloadTooLarge", "BadRequest", "Forbidden")
    assert answers.outcome_of(KafkaError.NOT_ENOUGH_REPLICAS) == "Busy"
