"""The namespace, its hubs, their groups and rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.deploy.azure.built import app_built, by_name, of, one, plan_built
from tests.deploy.capture import Program
from tests.deploy.plans import DAY_US, PLAN, SUBSCRIBED

from penstock.batch import DEAD, RETRY, SNAPSHOTS, SYSTEM
from penstock.stages.deliver.attempts import RUNGS_S

pytestmark = pytest.mark.clouds

TOPICS = (
    replace(PLAN.topics[0], partitions=8, retain_us=DAY_US, encoding="json"),
    replace(PLAN.topics[1], encoding="json"),  # a stage feeds it
    PLAN.topics[2],
)


@pytest.fixture(scope="module")
def program() -> Program:
    return app_built(replace(PLAN, topics=TOPICS))


def test_the_namespace_speaks_kafka_and_grows_up_to_a_maximum(program: Program) -> None:
    namespace = one(program, "eventhub:Namespace")
    assert namespace["sku"] == {"name": "Standard", "tier": "Standard", "capacity": 1.0}
    assert namespace["kafkaEnabled"] is True
    assert (namespace["isAutoInflateEnabled"], namespace["maximumThroughputUnits"]) == (True, 4)
    assert namespace["minimumTlsVersion"] == "1.2"


def test_throughput_is_as_it_was_told() -> None:
    namespace = one(app_built(PLAN, throughput_units=2, max_throughput_units=2), "eventhub:Namespace")
    assert (namespace["sku"]["capacity"], namespace["maximumThroughputUnits"]) == (2, 2)


def test_every_topic_is_a_hub_with_its_partitions_and_its_hours(program: Program) -> None:
    hubs = by_name(program, "eventhub:EventHub", "eventHubName")
    assert {name: (hub["partitionCount"], hours(hub)) for name, hub in hubs.items()} == {
        SYSTEM: (1, 168),
        SNAPSHOTS: (1, 168),
        DEAD: (4, 168),
        "orders": (8, 24),
        "inputs": (4, 24),
        "scores": (4, 24),
    }


def test_what_waits_for_another_attempt_has_a_hub_whose_partitions_are_its_rungs() -> None:
    hub = by_name(plan_built(SUBSCRIBED), "eventhub:EventHub", "eventHubName")[RETRY]
    assert (hub["partitionCount"], hours(hub)) == (len(RUNGS_S), 168)


def hours(hub: Mapping[str, Any]) -> float:
    kept: Mapping[str, Any] = hub["retentionDescription"]
    assert kept["cleanupPolicy"] == "Delete" and "messageRetentionInDays" not in hub, "how long is said twice"
    return float(kept["retentionTimeInHours"])


def test_who_reads_has_a_consumer_group_on_its_hub(program: Program) -> None:
    groups = {(group["eventHubName"], group["consumerGroupName"]) for group in of(program, GROUP)}
    assert groups == {
        ("orders", "prepare"),
        ("inputs", "score"),
        (SYSTEM, "evaluate"),
        (SYSTEM, "penstock.registry"),
    }


def test_a_courier_reads_in_groups_that_are_made_beforehand() -> None:
    """By their real names. Those in which deliveries are put back are made by use, as those of stages."""
    groups = {(group["eventHubName"], group["consumerGroupName"]) for group in of(plan_built(SUBSCRIBED), GROUP)}
    assert groups - {(group["eventHubName"], group["consumerGroupName"]) for group in of(plan_built(PLAN), GROUP)} == {
        ("scores", "penstock.deliver.scores"),
        (RETRY, "penstock.ladder"),
        (SYSTEM, "copied"),
    }


GROUP, RULE = "eventhub:ConsumerGroup", "eventhub:EventHubAuthorizationRule"


def check_rules(program: Program) -> None:
    rules = {(rule["authorizationRuleName"], rule["eventHubName"], *rule["rights"]) for rule in of(program, RULE)}
    assert rules == {
        ("scaler", "orders", "Listen"),
        ("scaler", "inputs", "Listen"),
        ("scaler", SYSTEM, "Listen"),
        ("producers", "orders", "Send"),
    }


def test_keys_are_of_one_hub_and_of_one_right(program: Program) -> None:
    check_rules(program)


@pytest.mark.parametrize("right", ["Manage", "Send"])
def test_a_rule_that_gives_more_is_found(right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.deploy.azure import logs

    monkeypatch.setitem(logs.KEYS, "scaler", right)
    with pytest.raises(AssertionError, match=f"{right}"):
        check_rules(app_built(replace(PLAN, topics=TOPICS)))


def test_no_key_of_the_namespace_is_made_or_asked_for(program: Program) -> None:
    assert not of(program, "eventhub:NamespaceAuthorizationRule")
    asked = [(token.rpartition(":")[2], given.get("authorizationRuleName")) for token, given in program.calls]
    assert {token for token, _ in asked} == {"listEventHubKeys", "getClientConfig", "getSharedKeys"}
    assert {rule for token, rule in asked if token == "listEventHubKeys"} == {"scaler", "producers"}
