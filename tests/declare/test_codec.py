from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.batch import JSON_SCHEMA, TopicSpec
from penstock.declare.codec import plan_from_bytes, plan_to_bytes
from penstock.declare.load import load
from penstock.declare.plan import Plan
from penstock.declare.planning.build import resolve

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/app.py"))


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


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"app": 1}'])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        plan_from_bytes(data)
