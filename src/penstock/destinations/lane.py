"""One subscription's lane to where it goes: what waits, what is under way, and whether it is open.

A lane is closed for a while when the endpoint asks for it, and on probation after ten failures in a row; then one
parcel is let through to try. The pauses of the probation are Event Grid's:
https://learn.microsoft.com/azure/event-grid/delivery-and-retry#delayed-delivery
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock

from ..clock import Clock
from ..telemetry import logger
from .interface import Answer, DestinationStatus, Parcel

log = logger(__name__)

FAILURES = 10  # in a row, after which a lane is on probation
PROBATION_S = {"Busy": 10.0, "TimedOut": 10.0, "SocketError": 30.0}
LONG_PROBATION_S = 300.0  # seconds after what will not pass soon: NotFound, ResolutionError, Unauthorized, …
QUEUE = 32  # parcels that wait, for each that may be under way
SLACK_S = 0.01  # seconds by which a rate may be caught up: what waits is woken this late
APART = 1e-3  # of an interval, by which requests are further apart where an endpoint says how many it allows
ASKED = "Retry-After"

Settled = Callable[[Parcel], None]


class Lane:
    """A ``Destination``, but for the one thread that sends: whose lane it is says how that is told (``submit``), and
    whether it is still there (``stopped``).

    The fields are that thread's, but for ``_taken``, which is that of those who give it parcels, and ``closed``; other
    threads read them one by one, and what they make of it may be a moment old.
    """

    def __init__(self, concurrency: int, per_second: float, clock: Clock) -> None:
        """``concurrency``: parcels under way at once. ``per_second``: that begin; 0: no limit."""
        self.queue: deque[tuple[Parcel, Settled]] = deque()
        self.flying = self.ended = self.delivered = self.failed = 0
        self.failures = 0  # in a row
        self.last: Answer | None = None
        self.opens = 0.0  # when it takes parcels again (monotonic)
        self.why = ""  # of the last time that it was closed
        self.closed = False
        self.due = 0.0  # when the rate lets the next one begin (monotonic)
        self.limit = QUEUE * concurrency  # parcels that it holds
        if per_second:  # what waits for more than a second waits better in the log
            self.limit = min(self.limit, max(1, int(per_second)))
        self._concurrency = concurrency
        self._interval = 1 / per_second if per_second else 0.0
        self._slack_s = SLACK_S
        self._clock = clock
        self._taken = 0
        self._taking = Lock()

    # -- for the stage --------------------------------------------------------

    def room(self) -> int:
        if self.closed or self.stopped or self._clock.monotonic() < self.opens:
            return 0
        held = self._taken - self.ended
        if self.failures >= FAILURES:
            return 0 if held else 1
        return max(0, self.limit - held)

    @property
    def open(self) -> bool:
        return not self.closed and self._clock.monotonic() >= self.opens

    def send(self, parcels: Sequence[Parcel], settled: Settled) -> None:
        with self._taking:
            self._taken += len(parcels)
        self.submit(parcels, settled)

    def status(self) -> DestinationStatus:
        left = self.opens - self._clock.monotonic()
        on_probation = self.failures >= FAILURES
        return DestinationStatus(
            opens_at=self._clock.now() + round(left * 1e6) if left > 0 else 0,
            why=self.why if left > 0 or on_probation else "",
            last=self.last,
            delivered=self.delivered,
            failed=self.failed,
        )

    def close(self) -> None:
        self.closed = True

    def keep_to(self, per_minute: int) -> None:
        """Begin no more than that in any minute, whatever else is declared: none is caught up with, and each waits a
        little longer than its part of the minute, so that one at the beginning and one at the end are not one too many.
        """
        interval = 60.0 / per_minute * (1 + APART)
        if interval > self._interval:
            self._slack_s, self._interval = 0.0, interval
            self.limit = min(self.limit, max(1, per_minute // 60))

    # -- between the two ------------------------------------------------------

    def submit(self, parcels: Sequence[Parcel], settled: Settled) -> None:
        """Hand them to the sending thread, which gives them to ``take``; never waits, and raises nothing."""
        raise NotImplementedError

    @property
    def stopped(self) -> bool:
        """Has that thread ended?"""
        return False

    # -- for the sending thread -----------------------------------------------

    @property
    def proven(self) -> bool:
        """Its last answer was a good one."""
        return self.delivered > 0 and self.failures == 0

    @property
    def allowed(self) -> int:
        """Parcels under way at once: half as many with each failure; and until the first success no more than it takes
        to find out, together, that nobody answers."""
        if not self.delivered:
            return max(1, min(self._concurrency, FAILURES - self.failures))
        return max(1, self._concurrency >> self.failures)

    def take(self, parcels: Sequence[Parcel], settled: Settled) -> None:
        """Queue what there is room for; the rest goes back."""
        fits = max(0, self.limit - self.flying - len(self.queue))
        self.queue.extend([(parcel, settled) for parcel in parcels[:fits]])
        for parcel in parcels[fits:]:
            self.settle(parcel, settled, Answer(False, "Busy", reason="not sent: the lane is full"))

    def may_send(self) -> bool:
        """Is there something to send? Where the lane is not open, all that waits goes back."""
        if self.closed:
            self.queue.clear()
        elif self.queue and (answer := self.refused()) is not None:
            while self.queue:
                self.settle(*self.queue.popleft(), answer)
        return bool(self.queue)

    def begin(self) -> None:
        self.flying += 1
        if self._interval:
            late = max(0.0, self._slack_s - self._interval)
            self.due = max(self.due, self._clock.monotonic() - late) + self._interval

    def land(self, parcel: Parcel, settled: Settled, answer: Answer) -> None:
        """The end of what was begun."""
        self.flying -= 1
        self._judge(answer)
        self.settle(parcel, settled, answer)

    def settle(self, parcel: Parcel, settled: Settled, answer: Answer) -> None:
        self.ended += 1
        if self.closed:
            return
        parcel.answer = answer
        try:
            settled(parcel)
        except Exception:
            log.error("what is told of parcels failed", exc_info=True)

    def refused(self) -> Answer | None:
        """The answer to a parcel whose turn comes while the lane is closed; None: it is open."""
        if not self.opens or (left := self.opens - self._clock.monotonic()) <= 0:
            return None
        outcome = "Busy" if self.why == ASKED else "Probation"
        return Answer(False, outcome, reason=f"not sent: {self.why}", retry_after_s=left)

    def _judge(self, answer: Answer) -> None:
        """What an answer means for the parcels after it."""
        self.last = answer
        if answer.ok:
            self.delivered += 1
            self.failures = 0
            return
        now = self._clock.monotonic()
        self.failed += 1
        if not answer.blameless:
            self.failures += 1
        if self.failures >= FAILURES:
            self._shut(now + PROBATION_S.get(answer.outcome, LONG_PROBATION_S), f"probation after {answer.outcome}")
        if answer.retry_after_s:
            self._shut(now + answer.retry_after_s, ASKED)

    def _shut(self, until: float, why: str) -> None:
        if until > self.opens:
            self.opens, self.why = until, why
