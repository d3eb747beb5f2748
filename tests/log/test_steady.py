from penstock.clock import ManualClock
from penstock.log.steady import BELIEVE_AFTER, SteadyTime

HOUR = 3_600_000_000


def test_a_jump_is_not_believed_at_once_in_the_dangerous_direction() -> None:
    clock = ManualClock(0)
    steady = SteadyTime(clock)
    clock.jump(86_400)
    assert (steady.expiry(), steady.stamp()) == (0, 24 * HOUR)
    clock.jump(-2 * 86_400)
    assert (steady.expiry(), steady.stamp()) == (-24 * HOUR, 0)


def test_a_jump_that_lasts_is_a_correction() -> None:
    clock = ManualClock(0)
    steady = SteadyTime(clock)
    clock.jump(86_400)
    steady.expiry()
    clock.advance(BELIEVE_AFTER)
    assert steady.expiry() == steady.stamp() == 25 * HOUR


def test_time_passing_is_followed() -> None:
    clock = ManualClock(0)
    steady = SteadyTime(clock)
    for _ in range(5):
        clock.advance(3_600)
        assert steady.expiry() == steady.stamp() == clock.now()
