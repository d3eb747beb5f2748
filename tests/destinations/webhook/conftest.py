from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pycurl
import pytest
from tests.destinations.webhook.receivers import Receiver

from penstock.clock import Clock, SystemClock
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.endpoint import Endpoint
from penstock.destinations.webhook.lane import WebhookLane
from penstock.destinations.webhook.limits import Limits
from penstock.destinations.webhook.transport import Exchange

LIMITS = Limits(connections=64, connect_s=1.0, answer_s=1.0)


@pytest.fixture
def couriers() -> Iterator[Callable[..., Courier]]:
    """Makes couriers that are closed in the end."""
    made: list[Courier] = []

    def make(clock: Clock | None = None, limits: Limits = LIMITS, **given: Any) -> Courier:
        made.append(Courier(clock or SystemClock(), limits, **given))
        return made[-1]

    yield make
    for courier in made:
        courier.close()
        assert not courier.failed


@pytest.fixture
def courier(couriers: Callable[..., Courier]) -> Courier:
    return couriers()


def local(receiver: Receiver | str, **given: Any) -> Endpoint:
    """An endpoint on this machine, which has to be allowed."""
    url = receiver if isinstance(receiver, str) else receiver.url
    return Endpoint(url, allow_http=True, allow_private=True, **given)


def lane_to(courier: Courier, receiver: Receiver | str, **given: Any) -> WebhookLane:
    return courier.open(local(receiver, **given))


def with_option(monkeypatch: pytest.MonkeyPatch, change: Callable[[pycurl.Curl], None]) -> None:
    """A mutant whose requests have another option of libcurl's."""
    prepare = Exchange.prepare

    def changed(self: Exchange, *given: object) -> None:
        prepare(self, *given)  # type: ignore[arg-type]
        change(self.handle)

    monkeypatch.setattr(Exchange, "prepare", changed)
