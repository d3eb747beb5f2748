"""Commands answered beside each other, and who asks for a snapshot."""

from __future__ import annotations

import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.memory import MemoryLog
from penstock.models.decide import RegistryState
from penstock.models.interface import Signature
from penstock.models.messages import MoveAlias, Register
from penstock.system.areas import Areas
from penstock.system.interface import Unfinished
from penstock.system.messages import Refused, SnapshotDue, to_rows
from penstock.system.owner import ASK_AGAIN_S, Reminder, answer
from penstock.system.view import SNAPSHOT_AGE_S, View

SIGNATURE = Signature(pa.schema([("x", pa.float32())]), pa.schema([("y", pa.float64())]))


def inspect(command: Register) -> tuple[str, Signature]:
    if command.digest == "later":
        raise Unfinished
    return "onnx", SIGNATURE


def register(id: str = "a", digest: str = "ab" * 32) -> Register:
    return Register(id=id, name="delay", digest=digest)


def move(id: str = "m", expected: int = 1) -> MoveAlias:
    return MoveAlias(id=id, model="delay", alias="champion", version=1, expected=expected)


def test_commands_of_one_batch_see_each_other_and_the_areas_given_stay() -> None:
    state = RegistryState(inspect=inspect)
    events, parents = answer(Areas([state]), to_rows([register(), move(), register("b"), move()]), now=7)
    assert [type(e).__name__ for e in events] == ["Registered", "Promoted", "Promoted", "Registered"]
    assert parents == [0, 0, 1, 2]
    assert state == RegistryState()


def test_who_comes_behind_an_unfinished_one_does_not_wait() -> None:
    rows = to_rows([register("a", "later"), register("b")])
    events, parents = answer(Areas([RegistryState(inspect=inspect)]), rows, now=7)
    assert [event.causationid for event in events] == ["b", "b"]  # type: ignore[attr-defined]
    assert parents == [1, 1]


def test_a_command_that_cannot_be_read_is_answered() -> None:
    rows = to_rows([register()])
    rows = rows.set_column(0, rows.schema.field(0), pa.array(['{"id": "a", "name": 5}']))
    ((refused,), parents) = answer(Areas([RegistryState(inspect=inspect)]), rows, now=7)
    assert isinstance(refused, Refused)
    assert (refused.causationid, refused.kind, parents) == ("a", "invalid", [0])
    assert "Expected `str`, got `int` - at `$.name`" in refused.reason


def test_commands_of_areas_that_are_not_known_are_left_to_who_knows_them() -> None:
    assert answer(Areas([]), to_rows([register()]), now=7) == ([], [])


# -- the reminder -------------------------------------------------------------


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog(ManualClock())
    log.create(TopicSpec(SYSTEM, partitions=1))
    return log


def asked(log: MemoryLog) -> int:
    reader = log.reader(None, [SYSTEM], "look")
    return sum(
        batch.rows.column("_type").to_pylist().count(SnapshotDue.TYPE)
        for batches in iter(lambda: reader.read(1_000, 0.0), [])
        for batch in batches
    )


def test_an_owner_with_nothing_to_do_is_reminded_when_a_snapshot_is_due(log: MemoryLog) -> None:
    clock = ManualClock()
    view = View(log, [RegistryState()], clock, "gateway")
    reminder = Reminder(log, view, clock)
    view.refresh()
    reminder.look()
    assert asked(log) == 0, "there is nothing to save"
    log.append([Write(SYSTEM, 0, to_rows([register()]))])
    view.refresh()
    reminder.look()
    assert asked(log) == 0, "not yet"
    clock.advance(SNAPSHOT_AGE_S)
    for _ in range(3):
        view.refresh()
        reminder.look()
    assert asked(log) == 1, "once, and again later"
    clock.advance(ASK_AGAIN_S)
    reminder.look()
    assert asked(log) == 2
