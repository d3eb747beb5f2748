"""The lane of a subscription to a webhook."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...clock import Clock
from ..interface import Parcel
from ..lane import Lane, Settled
from .endpoint import Endpoint
from .signatures import Signer


class WebhookLane(Lane):
    """With what all of its requests have in common. ``submit`` and ``stopped`` are those of the courier, which sends
    for all lanes."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        submit: Callable[[WebhookLane, Sequence[Parcel], Settled], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(endpoint.concurrency, endpoint.per_second, clock)
        self.endpoint = endpoint
        self.signer = Signer(endpoint.secrets) if endpoint.secrets else None
        self.hidden = endpoint.hidden()
        self.lines = [*(f"{name}: {value}" if value else f"{name};" for name, value in endpoint.headers), "Expect:"]
        self.queued = False  # among those that the courier looks at
        self._submit, self._stopped = submit, stopped

    def submit(self, parcels: Sequence[Parcel], settled: Settled) -> None:
        self._submit(self, parcels, settled)

    @property
    def stopped(self) -> bool:
        return self._stopped()
