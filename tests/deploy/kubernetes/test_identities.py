"""What each identity needs of the brokers: no more than its edges and Kafka's own kinds of rights ask for."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from hypothesis import given, settings
from tests.deploy.plans import PLAN, ROOT, SUBSCRIBED, plan_of, plans

from penstock.deploy.kubernetes.identities import KafkaAcl, acls_of, stage_reads
from penstock.deploy.kubernetes.logs import cluster_of
from penstock.deploy.requirements import Requirements, requirements_of
from penstock.plan.plan import Plan

PAGE = ROOT / "docs" / "deploy-kubernetes.md"


def needs(plan: Plan, log: str = "kafka://b:9092") -> list[KafkaAcl]:
    return acls_of(requirements_of(plan), cluster_of(log, "shop"))


@settings(max_examples=60, deadline=None)
@given(plans() | plans(subscribed=True))
def test_every_edge_has_its_rule_and_no_rule_is_without_its_edge(plan: Plan) -> None:
    needed = requirements_of(plan)
    check_rules(needed, needs(plan))


def check_rules(needed: Requirements, acls: list[KafkaAcl]) -> None:
    """Read back: what may be read, written and joined is what the rights say. To describe moves no event."""
    given = {
        (acl.service, acl.resource, acl.operation, acl.name)
        for acl in acls
        if acl.operation not in ("Describe", "DescribeConfigs") and acl.resource != "transactional-id"
    }
    asked = set()
    for identity in needed.identities:
        for right in identity.rights if identity.service != "scaler" else ():
            if right.kind == "log":
                operation = {"read": "Read", "append": "Write"}[right.verb]
                asked.add((identity.service, "topic", operation, f"shop.{right.what}"))
                if right.group:
                    asked.add((identity.service, "group", "Read", f"shop.{right.group}"))
    assert given == asked, "the rules are not those of the edges"
    assert {acl.operation for acl in acls if acl.service == "scaler"} <= {"Describe"}, "the scaler may read events"
    assert all(acl.name.startswith("shop.") for acl in acls), "another app's"
    assert not {"Create", "Delete", "Alter", "AlterConfigs", "All"} & {acl.operation for acl in acls}, "too much"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (KafkaAcl("gateway", "group", "shop.score", "Read"), "not those of the edges"),
        (KafkaAcl("worker", "topic", "shop.orders", "Write"), "not those of the edges"),
        (KafkaAcl("scaler", "topic", "shop.orders", "DescribeConfigs"), "may read events"),
        (KafkaAcl("worker", "transactional-id", "shop", "Write", "prefixed"), "another app's"),
        (KafkaAcl("worker", "transactional-id", "shop.append/", "All", "prefixed"), "too much"),
    ],
)
def test_a_rule_too_many_is_found(wrong: KafkaAcl, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_rules(requirements_of(PLAN), [*needs(PLAN), wrong])


@pytest.mark.parametrize(
    "lost", [acl for acl in needs(PLAN) if acl.operation in ("Read", "Write") and acl.pattern == "literal"]
)
def test_a_rule_that_is_missing_is_found(lost: KafkaAcl) -> None:
    with pytest.raises(AssertionError, match="not those of the edges"):
        check_rules(requirements_of(PLAN), [acl for acl in needs(PLAN) if acl != lost])


def test_a_courier_reads_what_it_delivers_and_nothing_else() -> None:
    needed = requirements_of(SUBSCRIBED)
    check_rules(needed, needs(SUBSCRIBED))
    mine = {(acl.resource, acl.name, acl.operation) for acl in needs(SUBSCRIBED) if acl.service == "courier"}
    read = {name.removeprefix("shop.") for resource, name, may in mine if (resource, may) == ("topic", "Read")}
    assert read == {"scores", "penstock.system", "penstock.snapshots", "penstock.dead", "penstock.retry"}
    written = {name.removeprefix("shop.") for resource, name, may in mine if (resource, may) == ("topic", "Write")}
    assert written == {"inputs", "penstock.system", "penstock.dead", "penstock.retry"}
    joined = {name.removeprefix("shop.") for resource, name, may in mine if (resource, may) == ("group", "Read")}
    assert joined == {
        "penstock.deliver.scores", "penstock.ladder", "copied",
        "penstock.redrive.penstock.ladder", "penstock.redrive.copied",
    }  # fmt: skip


def test_mutant_that_lets_a_courier_read_any_topic_is_caught() -> None:
    more = KafkaAcl("courier", "topic", "shop.orders", "Read")
    with pytest.raises(AssertionError, match="not those of the edges"):
        check_rules(requirements_of(SUBSCRIBED), [*needs(SUBSCRIBED), more])


def test_how_many_workers_there_are_follows_from_no_subscription() -> None:
    assert stage_reads(requirements_of(SUBSCRIBED)) == stage_reads(requirements_of(PLAN))


def test_transactions_are_called_after_groups() -> None:
    named = {(acl.service, acl.name) for acl in needs(PLAN) if acl.resource == "transactional-id"}
    joined = [acl for acl in needs(PLAN) if acl.operation == "Read"]
    groups = {acl.name for acl in joined if (acl.service, acl.resource) == ("worker", "group")}
    assert named == {("gateway", "shop.append/"), ("worker", "shop.append/"), *(("worker", f"{g}/") for g in groups)}
    assert not [acl for acl in needs(PLAN, "kafka://b?transactions=no") if acl.resource == "transactional-id"]


def test_a_command_for_the_brokers_own_tool() -> None:
    assert KafkaAcl("worker", "transactional-id", "shop.append/", "Write", "prefixed").command("User:w") == (
        "kafka-acls.sh --add --allow-principal User:w --operation Write --transactional-id shop.append/ "
        "--resource-pattern-type prefixed"
    )


def test_the_page_has_the_rules_of_the_flights_example() -> None:
    rows: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for acl in acls_of(requirements_of(plan_of("flights")), cluster_of("kafka://b:9092", "flights")):
        name = f"`{acl.name}`" + ("…" if acl.pattern == "prefixed" else "")
        rows[acl.service, acl.resource, name].append(acl.operation)
    expected = [f"| {' | '.join(key)} | {', '.join(operations)} |" for key, operations in rows.items()]
    assert (
        re.findall(r"^\| (?:gateway|worker|scaler) \| (?:topic|group|trans).*\|$", PAGE.read_text(), re.MULTILINE)
        == expected
    )
