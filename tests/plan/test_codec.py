from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.batch import JSON_SCHEMA, TopicSpec
from penstock.declare.load import load
from penstock.declare.planning.build import resolve
from penstock.errors import PlanRefused
from penstock.filters.eventgrid import AdvancedFilter, Filter
from penstock.plan import codec
from penstock.plan.codec import VERSION, as_json, plan_from_bytes, plan_to_bytes
from penstock.plan.destination import DestinationSpec
from penstock.plan.edges import edges
from penstock.plan.plan import (
    FunctionSpec,
    HandleSpec,
    ModelSpec,
    Plan,
    ResourceSpec,
    ScoreSpec,
    StageSpec,
    SubscriptionSpec,
)
from penstock.plan.references import ReferenceSpec

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/app.py"))

TEXTS = st.text(max_size=8)
NAMES = st.from_regex(r"[a-z][a-z.-]{0,6}", fullmatch=True)
SCHEMAS = st.lists(st.sampled_from([pa.int64(), pa.string(), pa.list_(pa.float64())]), max_size=3).map(
    lambda kinds: pa.schema([pa.field(f"c{i}", kind, metadata={"rule": "é"}) for i, kind in enumerate(kinds)])
)
REFERENCES = st.builds(ReferenceSpec, st.sampled_from(["env", "secret"]), NAMES, st.none() | TEXTS)
HANDLES = st.builds(HandleSpec, NAMES, st.sampled_from([(), ("load",), ("load", "alias")]))


def few(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=3).map(tuple)


TOPICS = st.builds(
    TopicSpec, NAMES, SCHEMAS, st.integers(1, 9), st.none() | TEXTS, st.none() | st.integers(1, 2**60),
    extra=st.sampled_from(["ignore", "reject"]),
)  # fmt: skip
STAGES: st.SearchStrategy[StageSpec] = st.builds(
    FunctionSpec, NAMES, NAMES, st.none() | NAMES, st.sampled_from(["event", "frame"]), event=st.none() | TEXTS,
    timeout=st.floats(0, 1e6), ttl=st.none() | st.floats(0, 1e6), handles=few(HANDLES), resources=few(TEXTS),
    references=few(REFERENCES), place=TEXTS,
) | st.builds(
    ScoreSpec, NAMES, NAMES, NAMES, NAMES, few(TEXTS), start=st.sampled_from(["earliest", "latest"])
)  # fmt: skip
MODELS = st.builds(
    ModelSpec, NAMES, few(TEXTS), artifact=st.none() | TEXTS | REFERENCES, trust=st.none() | TEXTS | REFERENCES,
    inputs=st.none() | few(TEXTS), on_change=st.sampled_from([None, "keep", "promote"]),
)  # fmt: skip
FILTERS = st.builds(
    Filter, st.none() | st.lists(NAMES, min_size=1), TEXTS, TEXTS, st.booleans(), arrays=st.booleans(),
    advanced=st.lists(
        st.builds(AdvancedFilter, st.just("NumberInRange"), st.just("data.a"), st.just([[1, 2], [3.5, 4]]))
        | st.builds(AdvancedFilter, st.just("StringNotIn"), st.just("Subject"), st.lists(TEXTS, min_size=1, max_size=3))
        | st.builds(AdvancedFilter, st.just("NumberIn"), st.just("data.b"), st.lists(st.integers(-9, 9), min_size=1))
        | st.builds(AdvancedFilter, st.just("BoolEquals"), st.just("data.c"), value=st.booleans())
        | st.builds(AdvancedFilter, st.just("NumberLessThan"), st.just("data.d"), value=st.floats(-9, 9))
        | st.builds(AdvancedFilter, st.just("IsNotNull"), st.just("data.e")),
        max_size=2,
    ),
)  # fmt: skip
FORMATS = st.sampled_from(["cloudevents", "cloudevents-structured", "cloudevents-batch", "eventgrid"])
SUBSCRIPTIONS = st.builds(
    SubscriptionSpec, NAMES, NAMES, st.just("https://example.com/a") | REFERENCES, event=st.none() | TEXTS,
    where=st.none() | TEXTS, filter=st.none() | FILTERS, attempts=st.integers(1, 30), ttl=st.floats(60, 86_400),
    max_events=st.integers(1, 5_000), format=FORMATS, secrets=few(REFERENCES), rate=st.none() | st.floats(0, 1e9),
    headers=few(st.tuples(TEXTS, TEXTS | REFERENCES)), start=st.sampled_from(["earliest", "latest"]),
    allow_http=st.booleans(), allow_private=st.booleans(), place=TEXTS,
) | st.builds(SubscriptionSpec, NAMES, NAMES, topic=NAMES) | st.builds(
    SubscriptionSpec, NAMES, NAMES, destination=st.builds(
        DestinationSpec, NAMES, TEXTS | REFERENCES, NAMES, few(st.tuples(NAMES, TEXTS | REFERENCES))
    ),
)  # fmt: skip
PLANS = st.builds(
    Plan, TEXTS, TEXTS, TEXTS, few(TOPICS), few(STAGES), few(MODELS),
    few(st.builds(ResourceSpec, TEXTS, few(TEXTS), few(REFERENCES), TEXTS)), few(NAMES),
    subscriptions=few(SUBSCRIPTIONS),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(PLANS)
def test_any_plan_survives_being_written_and_read(plan: Plan) -> None:
    for written in (plan_to_bytes(plan), as_json(plan).encode()):
        again = plan_from_bytes(written)
        assert again == plan
        for before, after in zip(plan.topics, again.topics, strict=True):
            assert after.schema.equals(before.schema, check_metadata=True) and after.extra == before.extra


@pytest.mark.parametrize("file", EXAMPLES, ids=[f.parent.name for f in EXAMPLES])
def test_a_plan_survives_the_way_to_another_process(file: Path) -> None:
    loaded = load(str(file))
    plan = resolve(loaded.app, target=loaded.target, code=loaded.code).plan
    again = plan_from_bytes(plan_to_bytes(plan))
    assert again == plan
    for before, after in zip(plan.topics, again.topics, strict=True):
        assert after.schema.equals(before.schema, check_metadata=True)


def test_a_topic_of_json_stays_one() -> None:
    again = plan_from_bytes(plan_to_bytes(Plan("x", "", "", (TopicSpec("t"),)))).topic("t").schema
    assert again.equals(JSON_SCHEMA, check_metadata=True)


PLAN = Plan("x", "app.py:app", "", (TopicSpec("t"),), (FunctionSpec("f", "t", None, "event"),))


def written(**members: object) -> bytes:
    return json.dumps({**json.loads(plan_to_bytes(PLAN)), **members}).encode()


def test_a_document_says_its_version_and_edges() -> None:
    document = json.loads(as_json(PLAN))
    assert document["version"] == VERSION
    assert document["edges"] == [{"who": "f", "verb": "read", "what": "t"}]
    assert document["stages"][0]["kind"] == "function"


def test_a_plan_of_a_later_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        PlanRefused, match=f"version {VERSION + 1}, and this Penstock reads versions 1 to {VERSION}; upda"
    ):
        plan_from_bytes(written(version=VERSION + 1))


def test_a_reader_that_takes_any_version_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "VERSION", VERSION + 1)
    monkeypatch.setattr(codec, "_UPGRADES", {VERSION: lambda document: document})
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_plan_of_a_later_version_is_refused_with_what_to_do()


def test_a_kind_of_stage_that_is_not_known_is_refused() -> None:
    with pytest.raises(PlanRefused, match="of the kind 'archive'; here there are function, scorer; update"):
        plan_from_bytes(written(stages=[{"kind": "archive", "name": "a"}]))


def test_members_of_a_later_reader_are_passed_over() -> None:
    assert plan_from_bytes(written(novel=1)) == PLAN


def test_a_plan_of_version_1_is_read() -> None:
    function = {
        "name": "f",
        "source": "t",
        "to": "u",
        "takes": "event",
        "injects": ["Models", "Risks"],
        "start": "latest",
    }
    scorer = {"name": "s", "source": "u", "model": "m", "to": "v", "keep": ["id"]}
    before = {
        "app": "x",
        "target": "/a/app.py:app",
        "code": "c",
        "topics": [],
        "functions": [function],
        "scorers": [scorer],
    }
    read = plan_from_bytes(json.dumps(before).encode())
    asked = HandleSpec("Models", ("load", "register", "alias"))
    assert read.stages == (
        FunctionSpec("f", "t", "u", "event", handles=(asked,), resources=("Risks",), start="latest"),
        ScoreSpec("s", "u", "v", "m", ("id",)),
    )
    assert plan_from_bytes(plan_to_bytes(read)) == read


def test_a_plan_of_version_2_is_read() -> None:
    assert plan_from_bytes(written(version=2)) == PLAN
    before = json.loads(written(version=2))
    del before["subscriptions"]
    assert plan_from_bytes(json.dumps(before).encode()) == PLAN


def test_a_plan_with_subscriptions_is_of_a_version_that_no_reader_of_before_takes() -> None:
    """It would run the app and deliver nothing."""
    plan = replace(PLAN, subscriptions=(SubscriptionSpec("s", "t", "https://example.com/"),))
    assert json.loads(plan_to_bytes(plan))["version"] >= 3


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": "https://example.com/", "topic": "t"},
        {"url": "ftp://example.com/"},
        {"url": 3},
        {"topic": "t", "filter": {"advanced": [{"operator_type": "NumberNear", "key": "data.a"}]}},
    ],
)
def test_a_subscription_that_could_not_be_declared_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanRefused, match=r"this is no plan: .*--plan makes one"):
        plan_from_bytes(written(subscriptions=[{"name": "s", "source": "t", **wrong}]))


def test_the_edges_of_a_document_are_not_believed() -> None:
    forged = plan_from_bytes(written(edges=[{"who": "f", "verb": "secret", "what": "KEY"}]))
    assert edges(forged) == edges(PLAN)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"app": 1}', b'{"version": 0}', b'{"version": "2"}',
     written(stages=[1]), written(stages=[{}]), written(topics=[{"name": "t", "schema": "AAAA"}])],
)  # fmt: skip
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PlanRefused, match="--plan"):
        plan_from_bytes(data)


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_any_other_json_is_refused(document: Any) -> None:
    members = document if isinstance(document, dict) else {"stages": document}
    with pytest.raises(PlanRefused):
        plan_from_bytes(msgspec.json.encode(members))


def test_a_plan_holds_no_value_of_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    plan = replace(PLAN, models=(ModelSpec("m", ("y",), artifact=ReferenceSpec("secret", "API_KEY")),))
    assert b"hunter2" not in plan_to_bytes(plan) and "hunter2" not in repr(plan)
    assert b"API_KEY" in plan_to_bytes(plan)
