"""Wall clocks jump; what is recorded must not expire early for it."""

from __future__ import annotations

from ..clock import Clock

BELIEVE_AFTER = 3_600.0  # seconds for which a jump must last before it counts as a correction


class SteadyTime:
    """Two readings of an untrusted wall clock, microseconds since the epoch.

    What the wall clock should show follows from an earlier reading and the monotonic clock. Until a difference has
    lasted ``BELIEVE_AFTER``, ``stamp`` takes the later of the two and ``expiry`` the earlier, so that an event's
    recorded age is never more than its real one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._since = clock.now(), clock.monotonic()
        self._differs: float | None = None

    def stamp(self) -> int:
        return max(self._readings())

    def expiry(self) -> int:
        return min(self._readings())

    def _readings(self) -> tuple[int, int]:
        wall, now = self._clock.now(), self._clock.monotonic()
        expected = self._wall + round((now - self._since) * 1e6)
        if abs(wall - expected) < 1_000:  # a clock being slewed, not set
            self._wall, self._since, self._differs = wall, now, None
        elif self._differs is None:
            self._differs = now
        elif now - self._differs >= BELIEVE_AFTER:
            self._wall, self._since, self._differs = wall, now, None
            return wall, wall
        return wall, expected
