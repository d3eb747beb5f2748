"""How many workers: tables of what was measured and what follows."""

from __future__ import annotations

import pytest

from penstock.stages.scaling import PartitionLag, StageLoad, StageWindow, capacity, needed, why


@pytest.mark.parametrize(
    ("a", "b", "rows", "expected"),
    [
        (0.0, 0.0, 4_096, 0.0),  # nothing known
        (0.0, 1e-3, 4_096, 1_000.0),  # all of it the rows'
        (1e-3, 0.0, 100, 100_000.0),  # all of it the call's
        (1e-3, 1e-3, 4_096, 20 / 21e-3),  # calls of twenty: the fixed part is 5 %
        (1.0, 1e-3, 100, 100 / 1.1),  # as large as calls may be
    ],
)
def test_what_a_worker_can_do(a: float, b: float, rows: int, expected: float) -> None:
    assert capacity(a, b, rows) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("load", "workers", "words"),
    [
        (StageLoad(700, 1_000, 0, 0.0, 8), 1.0, "700 events/s come in and a worker can deal with 1,000/s"),
        (StageLoad(2_100, 1_000, 0, 0.0, 8), 3.0, "2,100 events/s"),
        (StageLoad(0, 1_000, 0, 0.0, 8), 0.0, "0 events/s"),
        (StageLoad(700, 1_000, 1_000_000, 4.9, 8), 1.0, "700 events/s"),  # many, and not late
        (StageLoad(700, 1_000, 60_000, 5.1, 8), 2.0, "60,000 wait for up to 5 s and should be done in 60 s"),
        (StageLoad(99_000, 1_000, 0, 0.0, 8), 8.0, "no more workers than that have work"),
        (StageLoad(99_000, 0, 0, 0.0, 8), 0.0, "unknown"),
        (StageLoad(700, 1_000, 0, 0.0, 8, held=2), 1.0, "2 partitions are held"),
    ],
)
def test_workers_for_a_load(load: StageLoad, workers: float, words: str) -> None:
    assert needed(load) == pytest.approx(workers)
    assert words in why(load)


def partitions(**changes: tuple[int | None, int, float]) -> dict[tuple[str, int], PartitionLag]:
    return {("t", int(name[1:])): PartitionLag(*values) for name, values in changes.items()}


def test_what_came_in_is_what_was_dealt_with_and_what_waits_more() -> None:
    window = StageWindow()
    window.load(partitions(p0=(0, 100, 1.0), p1=(0, 50, 1.0)), 0, 10.0, 1_000)
    load = window.load(partitions(p0=(9, 300, 2.0), p1=(9, 40, 3.0)), 500, 10.0, 1_000)
    assert load == StageLoad(69.0, 1_000, 340, 3.0, 2)


def test_what_waited_already_at_the_start_did_not_come_in() -> None:
    load = StageWindow().load(partitions(p0=(0, 10_000, 60.0)), 100, 10.0, 1_000)
    assert (load.rate, load.lag) == (10.0, 10_000)


def test_a_host_answers_for_its_share() -> None:
    window = StageWindow()
    window.load(partitions(p0=(0, 0, 0.0), p1=(0, 0, 0.0), p2=(0, 0, 0.0)), 0, 10.0, 1_000, hosts=2)
    load = window.load(partitions(p0=(1, 400, 9.0), p1=(1, 0, 0.0), p2=(1, 0, 0.0)), 100, 10.0, 1_000, hosts=2)
    assert load == StageLoad(30.0, 1_000, 200, 9.0, 2)


def test_a_held_partition_asks_for_nothing() -> None:
    """It stands still, whatever comes in; another that moves, and one that nobody has, are counted."""
    window = StageWindow()
    for n in range(4):
        nobody = PartitionLag(0, 5, 20.0, idle=True)
        now = partitions(p0=(7, 1_000 + 500 * n, 30.0 * n), p1=(n, 10, 1.0)) | {("t", 2): nobody}
        load = window.load(now, 100, 10.0, 1_000)
    assert load == StageLoad(10.0, 1_000, 15, 20.0, 3, held=1)
    load = window.load(partitions(p0=(8, 2_500, 100.0), p1=(9, 10, 1.0)), 100, 10.0, 1_000)
    assert (load.lag, load.held) == (2_510, 0)


def test_a_partition_without_lag_stands_still_and_is_not_held() -> None:
    window = StageWindow()
    for _ in range(5):
        load = window.load(partitions(p0=(7, 0, 0.0)), 0, 10.0, 1_000)
    assert load.held == 0


def needs(window: StageWindow, *rates: float, rolling_out: bool = False) -> list[float]:
    return [window.wanted(StageLoad(700.0 * r, 1_000, 0, 0.0, 64), rolling_out=rolling_out) for r in rates]


def test_more_at_once_and_less_after_two_quiet_windows() -> None:
    assert needs(StageWindow(), 1, 4, 1, 1, 1) == pytest.approx([1, 4, 4, 4, 1])


def test_one_busy_window_begins_the_wait_anew() -> None:
    assert needs(StageWindow(), 4, 1, 4, 1, 1, 1) == pytest.approx([4, 4, 4, 4, 4, 1])


def test_never_less_during_a_roll_out() -> None:
    window = StageWindow()
    assert needs(window, 4) == pytest.approx([4])
    assert needs(window, 1, 1, 1, 1, 6, 1, rolling_out=True) == pytest.approx([4, 4, 4, 4, 6, 6])
    assert needs(window, 1, 1, 1) == pytest.approx([6, 1, 1])
