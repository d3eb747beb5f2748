"""What an Event Hubs namespace and Azure's names cannot hold, each with its line and what to write instead."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from tests.deploy.plans import COPIED, DAY_US, HOOK, NAMES, PLAN, plans

from penstock.batch import TopicSpec
from penstock.declare.planning.findings import Finding, FindingCollector
from penstock.declare.subscriptions import TTL_MAX_US
from penstock.deploy.azure import limits
from penstock.deploy.requirements import requirements_of
from penstock.log import broker_limits
from penstock.log.kafka.cluster.event_hubs import EVENT_HUBS
from penstock.plan.plan import FunctionSpec, Plan, StageSpec
from penstock.plan.references import ReferenceSpec
from penstock.stages.deliver.attempts import RUNGS_S


def found(plan: Plan) -> list[Finding]:
    report = FindingCollector()
    limits.check_limits(requirements_of(plan), report)
    return report.findings


def with_topic(**options: object) -> Plan:
    topic = replace(PLAN.topics[0], **options)  # type: ignore[arg-type]
    stages = [replace(stage, source=topic.name) if stage.source == "orders" else stage for stage in PLAN.stages]
    return replace(PLAN, topics=(topic, *PLAN.topics[1:]), stages=tuple(stages))


def delivering(topic: str) -> Plan:
    """With a subscription to a topic of that name."""
    plan = with_topic(name=topic)
    return replace(plan, subscriptions=(replace(HOOK, source=topic),))


def copying(name: str) -> Plan:
    return replace(PLAN, subscriptions=(replace(COPIED, name=name),))


def with_topics(count: int) -> Plan:
    return Plan("shop", "", "", tuple(TopicSpec(f"t{n}", retain_us=DAY_US, place=f"app.py:{n}") for n in range(count)))


def with_readers(count: int, source: str = "orders") -> Plan:
    stages: tuple[StageSpec, ...] = tuple(
        FunctionSpec(f"f{n}", source, None, "event", place=f"app.py:{100 + n}") for n in range(count)
    )
    return replace(PLAN, stages=stages)


def with_stage(name: str) -> Plan:
    return replace(PLAN, stages=(replace(PLAN.stages[0], name=name), *PLAN.stages[1:]))


def with_secrets(*names: str) -> Plan:
    return replace(
        PLAN, resources=(replace(PLAN.resources[0], references=tuple(ReferenceSpec("secret", n) for n in names)),)
    )


CASES = {
    "an eleventh hub": (with_topics(8), "app.py:7", "'t7' would be the hub number 11", "make do with 7 topics"),
    "33 partitions": (with_topic(partitions=33), "app.py:2", "has 33 partitions, and an event hub 32", "partitions=32"),
    "kept for ever": (
        with_topic(retain_us=None),
        "app.py:2",
        "kept for ever, and an event hub",
        "retain='7d'",
    ),
    "8 days": (
        with_topic(retain_us=8 * DAY_US),
        "app.py:2",
        "kept for 8 days, and an event hub",
        "retain='7d'",
    ),
    "a minute": (with_topic(retain_us=60_000_000), "app.py:2", "an event hub keeps whole hours", "retain='1h'"),
    "90 minutes": (with_topic(retain_us=DAY_US // 16), "app.py:2", "1.5 hours, and an event hub keeps", "retain='2h'"),
    "bytes": (
        with_topic(retain_bytes=9),
        "app.py:2",
        "retain_bytes=, and an event hub keeps",
        "leave retain_b",
    ),
    "a hub's name": (
        with_topic(name="_orders"),
        "app.py:2",
        "'_orders', and an event hub's",
        "the topic another",
    ),
    "hubs of one name": (
        with_topic(name="Inputs"),
        "app.py:3",
        r"'Inputs' \(app.py:2\)",
        "the topic another",
    ),
    "a group's end": (with_stage("prepare-"), "app.py:5", "'prepare-', and a consumer group's name", "write name="),
    "a group's length": (with_stage("p" * 51), "app.py:5", "51 characters, and a consumer", "1 characters shorter"),
    "a group that delivers": (
        delivering("o" * 34),
        "app.py:2",
        "the group that delivers topic 'o+' would be called 'penstock.deliver.o+', 51 characters, and a consumer",
        "give the topic another name, 1 characters shorter",
    ),
    "a group that copies": (
        copying("c" * 51),
        "app.py:13",
        "subscription 'c+' would be called 'c+', 51 characters, and a consumer group",
        "name= with another name at the subscription, 1 char",
    ),
    "a topic too many beside what delivers": (
        replace(with_topics(7), subscriptions=(replace(HOOK, source="t0"),)),
        "app.py:6",
        "'t6' would be the hub number 11: the app has 7 topics and Penstock 4",
        "make do with 6 topics",
    ),
    "20 readers": (
        with_readers(20),
        "app.py:119",
        "'f19' is one of 20 .* room for 19",
        "feed a second",
    ),
    "19 listeners": (
        with_readers(19, "penstock.system"),
        "app.py:118",
        "'f18' is one of 19 .* room for 18",
        "several stages in one",
    ),
    "secrets of one name": (
        with_secrets("KEY", "_KEY"),
        "app.py:10",
        "would both be called 'key'",
        "the variable",
    ),
    "a secret of no name": (with_secrets("_"), "app.py:10", "would have no name", "the variable"),
    "a long app": (replace(PLAN, app="s" * 25), "app.py:1", "33 characters, and a", "1 char"),
    "an app that begins with a digit": (
        replace(PLAN, app="9lives"),
        "app.py:1",
        "'9lives-gateway', and a",
        "the app",
    ),
    "an app of no name": (replace(PLAN, app="___"), "app.py:1", "would have no name", "the app another"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_held_is_told_with_its_line_and_the_mend(case: str) -> None:
    plan, place, message, mend = CASES[case]
    told = [f for f in found(plan) if re.search(message, f.message)]
    assert len(told) == 1, f"it is not told: {found(plan)}"
    assert told[0].place == place and mend in told[0].mend
    assert told[0].severity == ("warning" if case == "bytes" else "error")


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        with_topics(7),
        with_readers(19),
        with_readers(18, "penstock.system"),
        with_topic(partitions=32),
        with_topic(retain_us=3_600_000_000),
        with_stage("p" * 50),
        delivering("o" * 33),
        copying("c" * 50),
        replace(PLAN, app="s" * 24),
    ],
)
def test_what_just_fits_is_held(plan: Plan) -> None:
    assert found(plan) == []


@settings(max_examples=100, deadline=None)
@given(plans(NAMES) | plans(NAMES, subscribed=True))
def test_names_of_what_is_held_are_legal_and_differ(plan: Plan) -> None:
    check_names(plan)


def check_names(plan: Plan) -> None:
    """By Azure's own table of names."""
    if any(finding.severity == "error" for finding in found(plan)):
        return
    needed = requirements_of(plan)
    hubs = [log.name for log in needed.logs]
    secrets = [re.sub("[^a-z0-9]+", "-", s.name.lower()).strip("-") for s in needed.secrets]
    assert len(hubs) <= 10 and len({hub.lower() for hub in hubs}) == len(hubs), "two hubs are one"
    assert all(re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,254}[a-zA-Z0-9])?", hub) for hub in hubs), "no hub's name"
    assert len(set(secrets)) == len(secrets) and all(re.fullmatch("[a-z0-9-]{1,127}", s) for s in secrets)
    for log in needed.logs:
        assert 1 <= log.partitions <= 32
        groups = [reader.group for reader in log.readers if not reader.group.startswith("penstock.redrive.")]
        assert len(groups) <= 19 and all(len(group) <= 50 for group in groups)


@pytest.mark.parametrize(
    ("broken", "plan", "reason"),
    [
        ("check_unique", with_topic(name="Inputs"), "two hubs are one"),
        ("check_legal", with_topic(name="_orders"), "no hub's name"),
    ],
)
def test_names_that_nobody_checks_are_found(
    broken: str, plan: Plan, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, broken, lambda *_: None)
    with pytest.raises(AssertionError, match=reason):
        check_names(plan)


def unlimited(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("broken", "case"),
    [("_check_hubs", "an eleventh hub"), ("_check_partitions", "33 partitions"), ("_check_retention", "8 days"),
     ("_check_groups", "20 readers")],
)  # fmt: skip
def test_a_limit_that_nobody_checks_is_found(broken: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, broken, unlimited)
    with pytest.raises(AssertionError, match="it is not told"):
        test_what_cannot_be_held_is_told_with_its_line_and_the_mend(case)


def test_what_waits_for_another_attempt_is_kept_for_longer_than_it_may_wait() -> None:
    """On the ladder a row is written anew for each attempt; the last is due one rung after its time is over."""
    assert TTL_MAX_US / 1e6 + RUNGS_S[-1] < broker_limits.HUB_RETENTION_HOURS * 3_600


def test_a_run_has_the_same_limits() -> None:
    assert EVENT_HUBS.partitions == broker_limits.HUB_PARTITIONS
    assert EVENT_HUBS.record == broker_limits.HUB_RECORD_LIMIT_BYTES
    assert f"{EVENT_HUBS.record:,} bytes" in limits.REMARKS[0]
