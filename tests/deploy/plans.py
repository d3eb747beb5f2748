"""Plans for the tests of this room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from penstock.batch import DEAD, SYSTEM, TopicSpec
from penstock.declare.load import load
from penstock.declare.planning.build import resolve
from penstock.plan.plan import (
    FunctionSpec,
    HandleSpec,
    ModelSpec,
    Plan,
    ResourceSpec,
    ScoreSpec,
    StageSpec,
    SubscriptionSpec,
    Verb,
)
from penstock.plan.references import ReferenceSpec

ROOT = Path(__file__).parents[2]
APPS = {
    "flights": ROOT / "examples" / "flights" / "app.py",
    "fraud": ROOT / "examples" / "fraud" / "app.py",
    "quickstart": ROOT / "examples" / "quickstart" / "app.py",
    "scalable_ingestion": ROOT / "examples" / "scalable_ingestion" / "app.py",
    "demo": ROOT / "src" / "penstock" / "demo" / "app.py",
}
DAY_US = 86_400_000_000

KEY, URL = ReferenceSpec("secret", "API_KEY"), ReferenceSpec("env", "RISKS_URL")
PLAN = Plan(
    "shop",
    "app.py:app",
    "",
    (
        TopicSpec("orders", retain_us=7 * DAY_US, place="app.py:2"),
        TopicSpec("inputs", retain_us=DAY_US, place="app.py:3"),
        TopicSpec("scores", retain_us=DAY_US, place="app.py:4"),
    ),
    (
        FunctionSpec("prepare", "orders", "inputs", "frame", resources=("Risks",), place="app.py:5"),
        FunctionSpec(
            "evaluate", SYSTEM, None, "event", handles=(HandleSpec("Models", ("load", "alias")),), place="app.py:6"
        ),
        ScoreSpec("score", "inputs", "scores", "risk", place="app.py:7"),
    ),
    (ModelSpec("risk", ("y",), artifact="risk.onnx", place="app.py:8"), ModelSpec("other", ("y",), place="app.py:9")),
    (ResourceSpec("Risks", (), (KEY, URL), "app.py:10"),),
    place="app.py:1",
)


HOOK = SubscriptionSpec(
    "cases", "scores", "https://hooks.example.com:8443/", secrets=(ReferenceSpec("secret", "HOOK_KEY"),),
    headers=(("x-a", ReferenceSpec("env", "TEAM", "risk")),), place="app.py:11",
)  # fmt: skip
NAMED = SubscriptionSpec("named", "scores", ReferenceSpec("secret", "HOOK_URL"), place="app.py:12")
COPIED = SubscriptionSpec("copied", SYSTEM, topic="inputs", event="penstock.model.registered", place="app.py:13")
SUBSCRIBED = replace(PLAN, subscriptions=(HOOK, NAMED, COPIED))
"""The same with subscriptions: two to hosts outside, one of them known to the environment alone, and one to a topic."""


def plan_of(app: str) -> Plan:
    found = load(str(APPS[app]))
    return resolve(found.app, target=found.target).plan


# As declarations may have them: ``declare.values.checked_name``.
NAMES = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,70}", fullmatch=True).filter(
    lambda name: not name.startswith("penstock.")
)
SHORT = st.from_regex(r"[a-cA-C][a-c._-]{0,3}", fullmatch=True)
VARIABLES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True)
MODELS: tuple[Verb, ...] = ("load", "register", "alias")
VERBS = st.lists(st.sampled_from(MODELS), unique=True).map(tuple)
LINES = st.integers(1, 99).map("app.py:{}".format)


@st.composite
def plans(draw: st.DrawFn, names: st.SearchStrategy[str] = SHORT, *, subscribed: bool = False) -> Plan:
    """Any that could be declared: names of one kind differ, and stages stand between topics that there are.
    ``subscribed``: with subscriptions."""
    topics = draw(st.lists(names, min_size=1, max_size=9, unique=True))
    models = draw(st.lists(names, max_size=3, unique=True))
    resources = draw(st.lists(st.sampled_from("PQR"), max_size=3, unique=True))
    reference = st.builds(ReferenceSpec, st.sampled_from(["env", "secret"]), VARIABLES)
    references = st.lists(reference, max_size=2).map(tuple)
    some = st.lists(st.sampled_from(resources), max_size=2).map(tuple) if resources else st.just(())
    sources, targets = st.sampled_from([*topics, SYSTEM, DEAD]), st.sampled_from([None, *topics])

    def stage(name: str) -> st.SearchStrategy[StageSpec]:
        handles = VERBS.map(lambda verbs: (HandleSpec("Models", verbs),))
        function: st.SearchStrategy[StageSpec] = st.builds(
            FunctionSpec, st.just(name), sources, targets, st.just("event"), handles=handles, resources=some,
            references=references, place=LINES,
        )  # fmt: skip
        if not models:
            return function
        among = st.sampled_from(topics)
        return function | st.builds(ScoreSpec, st.just(name), among, among, st.sampled_from(models), place=LINES)

    secrets = st.lists(st.builds(ReferenceSpec, st.just("secret"), VARIABLES), max_size=2).map(tuple)
    hosts = st.sampled_from(["https://a.example/x", "https://b.example/"]) | reference

    def subscription(name: str) -> st.SearchStrategy[SubscriptionSpec]:
        hook = st.builds(SubscriptionSpec, st.just(name), sources, url=hosts, secrets=secrets, place=LINES)
        copied = st.builds(SubscriptionSpec, st.just(name), sources, topic=st.sampled_from(topics), place=LINES)
        return hook | copied

    called = draw(st.lists(names, max_size=8, unique=True))
    hours = st.integers(1, 200).map(lambda count: count * DAY_US // 24)
    encodings: st.SearchStrategy[Any] = st.sampled_from(["arrow", "json"])
    kept: st.SearchStrategy[Any] = st.none() | st.integers(1, 10 * DAY_US) | hours
    return Plan(
        draw(names),
        "app.py:app",
        "",
        tuple(
            TopicSpec(name, partitions=draw(st.integers(1, 40)), retain_us=draw(kept), encoding=draw(encodings),
                      place=draw(LINES))
            for name in topics
        ),
        tuple(draw(stage(name)) for name in called[:5]),
        tuple(
            ModelSpec(name, ("y",), artifact=draw(st.none() | st.just("m.onnx")), place=draw(LINES)) for name in models
        ),
        tuple(ResourceSpec(name, draw(some), draw(references), draw(LINES)) for name in resources),
        place="app.py:1",
        subscriptions=tuple(draw(subscription(name)) for name in called[5:] if subscribed),
    )  # fmt: skip
