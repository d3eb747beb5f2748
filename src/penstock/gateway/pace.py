"""How fast each may ask: a bucket of requests a key, filled at its rate."""

from __future__ import annotations

from collections import OrderedDict

from ..errors import TooFast

KEPT = 65_536  # buckets; one that was let go of is a full one
BURST_S = 1.0  # seconds of its rate that a key may ask for at once


class Paces:
    """For one thread. What is refused takes nothing, so whoever goes on too fast is served at his rate."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # requests left, and since when

    def take(self, id: str, rate: float, now: float) -> None:
        """One request. ``rate``: a second; ``now``: in seconds, of a clock that never goes back. Raises ``TooFast``."""
        most = max(1.0, rate * BURST_S)
        left, since = self._buckets.pop(id, (most, now))
        left = min(most, left + (now - since) * rate)
        enough = left >= 1.0
        self._buckets[id] = (left - 1.0 if enough else left, now)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        if not enough:
            raise TooFast(f"this key may ask {rate:g} times a second", retry_after=(1.0 - left) / rate)
