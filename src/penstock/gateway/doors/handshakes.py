"""/handshakes/TOKEN: where an endpoint, or a person with its URL, says that it wants events."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import Protocol

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ...clock import Clock
from ...destinations.webhook.handshakes.cloudevents import allowed_rate
from ...log.interface import ObservedLog
from ...models.registry import Registry
from ..handshakes import grant
from ..wire.errors import BadRequest


class HandshakeNeeds(Protocol):
    """What this door leads to."""

    @property
    def log(self) -> ObservedLog: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def threads(self) -> Executor: ...


async def granted(request: Request, services: HandshakeNeeds) -> Response:
    """With GET and with POST, whose body is not read. HEAD, with which programs look at links, grants nothing."""
    if request.method == "HEAD":
        return Response(status_code=405, headers={"allow": "GET, POST"})
    try:
        per_minute = allowed_rate(request.headers.get("webhook-allowed-rate"))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    token: str = request.path_params["token"]

    def work() -> None:
        grant(services.log, services.registry, services.clock, token, per_minute)

    await asyncio.get_running_loop().run_in_executor(services.threads, work)
    return PlainTextResponse("granted: events will be sent\n")
