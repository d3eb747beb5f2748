"""Artifacts looked at beside the registry: nobody waits for one, and nothing comes of what is cut off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import pyarrow as pa
import pytest

from penstock.errors import ModelRefused, RunnerDied
from penstock.models.interface import Signature
from penstock.models.messages import Register
from penstock.stages.inspection import AT_ONCE, Inspections
from penstock.stages.scoring.loading import at_once
from penstock.stages.scoring.slots import Loan, of_its_own

FOUND = ("onnx", Signature(pa.schema([]), pa.schema([])))


@dataclass
class Idle:
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class House:
    """Work that is begun waits in ``todo`` until it is done by hand."""

    todo: list[Callable[[], None]] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    runners: list[Idle] = field(default_factory=list)

    def __post_init__(self) -> None:
        def begun(work: Callable[[], None]) -> None:
            from threading import Thread

            def elsewhere() -> None:
                thread = Thread(target=work)
                thread.start()
                thread.join()

            self.todo.append(elsewhere)

        self.inspections = Inspections(self.runner, lambda command: self.again.append(command.id), begun)

    def runner(self, command: Register) -> Loan:
        self.runners.append(Idle())
        return of_its_own(self.runners[-1])  # type: ignore[arg-type]

    def ask(self, id: str, look: Any = lambda runner: FOUND) -> Any:
        return self.inspections.result(Register(id=id, name="m", digest="ab" * 32), look)

    def work(self) -> None:
        while self.todo:
            self.todo.pop(0)()


def test_a_result_is_fetched_when_the_command_is_asked_again() -> None:
    house = House()
    assert house.ask("a") is None and house.ask("a") is None
    assert len(house.todo) == 1, "asked twice, looked at once"
    house.work()
    assert house.again == ["a"] and house.runners[0].closed == 1
    assert house.ask("a") == FOUND


def test_one_that_hangs_keeps_nobody_else_waiting() -> None:
    house = House()
    assert house.ask("hangs") is None
    hangs = house.todo.pop()
    assert house.ask("b") is None
    house.work()
    assert house.ask("b") == FOUND
    hangs()
    assert house.ask("hangs") == FOUND


def test_no_more_at_once_than_there_is_memory_for() -> None:
    house = House()
    for n in range(2 * AT_ONCE):
        assert house.ask(str(n)) is None
    assert len(house.todo) == AT_ONCE
    house.work()
    assert sorted(house.again) == [str(n) for n in range(2 * AT_ONCE)]


@pytest.mark.parametrize("error", [RunnerDied("it was over its 30 s"), ModelRefused("a cake"), ValueError("our fault")])
def test_what_goes_wrong_is_a_refusal(error: Exception) -> None:
    def look(runner: Any) -> Any:
        raise error

    house = House()
    assert house.ask("a", look) is None
    house.work()
    with pytest.raises(ModelRefused, match=str(error)):
        house.ask("a", look)
    assert house.ask("a") is None, "the next to ask looks again"


def test_what_is_cut_off_is_no_refusal() -> None:
    def look(runner: Any) -> Any:
        raise RunnerDied("it was closed")

    house = House()
    assert house.ask("a", look) is None
    house.inspections.close()
    house.work()
    assert house.again == [] and house.ask("a") is None


@pytest.mark.parametrize("error", [None, ModelRefused("a cake")])
def test_who_lent_the_runner_hears_whether_the_artifact_fits(error: Exception | None) -> None:
    def look(runner: Any) -> Any:
        assert turn.locked(), "others ask the runner for something too"
        if error is not None:
            raise error
        return FOUND

    turn, lent, heard = Lock(), Idle(), list[bool]()
    inspections = Inspections(lambda command: Loan(lent, heard.append, turn), lambda command: None, at_once)  # type: ignore[arg-type]
    with suppress(ModelRefused):
        inspections.result(Register(id="a", name="m", digest="ab" * 32), look)
    assert (heard, lent.closed) == ([error is None], 0)


def test_without_a_thread_the_result_is_there_at_once() -> None:
    again: list[Register] = []
    inspections = Inspections(lambda command: of_its_own(Idle()), again.append, at_once)  # type: ignore[arg-type]
    assert inspections.result(Register(id="a", name="m", digest="ab" * 32), lambda runner: FOUND) == FOUND
    assert again == []
