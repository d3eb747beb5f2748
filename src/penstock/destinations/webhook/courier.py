"""The courier: one thread that sends the parcels of all lanes.

A lane that is idle costs nothing. No lane slows another for long: the connections are shared so that some are always
left (``SHARE``), and endpoints that have not answered well lately have a part of them only.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING
from uuid import uuid4

from ...clock import Clock
from ...telemetry import logger
from ..interface import Answer, Consent, Parcel
from ..lane import Settled
from ..redaction import redact
from .answers import (
    ABOUT_THE_PARCEL,
    FINAL,
    GONE,
    PAUSING,
    SAID_CHARS,
    SUCCESS,
    outcome_of_error,
    outcome_of_status,
    retry_after,
    said,
)
from .endpoint import Endpoint
from .handshakes.question import HandshakeReply, Question
from .lane import Answered, WebhookLane
from .limits import Limits
from .signatures import webhook_id

if TYPE_CHECKING:
    from .transport import Exchange, Resolver

log = logger(__name__)

CLOSE_S = 5.0  # seconds that closing takes at most
SHARE = 4  # a lane begins another request while it has fewer under way than this part of what is free


@dataclass(slots=True)
class Flight:
    """A parcel under way. ``proven``: whose part of the connections it takes."""

    lane: WebhookLane
    parcel: Parcel
    settled: Settled
    began: int  # microseconds since the epoch
    proven: bool


@dataclass(frozen=True, slots=True)
class Asking:
    """A handshake under way, or that waits for its turn."""

    lane: WebhookLane
    question: Question
    answered: Answered


class Courier:
    """For any thread. ``thread``: the one that sends."""

    def __init__(self, clock: Clock, limits: Limits | None = None, *, resolver: Resolver | None = None) -> None:
        """``resolver`` answers the addresses of a host in place of the system's. Raises ``CannotStart`` where pycurl is
        missing."""
        from .transport import Transport  # and with it libcurl, which an app without webhooks does not have

        self.failed = False  # the thread ended by an error: nothing is sent any more
        self._clock = clock
        self._limits = limits or Limits()
        self._transport = Transport(self._limits, self._landed, resolver)
        self._inbox: deque[tuple[WebhookLane, Sequence[Parcel], Settled]] = deque()
        self._questions: deque[Asking] = deque()
        self._asleep = False  # set before the thread looks whether it may wait, unset by who wakes it
        self._stop = False
        # Below, the thread's own: lanes with something to send, once each, in one of three places.
        self._proven: deque[WebhookLane] = deque()
        self._doubtful: deque[WebhookLane] = deque()
        self._due: list[tuple[float, int, WebhookLane]] = []  # a heap of those that wait for their rate
        self._entries = count()
        self._asking = 0  # handshakes under way
        self._flying = {True: 0, False: 0}  # by whether the lane was proven when it began
        # the doubtful have half of all connections, and the proven leave them some
        most = self._limits.connections
        self._most = {True: most - most // 8, False: (most + 1) // 2}
        self.thread = Thread(target=self._run, name="courier", daemon=True)
        self.thread.start()

    def open(self, endpoint: Endpoint) -> WebhookLane:
        """A lane of its own for one subscription. Raises ``CannotStart`` where the library that signs is missing."""
        return WebhookLane(endpoint, self._clock, self._submit, lambda: self._stop, self._put)

    def close(self) -> None:
        """End all that is under way, within ``CLOSE_S`` seconds; nothing of it is settled."""
        self._stop = True
        self._transport.wake()
        self.thread.join(CLOSE_S)

    def _submit(self, lane: WebhookLane, parcels: Sequence[Parcel], settled: Settled) -> None:
        self._inbox.append((lane, parcels, settled))
        self._wake()

    def _put(self, lane: WebhookLane, question: Question, answered: Answered) -> None:
        self._questions.append(Asking(lane, question, answered))
        self._wake()

    def _wake(self) -> None:
        if self._asleep:
            self._asleep = False
            self._transport.wake()

    # -- the thread -----------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop:
                self._asleep = True
                self._transport.turn(0.0 if self._inbox or self._stop or self._may_ask() else self._wait())
                self._asleep = False
                self._take()
                self._ask()
                self._launch()
        except BaseException:
            self.failed = True
            log.critical("the courier stopped", exc_info=True)
            raise
        finally:
            self._stop = True
            self._transport.close()

    def _wait(self) -> float:
        return max(0.0, self._due[0][0] - self._clock.monotonic()) if self._due else math.inf

    def _take(self) -> None:
        while self._inbox:
            lane, parcels, settled = self._inbox.popleft()
            lane.take(parcels, settled)
            self._look_at(lane)
        while self._due and self._due[0][0] <= self._clock.monotonic():
            lane = heapq.heappop(self._due)[2]
            lane.queued = False
            self._look_at(lane)

    def _look_at(self, lane: WebhookLane) -> None:
        """Something may have changed for what waits there."""
        if lane.may_send() and not lane.queued:
            lane.queued = True
            (self._proven if lane.proven else self._doubtful).append(lane)

    def _may_ask(self) -> bool:
        return bool(self._questions) and self._asking < self._limits.handshakes and self._transport.free > 0

    def _ask(self) -> None:
        """A few at once, with connections of their own share: those that hang for long take none from deliveries."""
        while self._may_ask():
            asking = self._questions.popleft()
            lane, question = asking.lane, asking.question
            if lane.closed:
                continue
            try:
                lines = self._question_lines(lane, question)
            except ValueError as error:
                _tell(asking, Consent("refused", str(error)))
                continue
            self._asking += 1
            self._transport.start(lane.endpoint, lines, question.body, asking, question.method)

    def _question_lines(self, lane: WebhookLane, question: Question) -> list[str]:
        """A question with a body is signed as an event is, since who verifies one verifies all."""
        if question.method == "POST":
            return self._lines(lane, Parcel(uuid4().hex, question.body, question.headers, 1), self._clock.now())
        own = {name for name, _ in question.headers}
        return [
            "content-type:",  # libcurl's own, which a request without a body has no use for
            *(f"{name}: {value}" for name, value in question.headers),
            *(line for line in lane.lines if line.partition(":")[0] not in own),
        ]

    def _launch(self) -> None:
        """A request a lane in turn, as long as there are connections."""
        for proven, lanes in ((True, self._proven), (False, self._doubtful)):
            while lanes and (free := min(self._transport.free, self._most[proven] - self._flying[proven])) > 0:
                lane = lanes.popleft()
                lane.queued = False
                if not lane.may_send():
                    continue
                if lane.flying and lane.flying >= min(lane.allowed, free // SHARE):
                    continue  # looked at again when one of its own has landed
                if (due := lane.due) and due > self._clock.monotonic():
                    lane.queued = True
                    heapq.heappush(self._due, (due, next(self._entries), lane))
                    continue
                self._send(lane, proven)
                if lane.queue:
                    lane.queued = True
                    lanes.append(lane)

    def _send(self, lane: WebhookLane, proven: bool) -> None:
        parcel, settled = lane.queue.popleft()
        began = self._clock.now()
        try:
            lines = self._lines(lane, parcel, began)
        except ValueError as error:
            answer = Answer(False, "BadRequest", reason=str(error), final=True, began=began, blameless=True)
            lane.settle(parcel, settled, answer)
            return
        lane.begin()
        self._flying[proven] += 1
        self._transport.start(lane.endpoint, lines, parcel.body, Flight(lane, parcel, settled, began, proven))

    def _lines(self, lane: WebhookLane, parcel: Parcel, began: int) -> list[str]:
        """The headers. Raises ``ValueError`` for what cannot be one, or cannot be signed."""
        id, seconds = webhook_id(parcel.id), began // 1_000_000
        lines = [
            *[f"{name}: {value}" if value else f"{name};" for name, value in parcel.headers],
            f"webhook-id: {id}",
            f"webhook-timestamp: {seconds}",
            f"idempotency-key: {id}",
            f"penstock-attempt: {parcel.attempt}",
        ]
        text = "".join(lines)
        if not (text.isascii() and text.isprintable()):
            raise ValueError("a header of this event holds control or non-ASCII characters")
        if lane.signer is not None:
            try:
                lines.append(f"webhook-signature: {lane.signer.sign(id, seconds, parcel.body)}")
            except UnicodeDecodeError:
                raise ValueError("the body is no UTF-8, and a signed one has to be") from None
        return lines + lane.lines

    def _landed(self, exchange: Exchange) -> None:
        if isinstance(exchange.context, Asking):
            self._asking -= 1
            if not exchange.context.lane.closed:
                _tell(exchange.context, _judged(exchange.context, exchange))
            return
        flight: Flight = exchange.context
        lane = flight.lane
        self._flying[flight.proven] -= 1
        lane.land(flight.parcel, flight.settled, self._answer(exchange, flight))
        self._look_at(lane)

    def _answer(self, exchange: Exchange, flight: Flight) -> Answer:
        hidden, status = flight.lane.hidden, exchange.status
        if not status:
            outcome = "ResolutionError" if exchange.vetoed else outcome_of_error(exchange.error)
            reason = redact(exchange.vetoed or exchange.message, hidden)[:SAID_CHARS]
            return Answer(False, outcome, reason=reason, began=flight.began)
        reason = redact(said(exchange.body), hidden)[:SAID_CHARS] if exchange.body else ""
        if status in SUCCESS:
            return Answer(True, outcome_of_status(status), status, reason, began=flight.began)
        pause = retry_after(exchange.retry_after, self._clock.now()) if status in PAUSING else None
        return Answer(
            False, outcome_of_status(status), status, f"HTTP {status}: {reason}" if reason else f"HTTP {status}",
            retry_after_s=pause, final=status in FINAL, gone=status == GONE, began=flight.began,
            blameless=status in ABOUT_THE_PARCEL,
        )  # fmt: skip


def _judged(asking: Asking, exchange: Exchange) -> Consent:
    hidden, status = [*asking.question.hidden, *asking.lane.hidden], exchange.status
    reason = "" if status else exchange.vetoed or exchange.message or outcome_of_error(exchange.error)
    said = asking.question.judge(
        HandshakeReply(status, exchange.body, exchange.allowed_origin, exchange.allowed_rate, reason)
    )
    return replace(said, reason=redact(said.reason, hidden)[:SAID_CHARS])


def _tell(asking: Asking, consent: Consent) -> None:
    try:
        asking.answered(consent)
    except Exception:
        log.error("what is told of a handshake failed", exc_info=True)
