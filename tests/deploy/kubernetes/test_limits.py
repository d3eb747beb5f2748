"""What Kubernetes' and Kafka's names cannot hold, each with its line and what to write instead."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from tests.deploy.plans import NAMES, PLAN, plans

from penstock.declare.planning.findings import Finding, FindingCollector
from penstock.deploy.kubernetes import limits
from penstock.deploy.names import dashed
from penstock.deploy.requirements import requirements_of
from penstock.plan.plan import Plan
from penstock.plan.references import ReferenceSpec


def found(plan: Plan) -> list[Finding]:
    report = FindingCollector()
    limits.check_limits(requirements_of(plan), report)
    return report.findings


def with_topic(name: str) -> Plan:
    return replace(PLAN, topics=(replace(PLAN.topics[0], name=name), *PLAN.topics[1:]))


def with_secrets(*names: str) -> Plan:
    references = tuple(ReferenceSpec("secret", name) for name in names)
    return replace(PLAN, resources=(replace(PLAN.resources[0], references=references),))


CASES = {
    "a long topic": (
        with_topic("o" * 59),
        "app.py:2",
        "64 characters, and an object's name",
        "the topic another name, 1 ch",
    ),
    "a topic of dashes": (
        with_topic("a" + "_" * 243 + "b"),
        "app.py:2",
        "250 characters, and a topic's name",
        "1 character",
    ),
    "topics of one name": (with_topic("Inputs"), "app.py:3", "would both be called 'shop-inputs'", "the topic another"),
    "topics of one name on Kafka": (
        replace(PLAN, topics=(replace(PLAN.topics[0], name="a.b"), replace(PLAN.topics[1], name="a_b"))),
        "app.py:3",
        r"topic 'a_b' and topic 'a.b' \(app.py:2\) would both",
        "the topic another",
    ),
    "secrets of one name": (
        with_secrets("KEY", "key_"),
        "app.py:10",
        "would both be called 'shop-key'",
        "the variable",
    ),
    "a secret of Penstock's own name": (
        with_secrets("KEY", "WORKER_KAFKA"),
        "app.py:10",
        r"ps.secret\('WORKER_KAFKA'\) and the Secret of the worker's credentials on Kafka .* 'shop-worker-kafka'",
        "the variable",
    ),
    "a long app": (
        replace(PLAN, app="s" * 56),
        "app.py:1",
        "gateway of .* 64 characters, and an object",
        "1 characters shorter",
    ),
    "an app of no name": (replace(PLAN, app="___"), "app.py:1", "would have no name", "the app another"),
    "an app of dashes": (
        replace(PLAN, app="a" + "_" * 100),
        "app.py:1",
        "101 characters, and what begins a",
        "1 character",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_held_is_told_with_its_line_and_the_mend(case: str) -> None:
    plan, place, message, mend = CASES[case]
    told = [f for f in found(plan) if re.search(message, f.message)]
    assert len(told) == 1, f"it is not told: {found(plan)}"
    assert told[0].place == place and mend in told[0].mend and told[0].severity == "error"


@pytest.mark.parametrize("plan", [PLAN, with_topic("o" * 58), replace(PLAN, app="s" * 55, topics=PLAN.topics[:1])])
def test_what_just_fits_is_held(plan: Plan) -> None:
    assert found(plan) == []


@settings(max_examples=100, deadline=None)
@given(plans(NAMES) | plans(NAMES, subscribed=True))
def test_names_of_what_is_held_are_legal_and_differ(plan: Plan) -> None:
    check_names(plan)


def check_names(plan: Plan) -> None:
    """By RFC 1123, and as Kafka tells topics apart: '.' and '_' are one."""
    if any(finding.severity == "error" for finding in found(plan)):
        return
    needed = requirements_of(plan)
    own = [log.name for log in needed.logs if not log.is_internal]
    for names in (own, [secret.name for secret in needed.secrets], [service.name for service in needed.services]):
        objects = [dashed(plan.app, name) for name in names]
        assert len(set(objects)) == len(objects), "two objects are one"
        assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) for name in objects), "no object's name"
    topics = [f"{plan.app}.{name}" for name in own]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) for topic in topics)
    assert len({topic.replace(".", "_") for topic in topics}) == len(topics)


@pytest.mark.parametrize(
    ("broken", "case", "reason"),
    [
        ("check_unique", "topics of one name", "two objects are one"),
        ("check_legal", "a long topic", "no object's name"),
    ],
)
def test_names_that_nobody_checks_are_found(
    broken: str, case: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, broken, lambda *_: None)
    with pytest.raises(AssertionError, match=reason):
        check_names(CASES[case][0])
    with pytest.raises(AssertionError, match="it is not told"):
        test_what_cannot_be_held_is_told_with_its_line_and_the_mend(case)
