"""Webhooks keep what every destination promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from socket import socket

import pytest
from tests.destinations.webhook.conftest import local
from tests.destinations.webhook.receivers import Receiver, receiving, status

from penstock.clock import Clock
from penstock.destinations.interface import Destination
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.limits import Limits
from penstock.testing import DestinationContract

TAKES, FAILS = status(204), status(503)


class Turning:
    """A receiver that takes everything, or fails at everything."""

    def __init__(self, receiver: Receiver, answers: list[bytes], couriers: Callable[..., Courier]) -> None:
        self._receiver, self._answers, self._couriers = receiver, answers, couriers

    def open(self, clock: Clock) -> Destination:
        return self._couriers(clock, Limits(connections=64, answer_s=20.0)).open(local(self._receiver))

    def got(self) -> Sequence[bytes]:
        return [request.body for request in self._receiver.requests]

    def away(self) -> None:
        self._answers[:] = [FAILS]

    def back(self) -> None:
        self._answers[:] = [TAKES]


class TestWebhooks(DestinationContract):
    @pytest.fixture
    def endpoint(self, couriers: Callable[..., Courier]) -> Iterator[Turning]:
        answers = [TAKES]

        def behave(receiver: Receiver, connection: socket) -> None:
            while receiver.read(connection) is not None:
                connection.sendall(answers[0])

        with receiving(behave) as receiver:
            yield Turning(receiver, answers, couriers)
