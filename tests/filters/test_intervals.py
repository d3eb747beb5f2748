"""The ends of an interval, made numbers of a column's type, have the same numbers between them."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.filters.intervals import INT64_MAX, INT64_MIN, Interval

ends = st.floats(allow_nan=False) | st.integers(-(2**54), 2**54).map(float) | st.sampled_from([2.0**63, -(2.0**63)])
whole = st.integers(INT64_MIN, INT64_MAX) | st.integers(-3, 3) | st.integers(2**53 - 2, 2**53 + 3)
intervals = st.builds(Interval, ends, ends, st.booleans(), st.booleans())


def within(number: float, given: Interval) -> bool:
    """As Python compares, which is exact also between an integer and a float."""
    above = number >= given.low if given.low_in else number > given.low
    return above and (number <= given.high if given.high_in else number < given.high)


@given(intervals, st.floats(allow_nan=False), whole)
@example(Interval(sys.float_info.max, math.inf, False, True), 0.0, 0)
@example(Interval(-math.inf, -sys.float_info.max, True, False), 0.0, 0)
def test_the_same_numbers_are_between_them(given: Interval, fraction: float, integer: int) -> None:
    for number in (fraction, given.low, given.high, math.nextafter(given.low, math.inf)):
        low, high = given.floats
        assert (low <= number <= high) == within(number, given)
    least, most = given.integers
    assert INT64_MIN <= least <= INT64_MAX and INT64_MIN <= most <= INT64_MAX
    near = [math.floor(end) for end in (given.low, given.high) if abs(end) < 2**62]
    for number in (integer, *near, *(n + 1 for n in near)):
        assert (least <= number <= most) == within(number, given)


@pytest.mark.parametrize(
    ("given", "integers"),
    [
        (Interval(1.5, 3.5), (2, 3)),
        (Interval(1, 3, low_in=False, high_in=False), (2, 2)),
        (Interval(1, 2, low_in=False, high_in=False), (1, 0)),
        (Interval(2.0**53, 2.0**53 + 2, low_in=False, high_in=False), (2**53 + 1, 2**53 + 1)),
        (Interval(-math.inf, math.inf), (INT64_MIN, INT64_MAX)),
        (Interval(2.0**63, math.inf), (1, 0)),
    ],
)
def test_integers_between_floats(given: Interval, integers: tuple[int, int]) -> None:
    assert given.integers == integers
