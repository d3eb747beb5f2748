from __future__ import annotations

import json

import pyarrow as pa
import pytest

import penstock as ps
from penstock.declare.planning.findings import FindingCollector
from penstock.declare.planning.where import check_where, holds

PROMOTED = [
    {"model": "delay", "alias": "champion", "from": None, "to": 1, "epoch": 1, "causationid": "x"},
    {"model": "delay", "alias": "champion", "from": 1, "to": 2, "epoch": 2, "causationid": "y"},
    {"model": "other", "alias": "shadow", "from": None, "to": 2, "epoch": 1, "causationid": "z"},
]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("model = 'delay'", [True, True, False]),
        ("version = 2 AND alias = 'champion'", [False, True, False]),
        ("previous IS NULL", [True, False, True]),
        ("previous = 1", [False, True, False]),
        ("model IN ('other') OR version < 2", [True, False, True]),
        ("NOT previous BETWEEN 1 AND 5", [False, False, False]),
        ("model LIKE 'del%' AND epoch + 1 > version", [True, True, False]),
        ("1 = 1", [True, True, True]),
    ],
)
def test_a_condition_that_passes_the_check_can_be_asked(where: str, expected: list[bool]) -> None:
    report = FindingCollector()
    check_where(where, ps.ModelPromoted, "app.py:1", report)
    assert not report.findings
    texts = pa.array([json.dumps(event) for event in PROMOTED])
    assert holds(where, ps.ModelPromoted.event_type, texts).tolist() == expected
    assert holds(where, ps.ModelPromoted.event_type, texts.slice(0, 0)).tolist() == []


@pytest.mark.parametrize(
    "where", ["to = 1", "version", "model = ", "", "metrics = 1", "(SELECT 1)", "version = 'x' +", "_id = 'x'"]
)
def test_any_other_is_refused(where: str) -> None:
    report = FindingCollector()
    check_where(where, ps.ModelPromoted, "app.py:1", report)
    (error,) = report.errors
    assert error.place == "app.py:1"
    assert "write a condition over model, alias, version" in error.mend


def test_all_system_events_can_be_asked_about() -> None:
    data = {"model": "m", "version": 1, "dataset_id": None, "metrics": {"mae": 1.5}, "digest": "d"}
    texts = pa.array([json.dumps(data)])
    assert holds("dataset_id IS NULL AND model = 'm'", ps.ModelRegistered.event_type, texts).tolist() == [True]
    assert ps.ModelRegistered.read(data) == ps.ModelRegistered("m", 1, None, {"mae": 1.5})
