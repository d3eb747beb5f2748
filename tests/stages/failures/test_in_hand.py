"""A row that ends the worker itself is found over several of its lives; one that was only there when it died is not."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from penstock.clock import ManualClock
from penstock.run import outliving
from penstock.runner.interface import Applied
from penstock.stages.failures import in_hand as module
from penstock.stages.failures.in_hand import CAREFUL_S, DEATHS, SIZE_BYTES, InHand, SuspectTurn

KILLED = "it was killed by SIGKILL"

Deadly = Callable[[list[int]], bool]


class Death(BaseException):
    """The end of a worker: nothing after it is done any more."""


@pytest.fixture
def file() -> Iterator[int]:
    made = outliving.make()
    yield made
    os.close(made)


class Lives:
    """A worker with one stage, again and again, until its work is done. ``ours``: the supervisor killed it."""

    def __init__(self, rig: Any, copies: Callable[..., Applied], file: int) -> None:
        self._rig, self._copies, self._file = rig, copies, file
        self.count = 0

    def run(self, deadly: Deadly, *, most: int = 50, rows: int = 4_096, ours: bool = False) -> None:
        for _ in range(most):
            self.count += 1
            try:
                return self._live(deadly, rows)
            except Death:
                os.pwrite(self._file, self._left, 0)
                outliving.forget(self._file) if ours else outliving.died(self._file, KILLED)
        raise AssertionError("the worker dies for ever")

    def _live(self, deadly: Deadly, rows: int) -> None:
        in_hand = InHand(
            outliving.OutlivingSlot.of(self._file, 0, SIZE_BYTES), SuspectTurn(self._rig.clock), "app.py:7"
        )

        def call(given: pa.RecordBatch, _: float) -> Applied:
            if deadly(given.column("n").to_pylist()):
                self._left = os.pread(self._file, outliving.HOW_BYTES + SIZE_BYTES, 0)
                raise Death
            return self._copies(given)

        pump = self._rig.pump(self._rig.transform(call, in_hand=in_hand), rows)
        self._rig.drain(pump)


@pytest.fixture
def lives(rig: Any, copies: Callable[..., Applied], file: int) -> Lives:
    return Lives(rig, copies, file)


def dead(rig: Any) -> list[tuple[Any, ...]]:
    return [(row["error"], row["reason"], row["attempts"]) for row in rig.rows("penstock.dead")]


def out(rig: Any) -> list[int]:
    return sorted(row["n"] for row in rig.rows("out"))


LETTER = ("WorkerDied", f"app.py:7: the worker died {DEATHS} times with this row alone in hand: {KILLED}", DEATHS)


def found(rig: Any, lives: Lives) -> None:
    rig.publish(range(100))
    lives.run(lambda values: 42 in values)
    assert dead(rig) == [LETTER]
    assert out(rig) == [n for n in range(100) if n != 42]


def test_a_row_that_ends_the_worker_is_found_in_few_lives(rig: Any, lives: Lives) -> None:
    found(rig, lives)
    assert lives.count <= 8


def test_mutant_who_forgets_what_was_in_hand_is_caught(rig: Any, lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InHand, "_remember", lambda self, data: None)
    with pytest.raises(AssertionError, match="dies for ever"):
        found(rig, lives)


def test_one_that_comes_alone_and_several_are_found_too(rig: Any, lives: Lives) -> None:
    rig.publish([7], 0)
    lives.run(lambda values: 7 in values)
    rig.publish(range(40))
    lives.run(lambda values: bool({3, 4, 39} & set(values)), rows=25)
    assert len(dead(rig)) == 4 and out(rig) == [n for n in range(40) if n not in (3, 4, 39)]


def spared(rig: Any, lives: Lives, seed: int, kills: float = 0.15) -> None:
    """Killed from outside at any moment, over and over."""
    rng = random.Random(seed)
    for start in range(0, 200, 50):
        rig.publish(range(start, start + 50))
        lives.run(lambda _: rng.random() < kills, most=1_000, rows=rng.choice([1, 5, 100]))
    assert not dead(rig), "an innocent row was dead-lettered"
    assert out(rig) == list(range(200))


@pytest.mark.parametrize("seed", range(5))
def test_kills_from_outside_are_held_against_no_row(rig: Any, lives: Lives, seed: int) -> None:
    spared(rig, lives, seed)
    assert lives.count > 4


def test_mutant_who_judges_at_the_first_death_is_caught(
    rig: Any, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEATHS", 1)
    with pytest.raises(AssertionError, match="innocent"):
        spared(rig, lives, 0, kills=0.5)


def test_deaths_that_the_supervisor_dealt_out_say_nothing(rig: Any, lives: Lives) -> None:
    rig.publish([1, 2, 3], 0)
    left = iter([True] * 20)
    lives.run(lambda _: next(left, False), ours=True)
    assert not dead(rig) and out(rig) == [1, 2, 3] and lives.count == 21


def test_a_row_that_passes_is_free_of_all_that_was_said(rig: Any, lives: Lives) -> None:
    rig.publish([1], 0)
    for _ in range(DEATHS):
        ends = iter([True] * DEATHS)  # once less than is needed
        lives.run(lambda _, ends=ends: next(ends, False))  # type: ignore[misc]
        rig.publish([1], 0)
    assert not dead(rig)


def test_rows_of_more_partitions_than_are_written_down(rig: Any, lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPANS", 2)
    found(rig, lives)


def test_while_a_row_is_suspected_one_stage_at_a_time_has_rows(file: int) -> None:
    clock = ManualClock()
    turn = SuspectTurn(clock)
    turn.suspecting = 1
    entered = threading.Event()

    def enter() -> None:
        with turn.taken():
            entered.set()

    with turn.taken() as alone:
        assert alone
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.1)
    other.join()
    assert entered.is_set()
    clock.advance(CAREFUL_S + 1)
    with turn.taken() as alone, turn.taken() as another:
        assert not alone and not another
