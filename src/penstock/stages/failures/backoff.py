"""How long a stage waits before it tries again."""

from __future__ import annotations

import random

from ...clock import Clock
from .poison_policy import NotYet, Sick

FIRST_S, LONGEST_S = 0.1, 30.0  # seconds
SOON_S = 0.25  # seconds between two looks at whether what was missing has come


class Backoff:
    """Twice as long each time, with jitter: stages held by one dependency do not all come back at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._until = 0.0

    @property
    def trying_again(self) -> bool:
        return self._in_a_row > 0

    def left(self) -> float:
        """Seconds until the next try; 0 or less: now."""
        return self._until - self._clock.monotonic()

    def hold(self, sick: Sick) -> None:
        if isinstance(sick, NotYet):
            self._until = self._clock.monotonic() + SOON_S
            return
        delay = min(FIRST_S * 2.0 ** min(self._in_a_row, 16), LONGEST_S) * random.uniform(0.5, 1.0)
        if sick.retry_within is not None:
            delay = min(delay, sick.retry_within)
        self._in_a_row += 1
        self._until = self._clock.monotonic() + delay

    def over(self) -> None:
        """Something was done."""
        self._in_a_row, self._until = 0, 0.0
