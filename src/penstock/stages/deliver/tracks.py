"""What is under way for one subscription in one partition, and how far that is settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...batch import Batch
from ...destinations.interface import Answer

PATIENCE_S = 1.0  # seconds that a router's position waits for a delivery


@dataclass(slots=True, eq=False)
class InFlight:
    """A request under way: these rows of a batch. ``before``: the position up to which everything is settled when all
    before it is. ``since``: when it was sent, monotonic."""

    track: Track
    batch: Batch
    rows: Sequence[int]
    before: int
    since: float
    answer: Answer | None = None


@dataclass(slots=True, eq=False)
class Track:
    """Positions are of rows that were read; -1: none.

    ``read``: through which row its events were taken, where it is not ``fed`` what the router reads. ``own``: the
    position that is stored as its own; None: it follows the router's. ``flights``: in the order of their rows.
    """

    subscription: int
    partition: int
    read: int
    fed: bool = True
    own: int | None = None
    saved_at: float = 0.0  # when ``own`` was stored last, monotonic
    flights: deque[InFlight] = field(default_factory=deque)

    def through(self, read: int) -> int:
        """How far everything is settled. ``read``: through which row the router has read."""
        if self.flights:
            return self.flights[0].before
        return max(read, self.read) if self.fed else self.read

    def is_slow(self, now: float) -> bool:
        return bool(self.flights) and now >= self.flights[0].since + PATIENCE_S

    def landed(self) -> list[InFlight]:
        """Those that are settled with all before them; they leave."""
        found = []
        while self.flights and self.flights[0].answer is not None:
            found.append(self.flights.popleft())
        return found
