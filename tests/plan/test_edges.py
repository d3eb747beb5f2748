from __future__ import annotations

from typing import Any

import pytest

from penstock.batch import DEAD, RETRY, SYSTEM, TopicSpec
from penstock.plan.destination import DestinationSpec
from penstock.plan.edges import START, doers, edges, references
from penstock.plan.plan import (
    ANY,
    Edge,
    FunctionSpec,
    HandleSpec,
    ModelSpec,
    Plan,
    ResourceSpec,
    ScoreSpec,
    SubscriptionSpec,
)
from penstock.plan.references import ReferenceSpec

KEY, URL, PASSWORD = ReferenceSpec("secret", "KEY"), ReferenceSpec("env", "URL"), ReferenceSpec("secret", "PASSWORD")
PLAN = Plan(
    "fraud",
    "app.py:app",
    "",
    (TopicSpec("payments"), TopicSpec("inputs"), TopicSpec("scores")),
    (
        FunctionSpec(
            "prepare", "payments", "inputs", "frame", resources=("Risks",), references=(KEY, URL), place="app.py:1"
        ),
        FunctionSpec("evaluate", SYSTEM, None, "event", handles=(HandleSpec("Models", ("load", "alias")),)),
        ScoreSpec("scores", "inputs", "scores", "fraud"),
    ),
    (ModelSpec("fraud", ("score",), artifact="fraud.onnx"), ModelSpec("other", ("y",))),
    (
        ResourceSpec("Risks", ("Client",), place="app.py:2"),
        ResourceSpec("Client", (), (PASSWORD,), "app.py:3"),
        ResourceSpec("Unused", (), (ReferenceSpec("secret", "UNUSED"),)),
    ),
)


def test_every_stage_says_what_it_does() -> None:
    assert edges(PLAN) == [
        Edge("prepare", "read", "payments"),
        Edge("prepare", "append", "inputs"),
        Edge("evaluate", "read", SYSTEM),
        Edge("evaluate", "load", ANY),
        Edge("evaluate", "alias", ANY),
        Edge("scores", "read", "inputs"),
        Edge("scores", "append", "scores"),
        Edge("scores", "score", "fraud"),
        Edge(START, "register", "fraud"),
        Edge("prepare", "secret", "KEY"),
        Edge("prepare", "secret", "PASSWORD"),
    ]


def test_a_reference_is_looked_up_by_whoever_opens_its_resource() -> None:
    assert references(PLAN) == [
        ("prepare", KEY, "app.py:1"),
        ("prepare", URL, "app.py:1"),
        ("prepare", PASSWORD, "app.py:3"),
    ]


def test_doers() -> None:
    assert doers(PLAN, "score", "fraud") == ["scores"]
    assert doers(PLAN, "score", "other") == []


def test_a_subscription_says_what_it_does() -> None:
    hook = SubscriptionSpec(
        "cases", "scores", "https://Hooks.example.com:8443/x", secrets=(KEY, PASSWORD), headers=(("x-a", URL),),
        place="app.py:7",
    )  # fmt: skip
    named = SubscriptionSpec("named", "scores", ReferenceSpec("secret", "HOOK"), place="app.py:8")
    copied = SubscriptionSpec("copied", "scores", topic="payments")
    plan = Plan("fraud", "app.py:app", "", PLAN.topics, subscriptions=(hook, named, copied))

    def always(name: str) -> list[Edge]:
        return [Edge(name, "read", "scores"), Edge(name, "append", RETRY), Edge(name, "append", DEAD)]

    assert edges(plan) == [
        *always("cases"),
        Edge("cases", "deliver", "hooks.example.com"),
        *always("named"),
        Edge("named", "deliver", ANY),
        *always("copied"),
        Edge("copied", "append", "payments"),
        Edge("cases", "secret", "KEY"),
        Edge("cases", "secret", "PASSWORD"),
        Edge("named", "secret", "HOOK"),
    ]
    assert references(plan) == [
        ("cases", KEY, "app.py:7"),
        ("cases", PASSWORD, "app.py:7"),
        ("cases", URL, "app.py:7"),
        ("named", ReferenceSpec("secret", "HOOK"), "app.py:8"),
    ]


def test_a_topic_of_kafka_is_its_brokers_hosts() -> None:
    """They are what a deployment has to let it reach."""
    there = DestinationSpec("kafka", "B1.example.com:1,b1.example.com:2,[2001:db8::1]:3", "t", (("user", URL),))
    named = DestinationSpec("kafka", KEY, "t", (("password", PASSWORD),))
    specs = (
        SubscriptionSpec("out", "scores", destination=there, place="app.py:7"),
        SubscriptionSpec("named", "scores", destination=named, place="app.py:8"),
    )
    plan = Plan("fraud", "app.py:app", "", PLAN.topics, subscriptions=specs)
    assert [edge for edge in edges(plan) if edge.verb in ("deliver", "secret")] == [
        Edge("out", "deliver", "b1.example.com"),
        Edge("out", "deliver", "2001:db8::1"),
        Edge("named", "deliver", ANY),
        Edge("named", "secret", "KEY"),
        Edge("named", "secret", "PASSWORD"),
    ]
    assert references(plan) == [("out", URL, "app.py:7"), ("named", KEY, "app.py:8"), ("named", PASSWORD, "app.py:8")]
    assert specs[0].receiver == "kafka t at b1.example.com, 2001:db8::1"


@pytest.mark.parametrize("given", [{}, {"topic": "t", "destination": DestinationSpec("kafka", "b:1", "t")}])
def test_a_subscription_goes_to_one_of_them(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="and to one of them"):
        SubscriptionSpec("s", "scores", **given)
