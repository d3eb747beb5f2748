"""What a subscription of the plan becomes in the courier."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.batch import TopicSpec
from penstock.clock import ManualClock, SystemClock
from penstock.destinations.webhook.courier import Courier
from penstock.errors import CannotStart, DeclarationError
from penstock.filters.eventgrid import Filter
from penstock.gateway.catching.catcher import SECRET
from penstock.log.memory import MemoryLog
from penstock.plan.destination import DestinationSpec
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.plan.references import ReferenceSpec
from penstock.run.compose.bootstrap import all_topics
from penstock.run.compose.deliveries import CourierComposition, caught_endpoint, endpoint_of, system_selection
from penstock.run.compose.destinations import kind_of
from penstock.settings import Settings

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPEC = SubscriptionSpec(
    "s",
    "t",
    ReferenceSpec("env", "URL"),
    secrets=(ReferenceSpec("secret", "KEY"),),
    headers=(("x-team", "risk"), ("authorization", ReferenceSpec("secret", "TOKEN"))),
)
OUT = SubscriptionSpec("out", "scores", destination=DestinationSpec("kafka", ReferenceSpec("env", "BROKERS"), "t"))
ENVIRON = {"URL": "https://hooks.example.com/path", "KEY": KEY, "TOKEN": "Bearer hush"}


def test_what_is_looked_up_is_in_the_endpoint_and_in_no_text() -> None:
    endpoint = endpoint_of(SPEC, ENVIRON, "app")
    assert (endpoint.url, endpoint.secrets) == ("https://hooks.example.com/path", [KEY])
    assert endpoint.headers == [("x-team", "risk"), ("authorization", "Bearer hush")]
    assert endpoint.place == "https://hooks.example.com"
    assert not any(secret in repr(endpoint) for secret in ("path", KEY, "hush"))


@pytest.mark.parametrize("rate", [None, 100.0, 100 / 60, 100 / 3600, 1_000_000.0])
def test_any_rate_that_can_be_declared_can_be_kept(rate: float | None) -> None:
    assert endpoint_of(replace(SPEC, rate=rate), ENVIRON, "app").per_second == (rate or 0.0)


@pytest.mark.parametrize("missing", ["URL", "KEY", "TOKEN"])
def test_what_has_no_value_here_is_named(missing: str) -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != missing}
    with pytest.raises(DeclarationError, match=f"set the environment variable {missing}"):
        endpoint_of(SPEC, environ, "app")


def test_a_system_events_condition_and_filter_are_looked_at() -> None:
    given = Filter(subject_begins_with="models/fraud:")
    told = replace(SPEC, event="penstock.model.registered", where="version > 1", filter=given, format="eventgrid")
    found = system_selection(told, "penstock.model.registered")
    assert (found.event, found.where, found.format) == ("penstock.model.registered", "version > 1", "eventgrid")
    assert found.filter is not None and "models/fraud:" in found.filter.text
    assert system_selection(SPEC, "penstock.model.registered").filter is None


def test_a_topic_of_kafka_is_opened_without_webhooks_and_its_thread_is_known() -> None:
    plan = Plan("app", "", "", (TopicSpec("scores"),), subscriptions=(OUT,))
    log, clock = MemoryLog(), ManualClock()
    for spec in all_topics(plan):
        log.create(spec)
    deliveries = CourierComposition(plan, log, clock, Settings(), "m", None, environ={"BROKERS": "127.0.0.1:9"})
    try:
        opened = deliveries.subscriptions["out"]
        assert (opened.format, opened.endpoint) == ("cloudevents-kafka", "kafka t at ps.env('BROKERS')")
        assert [thread.is_alive() for thread in deliveries.threads] == [True]
    finally:
        deliveries.close()
    deliveries.threads[0].join(20)
    assert not deliveries.threads[0].is_alive()


def test_what_would_go_to_kafka_is_caught_as_a_webhook() -> None:
    plan = Plan("app", "", "", (TopicSpec("scores"),), subscriptions=(OUT,))
    log, clock, courier = MemoryLog(), ManualClock(), Courier(SystemClock())
    for spec in all_topics(plan):
        log.create(spec)
    deliveries = CourierComposition(plan, log, clock, Settings(), "m", courier.open, CATCHER, environ={})
    try:
        opened = deliveries.subscriptions["out"]
        assert (opened.format, opened.endpoint, deliveries.threads) == ("cloudevents", CATCHER, [])
    finally:
        deliveries.close()
        courier.close()


def test_without_the_client_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("penstock.destinations.kafka.lane")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(CannotStart, match=r"a Kafka topic needs the Kafka client: pip install 'penstock-ml\[kafka\]'"):
        kind_of(OUT).open(OUT, {"BROKERS": "127.0.0.1:9"}, ManualClock())


def test_a_kind_of_another_penstock_is_told() -> None:
    spec = replace(OUT, destination=DestinationSpec("pigeon", "", "t"))
    with pytest.raises(DeclarationError, match="there is no kind of destination 'pigeon' here, but kafka"):
        kind_of(spec)


CATCHER = "http://127.0.0.1:8000"


def test_what_is_caught_needs_neither_an_address_nor_a_secret() -> None:
    endpoint = caught_endpoint(replace(SPEC, rate=2.0), {}, CATCHER)
    assert (endpoint.url, endpoint.place) == (f"{CATCHER}/caught/s", CATCHER)
    assert (endpoint.secrets, endpoint.per_second) == ([SECRET], 2.0)
    assert endpoint.headers == [("x-team", "risk"), ("authorization", "ps.secret('TOKEN')")]


def test_what_catches_in_tls_is_trusted_by_its_own_certificate(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").touch()
    endpoint = caught_endpoint(SPEC, ENVIRON, "https://localhost:8000", str(tmp_path / "tls.crt"))
    assert (endpoint.place, endpoint.authorities) == ("https://localhost:8000", str(tmp_path / "tls.crt"))


def test_what_is_caught_is_signed_with_the_secret_that_is_set() -> None:
    assert caught_endpoint(SPEC, ENVIRON, CATCHER).secrets == [KEY]
    with pytest.raises(DeclarationError, match="a webhook's secret is whsec_"):
        caught_endpoint(SPEC, ENVIRON | {"KEY": "no secret"}, CATCHER)
