from collections.abc import Iterable

from penstock.run.supervisor.restarts import Restarts


def waits(lives: Iterable[bool], *, start: float = 1_000.0) -> list[float]:
    """After each life, of which the value says whether it was ready: how long until the next. Each lasts a second."""
    restarts, now, found = Restarts(), start, []
    for was_ready in lives:
        now += 1.0
        restarts.ended(now, was_ready=was_ready)
        found.append(max(0.0, restarts.due - now))
        now += found[-1]
    return found


def test_the_first_start_is_due_at_once() -> None:
    assert Restarts().due == 0.0


def test_one_that_had_been_ready_is_started_at_once_however_often_it_is_killed() -> None:
    assert waits([True] * 50) == [0.0] * 50


def test_one_that_never_gets_ready_is_started_ever_later() -> None:
    assert waits([False] * 10) == [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]


def test_being_ready_once_makes_up_for_all_failed_starts() -> None:
    assert waits([*[False] * 6, True, False, False, False]) == [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 0.0, 0.0, 0.0, 0.5]


def test_it_is_still_tried_after_days() -> None:
    assert waits([False] * 20_000)[-1] == 16.0
