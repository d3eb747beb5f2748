import pytest

from penstock.clock import ManualClock
from penstock.log import steady as module
from penstock.log.steady import BELIEVE_AFTER_S, SteadyTime, append_time, believable
from penstock.notices import notices
from penstock.testing.log_contract import JUMPS

HOUR = 3_600_000_000


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_is_not_believed_at_once_in_the_dangerous_direction(jump: float) -> None:
    clock = ManualClock()
    steady, before = SteadyTime(clock), clock.now()
    for step in (jump, -2 * jump):
        clock.jump(step)
        assert steady.expiry() == min(before, clock.now()), "expiry follows a jump"
        assert steady.stamp() == before, "stamp follows a jump"


def test_a_jump_that_lasts_is_a_correction() -> None:
    clock = ManualClock(0)
    steady = SteadyTime(clock)
    clock.jump(86_400)
    steady.expiry()
    clock.advance(BELIEVE_AFTER_S)
    assert steady.expiry() == steady.stamp() == 25 * HOUR, "a correction is not believed"


def test_a_clock_that_is_set_is_told_until_it_is_right_again() -> None:
    clock = ManualClock()
    steady = SteadyTime(clock)
    clock.jump(86_400)
    steady.stamp()
    (told,) = [notice.reason for notice in notices().standing() if "clock" in notice.reason]
    assert "+86,400 s" in told
    clock.jump(-86_400)
    steady.stamp()
    assert not [notice for notice in notices().standing() if "clock" in notice.reason]


def test_an_append_time_does_not_go_back_but_for_one_that_was_far_ahead() -> None:
    assert append_time(100, 90) == 100
    assert append_time(100, 110) == 110
    assert append_time(HOUR, 90) == 90


@pytest.mark.parametrize(
    ("times", "found"),
    [([1, 2, 3], [1, 2, 3]), ([1, 99, 98, 4], [1, 4, 4, 4]), ([99, 98], [99, 98]), ([], []), ([99, 4, 99], [4, 4, 99])],
)
def test_times_ahead_are_at_most_those_of_what_came_after(times: list[int], found: list[int]) -> None:
    assert list(believable(times, 10)) == found


def test_time_passing_is_followed() -> None:
    clock = ManualClock(0)
    steady = SteadyTime(clock)
    for _ in range(5):
        clock.advance(3_600)
        assert steady.expiry() == steady.stamp() == clock.now(), "time stands still"


# -- mutants ------------------------------------------------------------------


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("reading", ["stamp", "expiry"])
def test_the_raw_wall_clock_is_caught(monkeypatch: pytest.MonkeyPatch, reading: str, jump: float) -> None:
    monkeypatch.setattr(SteadyTime, reading, lambda self: self._clock.now())
    with pytest.raises(AssertionError, match=f"{reading} follows a jump"):
        test_a_jump_is_not_believed_at_once_in_the_dangerous_direction(jump)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_believed_at_once_is_caught(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    monkeypatch.setattr(module, "BELIEVE_AFTER_S", 0.0)
    with pytest.raises(AssertionError, match="stamp follows a jump"):
        test_a_jump_is_not_believed_at_once_in_the_dangerous_direction(jump)


def test_a_clock_that_no_correction_reaches_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BELIEVE_AFTER_S", float("inf"))
    with pytest.raises(AssertionError, match="a correction is not believed"):
        test_a_jump_that_lasts_is_a_correction()


def test_a_clock_that_stands_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SteadyTime, "_readings", lambda self: (self._wall, self._wall))
    with pytest.raises(AssertionError, match="time stands still"):
        test_time_passing_is_followed()
