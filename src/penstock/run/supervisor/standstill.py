"""Children that stand still: stopped by a signal, and started again by nobody."""

from __future__ import annotations

import psutil

from ...clock import Clock


class Standstill:
    """How long each child has been stopped, by the monotonic clock. A debugger's stop is none."""

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self._clock, self._patience_s = clock, patience_s
        self._since: dict[int, float] = {}

    def too_long(self, pid: int) -> bool:
        """Ask again and again: it counts from the first look that found it stopped."""
        if not _is_stopped(pid):
            self._since.pop(pid, None)
            return False
        now = self._clock.monotonic()
        return now - self._since.setdefault(pid, now) >= self._patience_s


def _is_stopped(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False
