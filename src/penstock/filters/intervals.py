"""Numbers between two ends, exactly, in columns of integers and in columns of floats.

Compared as they are, an integer beyond 2**53 and a float would both be rounded to floats first. So the ends are made
numbers of the column's own type, both in.
"""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

MOST = sys.float_info.max
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Interval(NamedTuple):
    """The numbers between two ends, which may be infinite."""

    low: float
    high: float
    low_in: bool = True  # is the end itself one of them?
    high_in: bool = True

    @property
    def floats(self) -> tuple[float, float]:
        """The least float and the greatest; the first is above the second where there are none."""
        low = self.low if self.low_in else math.nextafter(self.low, math.inf)
        return low, self.high if self.high_in else math.nextafter(self.high, -math.inf)

    @property
    def integers(self) -> tuple[int, int]:
        """The least int64 and the greatest; ``(1, 0)`` where there are none."""
        least, most = (max(-MOST, min(end, MOST)) for end in (self.low, self.high))
        low = math.ceil(least) if self.low_in else math.floor(least) + 1
        high = math.floor(most) if self.high_in else math.ceil(most) - 1
        low, high = max(low, INT64_MIN), min(high, INT64_MAX)
        return (low, high) if low <= high else (1, 0)
