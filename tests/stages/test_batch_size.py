from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import ManualClock
from penstock.errors import RunnerDied
from penstock.stages import batch_size as budget
from penstock.stages.batch_size import FIRST_ROWS, BatchSize


def taught(a: float, b: float, sizes: list[int], limit: int = 4_096) -> BatchSize:
    budget = BatchSize(0.025, limit)
    for n in sizes:
        budget.observe(n, a + b * n)
    return budget


def test_it_finds_the_line() -> None:
    assert taught(0.002, 1e-5, [64, 256, 1_000, 2_000]).fit() == pytest.approx((0.002, 1e-5))


def test_the_cap_fills_the_time_budget() -> None:
    assert taught(0.005, 2e-5, [64, 256, 1_000]).cap() == pytest.approx(1_000, abs=2)


def test_it_begins_small_and_grows_by_steps() -> None:
    assert BatchSize(0.025, 4_096).cap() == FIRST_ROWS
    assert taught(0, 1e-6, [64]).cap() == 256


def test_late_stages_amortise_the_fixed_cost() -> None:
    budget = taught(0.02, 1e-4, [64, 1_000, 4_000])
    assert budget.cap() == pytest.approx(200, abs=1)  # 0.02 s fixed, and as much for the rows
    budget.lag = 60.0
    assert budget.cap() == pytest.approx(4_000, abs=5)


@given(st.lists(st.tuples(st.integers(1, 4_096), st.floats(0, 100)), max_size=50), st.integers(1, 4_096))
def test_any_history_gives_a_cap_within_bounds(history: list[tuple[int, float]], limit: int) -> None:
    budget = BatchSize(0.025, limit)
    for n, seconds in history:
        budget.observe(n, seconds)
    assert 1 <= budget.cap() <= limit
    assert budget.expect(10) >= 0


def test_a_fixed_cost_over_the_limit_does_not_shrink_the_batches() -> None:
    """On a loaded machine a call of one row takes 60 ms already: 4,000 rows one by one would take four minutes."""
    budget = BatchSize(0.025, 4_096)
    for rows in (64, 200, 100, 400, 64, 300, 1_000, 64):
        budget.observe(rows, 0.060 + rows * 1e-4)
    assert budget.cap() >= 500


def test_a_process_that_stood_still_is_not_slow() -> None:
    budget = taught(1e-4, 2e-6, [64, 500, 1_000, 2_000, 4_000])
    before = budget.cap()
    budget.observe(200, 3.0)  # stopped for three seconds in the middle of a call
    assert budget.cap() >= before / 2


def test_what_stays_slow_is_learnt() -> None:
    budget = taught(1e-4, 2e-6, [64, 500, 1_000])
    for _ in range(40):
        rows = budget.cap()
        budget.observe(rows, 1e-4 + rows * 1e-2)
    assert budget.cap() <= 5


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("noise", "spike"), [(0.0, 0.0), (0.02, 0.3), (0.3, 3.0)])
def test_a_slow_call_of_cheap_rows_is_never_taken_for_slow_rows(seed: int, noise: float, spike: float) -> None:
    """A function that waits 0.3 s whatever it is given: row by row, 3,000 events would take a quarter of an hour."""
    rng, budget, now, done = random.Random(seed), BatchSize(0.025, 4_096), 0.0, 0
    while done < 3_000:
        rows = min(max(int(now * 800), 20), 3_000) - done
        rows = min(rows, budget.cap())
        seconds = 0.3 + abs(rng.gauss(0, noise)) + (rng.random() < 0.05) * spike * rng.random()
        budget.observe(rows, seconds)
        done, now = done + rows, now + seconds
        budget.lag = max(now - done / 800, 0.0)
    assert now < 25, f"{now:.0f} s for what arrived within 4"


@pytest.mark.parametrize("seed", range(20))
def test_slow_rows_are_taken_a_few_at_a_time(seed: int) -> None:
    rng, budget, taken = random.Random(seed), BatchSize(0.025, 4_096), []
    for _ in range(200):
        taken.append(budget.cap())
        budget.observe(taken[-1], 2e-4 + 0.02 * taken[-1] + abs(rng.gauss(0, 0.01)))
    assert sorted(taken)[190] <= 8, "more than 160 ms of rows where 25 ms were asked for"


def call(budget: BatchSize, clock: ManualClock, rows: int, seconds: float, code: str = "") -> None:
    with budget.timed(rows, clock, code):
        clock.advance(seconds)


def catch_up(seed: int, history: list[float]) -> list[int]:
    """The sizes of twenty calls of a late stage whose rows cost 30 µs, on a machine that was slow a moment ago."""
    random.seed(seed)
    budget = BatchSize(0.025, 4_096, lag=20.0)
    for seconds in history:
        budget.observe(random.choice((1, 2, 4)), seconds)
    sizes = []
    for _ in range(20):
        sizes.append(budget.cap())
        budget.observe(sizes[-1], 0.005 + 3e-5 * sizes[-1] + random.expovariate(1 / 0.005))
    return sizes


@given(st.integers(0, 10_000), st.lists(st.floats(0.01, 1.0), min_size=1, max_size=20))
def test_small_calls_of_a_busy_machine_do_not_keep_a_late_stage_small(seed: int, history: list[float]) -> None:
    assert max(catch_up(seed, history)) > 1_000


def test_mutant_that_believes_the_line_alone_stays_small_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "CATCH_UP", 1)
    monkeypatch.setattr(BatchSize, "_proven", property(lambda _: 0, lambda _, __: None))
    assert min(max(catch_up(seed, [0.13, 0.5, 0.6, 0.09, 0.3, 0.8])) for seed in range(100)) == 1


def test_what_starting_takes_is_not_the_rows_cost() -> None:
    budget, clock = BatchSize(0.025, 4_096), ManualClock()
    call(budget, clock, 10, 2.0)  # the child's imports
    assert budget.cap() == FIRST_ROWS
    call(budget, clock, 64, 64e-6)
    with pytest.raises(RunnerDied), budget.timed(64, clock):
        raise RunnerDied("killed")
    call(budget, clock, 64, 2.0)
    call(budget, clock, 64, 2.0, "m/2")  # and what loading another version takes
    call(budget, clock, 64, 64e-6, "m/2")
    assert budget.fit()[1] < 1e-5


def test_mutant_that_counts_the_start_takes_one_row_at_a_time() -> None:
    budget = BatchSize(0.025, 4_096)
    budget.observe(10, 2.0)
    assert budget.cap() == 1
