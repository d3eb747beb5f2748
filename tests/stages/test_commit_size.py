"""The number of rows follows what the log can store in time, and is not limited where all of it is."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from penstock.stages.commit_size import CommitSize

LIMIT = 10.0  # seconds of a transaction


def settle(pace: CommitSize, rate: float, fixed: float = 0.0, backlog: int = 8_192, passes: int = 200) -> list[int]:
    """Passes over a backlog without end, on a log that stores so many rows a second: the rows of each, 0 for none."""
    found = []
    for _ in range(passes):
        rows = int(min(backlog, pace.rows))
        seconds = fixed + rows / rate
        if stored := seconds < LIMIT:
            pace.stored(seconds)
        else:
            pace.failed(rows, LIMIT)
        found.append(rows * stored)
    return found


def test_a_log_that_stores_all_of_it_is_not_limited() -> None:
    pace = CommitSize()
    settle(pace, 1e6, 6.0)
    assert pace.rows == math.inf
    pace.failed(8_192, 0.5)
    assert pace.rows == math.inf, "what is refused at once is not too large"


@given(st.floats(1.0, 1e5), st.floats(0.0, 8.0), st.integers(1, 10_000))
def test_most_of_what_the_log_can_store_is_stored(rate: float, fixed: float, backlog: int) -> None:
    passes = settle(CommitSize(), rate, fixed, backlog)[-50:]
    able = min(backlog, int((LIMIT - fixed) * rate))
    assert sum(passes) >= 50 * able / 3
    assert sum(not rows for rows in passes) <= 50 / 5 or able == 1


def test_after_brokers_were_away_it_is_soon_all_at_once_again() -> None:
    pace = CommitSize()
    for _ in range(100):
        pace.failed(int(min(8_192, pace.rows)), 20.0)
    assert settle(pace, 1e6, 0.01, passes=14)[-1] == 8_192


def test_a_commit_that_costs_more_than_its_rows_is_not_left_small() -> None:
    pace = CommitSize(rows=1.0)
    assert settle(pace, 1e6, fixed=6.0, passes=100)[-1] == 8_192
