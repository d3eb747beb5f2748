"""The world outside: endpoints that answer, fail, hang and are away, and what they got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from penstock.clock import ManualClock
from penstock.destinations.interface import Answer, Consent, DestinationStatus, Invitation, Parcel

Settled = Callable[[Parcel], None]


@dataclass
class Endpoint:
    """``fails``: the share of requests that it refuses. ``takes_s``: how long it thinks. ``away``: between which times,
    monotonic, nobody can be reached. ``hangs``: the share that it gets and never answers, for 30 seconds."""

    fails: float = 0.0
    takes_s: tuple[float, float] = (0.0, 0.0)
    away: tuple[float, float] = (0.0, 0.0)
    hangs: float = 0.0
    final: float = 0.0
    concurrency: int = 4
    got: Counter[str] = field(default_factory=Counter)  # events, by where they lie
    requests: list[tuple[float, str, int]] = field(default_factory=list)  # when, which, which attempt

    def take(self, parcel: Parcel, rng: Random, clock: ManualClock) -> tuple[float, Answer]:
        """When the answer comes, and what it is."""
        now, at = clock.monotonic(), clock.now()
        self.requests.append((now, parcel.id, parcel.attempt))
        if self.away[0] <= now < self.away[1]:
            return now, Answer(False, "SocketError", reason="nobody there", began=at)
        luck = rng.random()
        if luck < self.final:
            return now, Answer(False, "BadRequest", 400, final=True, began=at)
        if luck < self.final + self.fails:
            return now + rng.uniform(*self.takes_s), Answer(False, "Busy", 503, began=at)
        self.got[parcel.body.decode()] += 1
        if luck > 1 - self.hangs:
            return now + 30.0, Answer(False, "TimedOut", reason="no answer within 30 s", began=at)
        return now + rng.uniform(*self.takes_s), Answer(True, "Delivered", 200, began=at)


@dataclass
class Desk:
    """One process's way to one endpoint. ``probation_s`` follows ten failures in a row."""

    endpoint: Endpoint
    rng: Random
    clock: ManualClock
    probation_s: float = 10.0
    under_way: list[tuple[float, Parcel, Answer, Settled]] = field(default_factory=list)
    failures: int = 0
    opens_at: float = 0.0

    def room(self) -> int:
        return self.endpoint.concurrency - len(self.under_way) if self.open else 0

    @property
    def open(self) -> bool:
        return self.clock.monotonic() >= self.opens_at

    def send(self, parcels: Sequence[Parcel], settled: Settled) -> None:
        assert len(parcels) <= self.room(), "more than there was room for"
        for parcel in parcels:
            self.under_way.append((*self._asked(parcel), settled))

    def _asked(self, parcel: Parcel) -> tuple[float, Parcel, Answer]:
        when, answer = self.endpoint.take(parcel, self.rng, self.clock)
        return when, parcel, answer

    def settle(self) -> None:
        """What has been answered by now."""
        now = self.clock.monotonic()
        over = [each for each in self.under_way if each[0] <= now]
        self.under_way = [each for each in self.under_way if each[0] > now]
        for _, parcel, answer, settled in over:
            self.failures = 0 if answer.ok else self.failures + 1
            if self.failures >= 10:
                self.opens_at = now + self.probation_s
            parcel.answer = answer
            settled(parcel)

    def ask(self, invitation: Invitation, answered: Callable[[Consent], None]) -> None:
        """Whoever is here wants events."""
        answered(Consent("granted"))

    def keep_to(self, per_minute: int) -> None: ...

    def status(self) -> DestinationStatus:
        return DestinationStatus()

    def close(self) -> None:
        self.under_way.clear()
