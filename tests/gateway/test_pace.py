"""How fast each may ask is kept to, whatever the others do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import TooFast
from penstock.gateway import pace
from penstock.gateway.pace import Paces


def taken(paces: Paces, id: str, rate: float, times: list[float]) -> list[float]:
    """When a request was let through."""
    found = []
    for now in times:
        try:
            paces.take(id, rate, now)
        except TooFast as error:
            assert 0 < error.retry_after <= max(1.0, 1 / rate)
        else:
            found.append(now)
    return found


def check_pace(rate: float, gaps: list[float]) -> None:
    times, now = list[float](), 0.0
    for gap in gaps:
        now += gap
        times.append(now)
    paces = Paces()
    for begin, one in enumerate(passed := taken(paces, "a", rate, times)):
        for end, other in enumerate(passed[begin:]):
            assert end + 1 <= max(1.0, rate) + (other - one) * rate + 1e-6, "more than its rate"


@given(st.floats(0.1, 1_000), st.lists(st.floats(0, 2), max_size=200))
def test_no_window_has_more_than_the_rate_and_one_burst(rate: float, gaps: list[float]) -> None:
    check_pace(rate, gaps)


def test_mutant_that_fills_at_once_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "min", lambda most, left: most, raising=False)
    with pytest.raises(AssertionError, match="more than its rate"):
        check_pace(2, [0.01] * 50)


def test_who_waits_as_told_is_let_through() -> None:
    paces = Paces()
    assert taken(paces, "a", 2, [0.0, 0.0, 0.0]) == [0.0, 0.0]
    with pytest.raises(TooFast, match="2 times a second") as told:
        paces.take("a", 2, 0.1)
    paces.take("a", 2, 0.1 + told.value.retry_after)
    assert taken(paces, "b", 2, [0.1]) == [0.1], "others are not slowed"


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "KEPT", 10)
    paces = Paces()
    for number in range(100):
        paces.take(str(number), 1, 0.0)
    assert len(paces._buckets) == 10
