"""What a courier does for handshakes: it asks the endpoints that have not said yet that they want events.

It asks beside the routers, so that nobody waits for an endpoint that hangs; and it says what came of it in a command to
the owner of ``penstock.system``, from whose answers every process knows. An endpoint that has granted one is asked no
more, whoever dies, until its URL, its format or its handshake is another.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Event
from uuid import uuid4

from ....batch import SYSTEM, Write
from ....clock import Clock
from ....destinations.interface import AskingDestination, Consent, Invitation
from ....errors import PenstockError
from ....log.interface import Log
from ....system.messages import Command, to_rows
from ....system.view import View
from ....telemetry import logger
from ..subscriptions import Subscription
from .messages import BeginHandshake, EndHandshake, HandshakeChanged
from .state import HandshakeState

TRIES = 3  # times that an endpoint is asked that gives no clear answer
AGAIN_S = 5.0  # seconds between two of them, as Event Grid's
AT_ONCE = 32  # handshakes of one courier, as many as it has connections for: none waits for its turn
STALE_S = 150.0  # seconds after which another courier asks in the place of one that died: more than all tries take
APART_S = 60.0  # seconds between two that this courier begins by itself, where others of another version do as well
LOOK_S, BUSY_S = 1.0, 0.25  # seconds between two looks, and while something is under way
TOKEN_BYTES = 32  # of randomness in a callback

log = logger(__name__)


def endpoint_digest(*parts: str) -> str:
    """Of all that makes another endpoint of one: a URL may be secret, and is in no log."""
    return sha256("\n".join(parts).encode()).hexdigest()


def token_digest(token: str) -> str:
    """What is stored of a callback."""
    return sha256(token.encode()).hexdigest()


@dataclass(slots=True, eq=False)
class AskedEndpoint:
    """A subscription whose endpoint has to be asked. ``endpoint``: see ``endpoint_digest``. ``expired``: the number of
    the change that was last said to have waited too long."""

    subscription: Subscription
    destination: AskingDestination
    endpoint: str
    begins_at: float = 0.0  # before that it begins none by itself (monotonic)
    attempt: HandshakeAttempt | None = None
    expired: int = 0


@dataclass(slots=True, eq=False)
class HandshakeAttempt:
    """A handshake of this courier. ``number``: of the change that began it, 0 while that is not seen; ``before``: of
    the one that was seen then. ``consent`` is written in the destination's thread."""

    id: str
    before: int
    token: str = field(repr=False)
    code: str = field(repr=False)
    number: int = 0
    tries: int = 0
    due: float = 0.0  # when the endpoint is asked, monotonic
    asking: bool = False
    told: bool = False
    consent: Consent | None = None


class Handshakes:
    """Used in one thread; the destinations' write ``HandshakeAttempt.consent`` alone.

    ``callbacks``: the URL below which a callback is opened, without a slash at its end; empty: none is offered.
    ``patience_s``: how long one holds.
    """

    def __init__(
        self, log: Log, view: View, clock: Clock, asked: Sequence[AskedEndpoint], callbacks: str, patience_s: float
    ) -> None:
        self._log, self._view, self._clock = log, view, clock
        self._state = view.areas.only(HandshakeState)
        self._asked, self._callbacks, self._patience_s = asked, callbacks, patience_s
        self._commands: list[Command] = []  # not stored yet; twice would be harmless

    def run(self, stop: Event) -> None:
        """Until told to stop."""
        while True:
            try:
                self.look()
            except PenstockError as error:
                log.warning("handshakes cannot go on", reason=str(error))
            if stop.wait(BUSY_S if self._under_way() else LOOK_S):
                return

    def look(self) -> None:
        """See what came of those under way, and begin others. Never waits for an endpoint.

        Raises ``PenstockError`` where the log cannot be read or written; the next look goes on.
        """
        self._view.refresh()
        left = AT_ONCE - self._under_way()
        for asked in self._asked:
            known = self._known(asked)
            if asked.attempt is not None:
                self._go_on(asked, asked.attempt, known)
            if asked.attempt is None and left > 0 and self._is_due(asked, known):
                self._begin(asked, known)
                left -= 1
            elif known is not None and known.step == "awaiting" and self._clock.now() >= known.until:
                self._expire(asked, known)
        if self._commands:
            self._log.append([Write(SYSTEM, 0, to_rows(self._commands))])
            self._commands = []

    def _under_way(self) -> int:
        return sum(asked.attempt is not None for asked in self._asked)

    def _known(self, asked: AskedEndpoint) -> HandshakeChanged | None:
        """And what it means for the subscription."""
        subscription = asked.subscription
        granted = self._state.granted(subscription.name, asked.endpoint)
        if granted is not None and granted.per_minute is not None and subscription.unproven:
            asked.destination.keep_to(granted.per_minute)  # before anything may go there
        subscription.unproven = granted is None
        return self._state.known.get(subscription.name)

    def _is_due(self, asked: AskedEndpoint, known: HandshakeChanged | None) -> bool:
        if asked.subscription.paused:
            return False
        if known is None or known.step == "wanted":
            return True
        if known.endpoint != asked.endpoint:
            return self._clock.monotonic() >= asked.begins_at
        return known.step == "asked" and self._clock.now() >= known.at + round(STALE_S * 1e6)

    def _begin(self, asked: AskedEndpoint, known: HandshakeChanged | None) -> None:
        token = secrets.token_urlsafe(TOKEN_BYTES) if self._callbacks else ""
        attempt = asked.attempt = HandshakeAttempt(uuid4().hex, known.number if known else 0, token, str(uuid4()))
        asked.begins_at = self._clock.monotonic() + APART_S
        self._commands.append(
            BeginHandshake(
                id=attempt.id,
                subscription=asked.subscription.name,
                number=attempt.before,
                endpoint=asked.endpoint,
                token=token and token_digest(token),
                patience=self._patience_s,
            )
        )

    def _go_on(self, asked: AskedEndpoint, attempt: HandshakeAttempt, known: HandshakeChanged | None) -> None:
        number = known.number if known is not None else 0
        if not attempt.number:
            if number == attempt.before:
                return  # the owner has not answered yet
            if known is None or known.causationid != attempt.id:
                asked.attempt = None  # another courier asks
                return
            attempt.number = number
        if number != attempt.number:
            asked.attempt = None  # it is over, or somebody has consented by hand
        elif attempt.consent is not None:
            assert known is not None
            self._judge(attempt, known, attempt.consent)
        elif not attempt.asking and not attempt.told and self._clock.monotonic() >= attempt.due:
            self._ask(asked, attempt)

    def _ask(self, asked: AskedEndpoint, attempt: HandshakeAttempt) -> None:
        attempt.asking, attempt.tries = True, attempt.tries + 1
        callback = f"{self._callbacks}/{attempt.token}" if attempt.token else ""

        def answered(consent: Consent) -> None:
            attempt.consent = consent

        invitation = Invitation(attempt.id, asked.subscription.name, attempt.code, callback)
        asked.destination.ask(invitation, answered)

    def _judge(self, attempt: HandshakeAttempt, known: HandshakeChanged, consent: Consent) -> None:
        attempt.consent, attempt.asking = None, False
        if consent.verdict == "unclear" and attempt.tries < TRIES:
            attempt.due = self._clock.monotonic() + AGAIN_S
            return
        self._end(known, consent)
        attempt.told = True

    def _expire(self, asked: AskedEndpoint, known: HandshakeChanged) -> None:
        if asked.expired != known.number:  # said once, however long the owner is away
            asked.expired = known.number
            self._end(known, Consent("refused", f"{known.reason}; and nobody has consented in time by hand"))

    def _end(self, known: HandshakeChanged, consent: Consent) -> None:
        verdict = "refused" if consent.verdict == "unclear" else consent.verdict
        self._commands.append(
            EndHandshake(
                id=uuid4().hex,
                subscription=known.subscription,
                number=known.number,
                verdict=verdict,
                reason=consent.reason,
                per_minute=consent.per_minute,
            )
        )
