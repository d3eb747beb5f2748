"""When a delivery is tried again, and when it is given up. Pure functions.

The gaps are those of Azure Event Grid ("message delivery and retry"): 10 s, 30 s, 1, 5, 10 and 30 minutes, 1, 3 and 6
hours, then 12 hours each.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from ...destinations.interface import Answer

RUNGS_S = (0.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0, 10_800.0, 21_600.0, 43_200.0)
"""Seconds that an event waits on each rung of the ladder; the first is for what waits for nothing."""

EXHAUSTED, EXPIRED, REFUSED = "MaxDeliveryAttemptsExceeded", "TimeToLiveExceeded", "NotRetried"
"""Why an event is given up: Event Grid's ``deadLetterReason``; the last is of answers that are never tried again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``attempts`` in all; ``ttl_s``: seconds since the event was appended. Whichever ends first."""

    attempts: int = 30
    ttl_s: float = 86_400.0


def given_up(policy: RetryPolicy, attempts: int, answer: Answer) -> str | None:
    """Why no further attempt follows these; None: one does."""
    if answer.final:
        return REFUSED
    return EXHAUSTED if attempts >= policy.attempts else None


def rung_after(attempts: int, retry_after_s: float | None = None) -> int:
    """The rung on which an event waits that failed so often; one that is no sooner than the endpoint asked for."""
    rung = min(max(attempts, 1), len(RUNGS_S) - 1)
    if retry_after_s is not None:
        rung = max(rung, min(bisect_left(RUNGS_S, retry_after_s), len(RUNGS_S) - 1))
    return rung


def is_expired(policy: RetryPolicy, published: int, now: int) -> bool:
    """Both in microseconds since the epoch. Looked at when an attempt is due, and not before."""
    return now - published > policy.ttl_s * 1e6
