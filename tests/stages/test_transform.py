"""System events, conditions, and commands that commit with the event."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, Write
from penstock.declare.plan import FunctionSpec
from penstock.models.messages import Promoted, to_rows
from penstock.runner.interface import Applied, SetAlias
from penstock.stages.transform import Transform


def workflow(rig: Any, script: Any, **more: Any) -> Transform:
    from types import SimpleNamespace

    spec = FunctionSpec("flow", SYSTEM, None, "event", event="penstock.model.promoted", injects=("Models",), **more)
    runner = SimpleNamespace(apply=lambda stage, rows, timeout, services: script(rows))
    return Transform(spec, None, runner, rig.clock, rig.settings)  # type: ignore[arg-type]


def promoted(rig: Any, *models: str) -> None:
    events = [
        Promoted(model=m, alias="champion", from_version=i - 1 or None, to_version=i, epoch=1, causationid="c")
        for i, m in enumerate(models)
    ]
    rig.log.append([Write(SYSTEM, 0, to_rows(events))])


def asks(rows: pa.RecordBatch) -> Applied:
    data = json.loads(rows.column("json")[0].as_py())
    wanted = [SetAlias(data["model"], "seen", data["to"]), SetAlias(data["model"], "again", data["to"])]
    return Applied(None, np.zeros(0, np.int64), commands=wanted)


def commands(rig: Any) -> list[dict[str, Any]]:
    return [r for r in rig.rows(SYSTEM) if r["_type"] == "penstock.command.alias"]


def test_only_the_events_that_match_are_handled_and_all_are_passed(rig: Any) -> None:
    promoted(rig, "a", "b", "a", "c")
    pump = rig.pump(workflow(rig, asks, where="model = 'a'"))
    rig.drain(pump)
    assert rig.lag(pump) == 0
    assert [json.loads(r["json"])["version"] for r in commands(rig)] == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("version > 1", [2, 2, 3, 3]),
        ("previous IS NULL AND version = 1", [1, 1]),
        ("previous = 1", [2, 2]),
        ("model = 'a' AND previous = 2", [3, 3]),
        ("previous = 0", []),
    ],
)
def test_conditions_name_the_fields_of_the_class(rig: Any, where: str, expected: list[int]) -> None:
    """In the log's JSON they are called ``from`` and ``to``."""
    promoted(rig, "zero", "b", "a", "a")
    pump = rig.pump(workflow(rig, asks, where=where))
    rig.drain(pump)
    assert rig.lag(pump) == 0
    assert [json.loads(r["json"])["version"] for r in commands(rig)] == expected


def test_command_ids_are_equal_at_any_batch_size(new_rig: Any) -> None:
    def ids(rows: int) -> list[str]:
        rig = new_rig()
        promoted(rig, *"abcdefg")
        rig.drain(rig.pump(workflow(rig, asks), rows=rows))
        return [r["_id"] for r in commands(rig)]

    assert ids(1) == ids(3) == ids(1_000)
    assert len(set(ids(1))) == 14


def test_a_condition_that_cannot_be_asked_holds_the_stage(rig: Any) -> None:
    promoted(rig, "a")
    pump = rig.pump(workflow(rig, asks, where="nonsense > 3"))
    pump.step(0.0)
    assert not pump.status.ready
    assert "nonsense" in pump.status.why
