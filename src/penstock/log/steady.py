"""Wall clocks jump; what is recorded must not expire early for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..clock import Clock
from ..notices import notices

BELIEVE_AFTER_S = 3_600.0  # seconds for which a jump must last before it counts as a correction
WORTH_TELLING_US = 1_000_000  # microseconds that a clock is set by
AHEAD_US = 60_000_000  # microseconds that the last append time may be ahead of the clock, and stands


class SteadyTime:
    """Two readings of an untrusted wall clock, microseconds since the epoch.

    What the wall clock should show follows from an earlier reading and the monotonic clock. Until a difference has
    lasted ``BELIEVE_AFTER_S``, ``stamp`` goes on as if nothing had been set, and ``expiry`` takes the earlier of the
    two: a clock that is wrong for a while neither marks events for ever nor removes any early. Decision record 0010.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._since = clock.now(), clock.monotonic()
        self._differs: float | None = None

    def stamp(self) -> int:
        return self._readings()[1]

    def expiry(self) -> int:
        return min(self._readings())

    def _readings(self) -> tuple[int, int]:
        wall, now = self._clock.now(), self._clock.monotonic()
        expected = self._wall + round((now - self._since) * 1e6)
        if abs(wall - expected) < 1_000:  # a clock being slewed, not set
            self._follow(wall, now)
        elif self._differs is None:
            self._differs = now
            _tell(wall - expected)
        elif now - self._differs >= BELIEVE_AFTER_S:
            self._follow(wall, now)
            return wall, wall
        return wall, expected

    def _follow(self, wall: int, now: float) -> None:
        if self._differs is not None:
            notices().settle("clock")
        self._wall, self._since, self._differs = wall, now, None


def append_time(last: int, now: int) -> int:
    """Of what is appended now, after ``last``: it does not go back, unless a clock far ahead has left that behind."""
    return now if last > now + AHEAD_US else max(last, now)


def believable(times: Iterable[int], now: int) -> Iterator[int]:
    """The append times of neighbours in their order; those ahead of ``now`` are those of the next that is not.

    What was appended before it is at least as old. Without one nothing is known of them, and they stay as they are.
    """
    ahead: list[int] = []
    for time in times:
        if time > now:
            ahead.append(time)
            continue
        yield from [time] * len(ahead)
        ahead.clear()
        yield time
    yield from ahead


def _tell(by: int) -> None:
    if abs(by) >= WORTH_TELLING_US:
        notices().tell(
            "clock",
            f"the wall clock was set by {by / 1e6:+,.0f} s; events are stamped as if it had not been",
            mend=f"set it right; if it is right now, it is followed {BELIEVE_AFTER_S / 60:.0f} minutes later",
        )
