"""What a text says of a domain, and where what is of one topic may come to be."""

from __future__ import annotations

import re

import pytest

from penstock.batch import TopicSpec
from penstock.errors import DeclarationError, PlanRefused
from penstock.plan import codec
from penstock.plan.codec import plan_from_bytes, plan_to_bytes
from penstock.plan.domains import declared_domain_topics, keeps_topics, resolve_topic, upstream_domains
from penstock.plan.plan import FunctionSpec, Plan, SubscriptionSpec

TX, RISKS, CASES, ORDERS = (TopicSpec(name, domain=name != "orders") for name in ("tx", "risks", "cases", "orders"))
PLAN = Plan(
    "saas",
    "",
    "",
    (TX, RISKS, CASES, ORDERS),
    stages=(
        FunctionSpec("judge", "tx", "risks", "event"),
        FunctionSpec("import", "orders", "tx", "event", to_topic="orders"),
    ),
    subscriptions=(
        SubscriptionSpec("large", "risks", topic="cases"),
        SubscriptionSpec("acme", "tx", "https://a.example", domain_topic="acme"),
    ),
)


def test_a_topic_a_domain_and_one_topic_of_it_are_resolved() -> None:
    assert resolve_topic(PLAN, "orders") == (ORDERS, None)
    assert resolve_topic(PLAN, "tx") == (TX, None)
    assert resolve_topic(PLAN, "tx/acme") == (TX, "acme")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sales", "there is no topic 'sales'; the app has tx, risks, cases, orders"),
        ("", "there is no topic ''"),
        ("orders/acme", "'orders' is a topic and no domain; write orders"),
        ("tx/", "behind the slash comes the name of a domain topic"),
        ("tx/*", "behind the slash comes the name"),
        ("tx/a/b", "behind the slash comes the name"),
        ("tx/../x", "behind the slash comes the name"),
    ],
)
def test_what_names_none_says_what_there_is(text: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(reason)):
        resolve_topic(PLAN, text)


def test_topics_flow_from_domain_to_domain() -> None:
    assert upstream_domains(PLAN, "cases") == ["cases", "risks", "tx"]
    assert upstream_domains(PLAN, "tx") == ["tx"]
    assert declared_domain_topics(PLAN, "cases") == declared_domain_topics(PLAN, "tx") == {"orders"}
    assert keeps_topics(PLAN, "tx", "cases") and not keeps_topics(PLAN, "orders", "cases")
    fixed = FunctionSpec("fixed", "tx", "cases", "event", to_topic="acme")
    moved = Plan("saas", "", "", PLAN.topics, stages=(*PLAN.stages, fixed), subscriptions=PLAN.subscriptions)
    assert not keeps_topics(moved, "tx", "cases") and keeps_topics(moved, "risks", "cases")


def test_a_plan_with_domains_is_read_again_and_by_no_reader_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_from_bytes(plan_to_bytes(PLAN)) == PLAN
    assert plan_from_bytes(plan_to_bytes(PLAN)).domains.keys() == {"tx", "risks", "cases"}
    written = plan_to_bytes(PLAN)
    monkeypatch.setattr(codec, "VERSION", 3)
    with pytest.raises(PlanRefused, match="version 4"):
        plan_from_bytes(written)
