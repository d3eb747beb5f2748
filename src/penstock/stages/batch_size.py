"""How many rows to take at once: all that are there, up to what one call may cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..clock import Clock
from ..errors import RunnerDied

MEMORY = 0.95  # weight of an observation against the next one: the last 20 or so count
FIRST_ROWS = 64  # rows of the first call, before anything is known of its cost
GROWTH = 4  # a cap is at most this times the largest call seen: a line is not trusted far beyond its points
OVERHEAD = 0.05  # the share of a call that its fixed cost may have while catching up
LATE_S = 5.0  # seconds behind from which a stage catches up
CATCH_UP = 10  # times the limit that a call may take meanwhile
STALL = 5  # times what was expected: the process may have stood still, which says nothing of the rows


@dataclass(slots=True)
class BatchSize:
    """The largest n with ``a + b * n <= seconds``, where (a, b) is an exponentially weighted least squares fit.

    ``a`` is the cost of a call and ``b`` that of a row, in seconds. Never waits for more rows: a log's backlog is the
    batch (Clipper's additive increase is too slow for a ``b`` of microseconds, and lingering only adds latency).
    Never so few that ``a`` is most of a call: where ``a`` alone is over the limit, smaller calls are no sooner done.
    While the stage is late, a call may take ten times as long, and the cap rises until ``a`` is 5 % of a call. What was
    done within that limit is doubled, whatever the fit says: small calls on a busy machine look as if their rows cost
    what the machine took, and nothing but larger calls shows that they do not.
    """

    seconds: float
    rows: int
    lag: float = 0.0  # age of the oldest event of the last pass
    _sums: list[float] = field(default_factory=lambda: [0.0] * 5)  # weights, n, t, n*n, n*t
    _largest: int = 0
    _doubted: bool = False  # the last call took far longer than expected
    _proven: int = 0  # rows of the last call, if it kept the limit
    _warm: str | None = None  # what the runner last answered with

    @contextmanager
    def timed(self, rows: int, clock: Clock, code: str = "") -> Iterator[None]:
        """Learn from a call that succeeds, unless the runner had first to start or to load ``code``: a second of that
        would be taken for the cost of the rows."""
        began = clock.monotonic()
        try:
            yield
        except RunnerDied:
            self._warm = None
            raise
        if self._warm == code:
            self.observe(rows, clock.monotonic() - began)
        self._warm = code

    def observe(self, rows: int, seconds: float) -> None:
        """One call that took far longer than expected is left out; two in a row, and what was known holds no more."""
        self._proven = rows if seconds <= self._limit else 0
        stalled = bool(self._largest) and seconds > max(STALL * self.expect(rows), self.seconds)
        if stalled and not self._doubted:
            self._doubted = True
            return
        if stalled:
            self._sums, self._largest = [0.0] * 5, 0
        self._doubted = False
        for place, value in enumerate((1.0, rows, seconds, rows * rows, rows * seconds)):
            self._sums[place] = self._sums[place] * MEMORY + value
        self._largest = max(round(self._largest * MEMORY), rows)

    def fit(self) -> tuple[float, float]:
        """(a, b), neither below 0; with calls of one size only, all of their cost is the rows'."""
        w, n, t, _, nt = self._sums
        if not w:
            return 0.0, 0.0
        b = (w * nt - n * t) / self._spread() if self._several_sizes() else t / max(n, 1.0)
        b = max(b, 0.0)
        return max((t - b * n) / w, 0.0), b

    def expect(self, rows: int) -> float:
        """Seconds that a call of so many rows takes at most by what was seen; 0 before anything was.

        Of calls of one size it is unknown whether the call costs or the rows: fewer rows may take as long.
        """
        a, b = self.fit()
        if self._sums[0] and not self._several_sizes():
            return max(b * rows, self._sums[2] / self._sums[0])
        return a + b * rows

    def cap(self) -> int:
        if not self._largest:
            return min(FIRST_ROWS, self.rows)
        a, b = self.fit()
        slow = self.expect(1) > self._limit
        # Where one row is slow already, it is not known to be the call's fixed cost: larger calls ask, step by step.
        trusted = self._largest * GROWTH if slow else max(self._largest * GROWTH, FIRST_ROWS)
        if b <= 0 or (slow and self._largest == 1 and not self._several_sizes()):
            return min(trusted, self.rows)
        wanted = max(self._limit - a, a) / b
        if self.lag > LATE_S:
            wanted = max(wanted, a / OVERHEAD / b, 2 * self._proven)
        return int(max(1, min(wanted, trusted, self.rows)))

    @property
    def _limit(self) -> float:
        return self.seconds * (CATCH_UP if self.lag > LATE_S else 1)

    def _spread(self) -> float:
        w, n, _, nn, _ = self._sums
        return w * nn - n * n

    def _several_sizes(self) -> bool:
        return self._spread() > 1e-9 * self._sums[0] * self._sums[3]
