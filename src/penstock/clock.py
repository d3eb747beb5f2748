"""Time is an argument: the wall clock for records, the monotonic clock for waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    @property
    def passes(self) -> bool:
        """Does time go on while one waits? Not where a test moves it: nothing is waited for then."""
        ...

    def now(self) -> int:
        """Microseconds since the epoch, UTC. May jump; only recorded and compared with other records."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; the only base for timeouts, leases and backoff."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    passes = True

    def now(self) -> int:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock moved by hand: sleeping moves it, and nothing else does."""

    passes = False

    def __init__(self, now: int = 1_700_000_000_000_000) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._now += round(seconds * 1e6)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as an administrator or NTP does."""
        self._now += round(seconds * 1e6)
