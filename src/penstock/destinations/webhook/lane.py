"""The lane of a subscription to a webhook."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...clock import Clock
from ..interface import Consent, Invitation, Parcel
from ..lane import Lane, Settled
from .endpoint import Endpoint
from .handshakes import cloudevents, eventgrid
from .handshakes.question import Question
from .signatures import Signer

Answered = Callable[[Consent], None]


class WebhookLane(Lane):
    """``AskingDestination``, with what all of its requests have in common. ``submit``, ``stopped`` and ``put`` are
    those of the courier, which sends for all lanes, and asks."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        submit: Callable[[WebhookLane, Sequence[Parcel], Settled], None],
        stopped: Callable[[], bool] = lambda: False,
        put: Callable[[WebhookLane, Question, Answered], None] = lambda *_: None,
    ) -> None:
        super().__init__(endpoint.concurrency, endpoint.per_second, clock)
        self.endpoint = endpoint
        self.signer = Signer(endpoint.secrets) if endpoint.secrets else None
        self.hidden = endpoint.hidden()
        self.lines = [*(f"{name}: {value}" if value else f"{name};" for name, value in endpoint.headers), "Expect:"]
        self.queued = False  # among those that the courier looks at
        if endpoint.handshake == "cloudevents":  # 2.1 and 4.1.1 of its webhooks: with each request
            self.lines.append(f"webhook-request-origin: {endpoint.origin}")
        self._submit, self._stopped, self._put = submit, stopped, put

    def submit(self, parcels: Sequence[Parcel], settled: Settled) -> None:
        self._submit(self, parcels, settled)

    def ask(self, invitation: Invitation, answered: Answered) -> None:
        if self.endpoint.handshake == "eventgrid":
            question = eventgrid.question(invitation, self.endpoint.origin, self._clock.now())
        else:
            question = cloudevents.question(invitation, self.endpoint.origin, self.endpoint.per_second)
        self._put(self, question, answered)

    @property
    def stopped(self) -> bool:
        return self._stopped()
