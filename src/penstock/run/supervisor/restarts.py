"""When a child that ended is started again: at once if it had been ready, ever later if it cannot get there."""

from __future__ import annotations

PATIENCE = 2  # failed starts in a row that are answered at once; after them each wait doubles
SHORTEST_S = 0.5  # seconds: the first wait
DOUBLED = 5  # times that a wait doubles, at most: to 16 seconds


class Restarts:
    """The starts of one child that failed, and when the next is due. Times are seconds on a monotonic clock.

    What counts is whether a life got as far as being ready, not how long it was: a process that is killed from outside,
    by an operator or for want of memory, says nothing about its next start, however often that happens. And the start
    itself, a second of work, keeps one that dies right after it was ready from spinning.
    """

    def __init__(self) -> None:
        self.failed = 0
        self.due = 0.0

    def ended(self, now: float, *, was_ready: bool) -> None:
        self.failed = 0 if was_ready else self.failed + 1
        late = self.failed - PATIENCE
        self.due = now + (SHORTEST_S * 2 ** min(late - 1, DOUBLED) if late > 0 else 0.0)
