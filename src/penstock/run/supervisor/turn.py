"""Who starts when: one worker that is ready early is worth more than several that are ready late together."""

from __future__ import annotations

from typing import Generic, TypeVar

from ...clock import Clock

TURN_S = 10.0  # seconds that the others let the first have the machine for: it may have to wait for something itself

_Child = TypeVar("_Child")


class StartTurn(Generic[_Child]):
    """The workers that wait until the first one is at work, or has had its time from ``begin`` on."""

    def __init__(self, others: list[_Child], clock: Clock) -> None:
        self._others, self._clock = others, clock
        self._until = 0.0

    def begin(self) -> None:
        self._until = self._clock.monotonic() + TURN_S

    def over(self, *, ready: bool) -> list[_Child]:
        """Whose turn it is now; each of them once."""
        if not ready and self._clock.monotonic() < self._until:
            return []
        others, self._others = self._others, []
        return others
