"""System events, conditions, and commands that commit with the event."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, Write
from penstock.declare.handles.models import Models
from penstock.errors import ResultMisshapen, TaskFailed
from penstock.models.messages import Promoted
from penstock.plan.plan import FunctionSpec, HandleSpec
from penstock.runner.interface import Applied, SetAlias
from penstock.stages.transform import Transform
from penstock.system.messages import to_rows


def workflow(rig: Any, script: Any, **more: Any) -> Transform:
    from types import SimpleNamespace

    asked = {"handles": (HandleSpec("Models", Models.VERBS),), **more}
    spec = FunctionSpec("flow", SYSTEM, None, "event", event="penstock.model.promoted", **asked)
    runner = SimpleNamespace(apply=lambda stage, rows, timeout, services: script(rows))
    return Transform(spec, None, runner, rig.clock, rig.settings)


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


def test_an_alias_moves_only_by_a_handle_that_does_that(rig: Any, handles: tuple[HandleSpec, ...] = ()) -> None:
    """Whatever a runner says: here a child that was talked into more than its function asks for."""
    promoted(rig, "a")
    rig.drain(rig.pump(workflow(rig, asks, handles=handles)))
    assert not commands(rig), "it moved"
    (letter,) = rig.rows("penstock.dead")
    assert letter["error"] == "NotOffered" and "asks for no handle that does" in letter["reason"]


def test_an_alias_that_moves_without_is_found(rig: Any) -> None:
    with pytest.raises(AssertionError, match="it moved"):
        test_an_alias_moves_only_by_a_handle_that_does_that(rig, (HandleSpec("Models", ("alias",)),))


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


# -- whose fault it is --------------------------------------------------------


def counts_rows(error: type[Exception]) -> Any:
    """An aggregate: right for no batch but one of one row, which it answers with that row's number alone."""

    def script(rows: pa.RecordBatch, limit: float) -> Applied:
        if rows.num_rows > 1:
            raise (
                error("copy returned 1 rows for several", "", "")
                if error is TaskFailed
                else error("1 rows for several")
            )
        values = [rows.column("n"), pa.array([rows.num_rows], pa.int64())]
        return Applied(pa.RecordBatch.from_arrays(values, names=["n", "copy"]), np.zeros(1, np.int64))

    return script


def test_an_aggregate_holds_its_stage_and_is_not_called_row_by_row(rig: Any, misshapen: Any = ResultMisshapen) -> None:
    rig.publish(list(range(40)), 0)
    stage = rig.transform(counts_rows(misshapen), place="app.py:12")
    pump = rig.pump(stage)
    pump.step(0.0)
    rig.clock.advance(3_600.0)  # longer than any row is held
    pump.step(0.0)
    assert rig.rows("out") == [] and rig.rows("penstock.dead") == [], "one row a call made it pass, with wrong values"
    assert stage._runner.calls == [40, 40]
    assert pump.status.why.startswith("app.py:12: 1 rows for several")


def test_a_fault_of_the_rows_would_be_looked_for_row_by_row(rig: Any) -> None:
    """Planted: the error that it was."""
    with pytest.raises(AssertionError, match="one row a call made it pass"):
        test_an_aggregate_holds_its_stage_and_is_not_called_row_by_row(rig, TaskFailed)


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
