from __future__ import annotations

from dataclasses import replace

import pytest
from tests.deploy.plans import HOOK, PLAN

from penstock.batch import TopicSpec
from penstock.deploy.requirements import requirements_of
from penstock.deploy.table import needed_rows, right_rows

NEEDED = requirements_of(PLAN)


def test_every_requirement_and_every_right_is_a_row() -> None:
    rows = list(needed_rows(NEEDED))
    kinds = [row["what"] for row in rows]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "log": 6, "store": 1, "service": 2, "model": 2, "secret": 1, "setting": 1
    }  # fmt: skip
    assert len(list(right_rows(NEEDED))) == len(list(NEEDED.rights))


def test_details_of_each_kind() -> None:
    said = {(row["what"], row["name"]): row["details"] for row in needed_rows(NEEDED)}
    assert said["log", "penstock.snapshots"] == "1 partition, kept 67,108,864 bytes"
    assert said["log", "penstock.system"] == "1 partition, kept for ever"
    assert said["log", "orders"] == "4 partitions, kept 7d"
    assert said["service", "worker"] == "prepare, evaluate, score, penstock.registry, penstock.start"
    assert said["model", "risk"] == "alias champion, first version of risk.onnx"
    assert said["model", "other"] == "alias champion"
    assert said["setting", "RISKS_URL"] == "must be given"


def test_details_of_what_lies_outside() -> None:
    inside = replace(HOOK, url="http://10.0.0.9/", allow_http=True, allow_private=True)
    rows = needed_rows(requirements_of(replace(PLAN, subscriptions=(HOOK, inside))))
    assert [(row["name"], row["details"]) for row in rows if row["what"] == "host"] == [
        ("hooks.example.com", "8443 of TCP, public addresses alone"),
        ("10.0.0.9", "80 of TCP, also inside of the network"),
    ]


@pytest.mark.parametrize("topic", [TopicSpec("t", retain_us=3_600_000_000, retain_bytes=1000, place="app.py:3")])
def test_a_topic_with_two_bounds(topic: TopicSpec) -> None:
    rows = needed_rows(requirements_of(replace(PLAN, topics=(topic,), stages=(), models=(), resources=())))
    assert [row["details"] for row in rows if row["name"] == "t"] == ["4 partitions, kept 1h and 1,000 bytes"]
