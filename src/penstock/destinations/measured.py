"""A destination whose requests are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..clock import Clock
from ..telemetry.metrics import counter
from .interface import Destination, DestinationStatus, Parcel

DELIVERIES = counter("deliveries", "Requests to endpoints", "subscription", "outcome")
SECONDS = counter("delivery_seconds", "What these requests took together", "subscription", "outcome")


class MeasuredDestination:
    """``subscription``: the label. What was not sent is not counted.

    The destination's thread adds up in plain numbers, for a metric costs a large part of what a delivery does;
    ``publish`` takes them to the metrics, and what it did not take is lost with the process.
    """

    def __init__(self, destination: Destination, subscription: str, clock: Clock) -> None:
        self._destination, self._subscription, self._clock = destination, subscription, clock
        self._sums: dict[str, list[float]] = {}  # requests and seconds by outcome; the destination's thread's
        self._published: dict[str, tuple[float, float]] = {}  # of these

    def room(self) -> int:
        return self._destination.room()

    @property
    def open(self) -> bool:
        return self._destination.open

    def send(self, parcels: Sequence[Parcel], settled: Callable[[Parcel], None]) -> None:
        def counted(parcel: Parcel) -> None:
            self._count(parcel)
            settled(parcel)

        self._destination.send(parcels, counted)

    def status(self) -> DestinationStatus:
        return self._destination.status()

    def close(self) -> None:
        self._destination.close()

    def publish(self) -> None:
        """Called by one thread."""
        for outcome in list(self._sums):
            requests, seconds = self._sums[outcome]
            before = self._published.get(outcome, (0, 0.0))
            if requests > before[0]:
                DELIVERIES.labels(self._subscription, outcome).inc(requests - before[0])
                SECONDS.labels(self._subscription, outcome).inc(seconds - before[1])
                self._published[outcome] = requests, seconds

    def _count(self, parcel: Parcel) -> None:
        answer = parcel.answer
        assert answer is not None
        if answer.began:
            if (sums := self._sums.get(answer.outcome)) is None:
                sums = self._sums[answer.outcome] = [0, 0.0]
            sums[1] += max(0, self._clock.now() - answer.began) / 1e6
            sums[0] += 1
