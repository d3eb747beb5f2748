"""/caught: the webhooks of `penstock dev`, caught in the place of their receivers, and what they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ...clock import Clock
from ...errors import InvalidEvent, NotFound, TooLarge
from ...models.registry import Registry
from ...plan.plan import Plan
from ...settings import Settings
from ...stages.deliver.run_time.known import KnownSubscriptions
from ..catching.catcher import ANSWERS, Catcher, CaughtRequest
from ..catching.page import HEADERS, page
from ..wire.body import BOM
from ..wire.errors import unknown
from ..wire.parameters import INT64_MAX, whole

SLOW_S = 60.0  # seconds that somebody is kept waiting who does not give up before
SMALL_BYTES = 4_096  # bytes of a body that says what is chosen


class CatcherNeeds(Protocol):
    """What these doors lead to."""

    @property
    def catcher(self) -> Catcher | None: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def settings(self) -> Settings: ...


class ChosenAnswer(msgspec.Struct):
    answer: str


async def look(request: Request, services: CatcherNeeds) -> Response:
    return HTMLResponse(page(_catcher(services)), headers=HEADERS)


async def requests(request: Request, services: CatcherNeeds) -> Response:
    catcher = _catcher(services)
    since = whole(request.query_params.get("since", "0"), "since", 0, INT64_MAX)
    return _json(
        {
            "count": catcher.count,
            "answers": {name: catcher.answer_of(name) for name in catcher.subscriptions},
            "requests": [_described(name, caught) for name, caught in catcher.kept(since)],
        }
    )


async def catch(request: Request, services: CatcherNeeds) -> Response:
    catcher, name = _named(request, services)
    body = await _read(request, services.settings.body_limit)
    headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in request.headers.raw]
    answer = catcher.take(name, headers, body, services.clock.now())
    if answer == "slow":
        await _keep_waiting(request, catcher)
    status, meaning = ANSWERS[answer]
    return Response(f"caught by penstock dev, which here {meaning}\n", status, media_type="text/plain")


async def choose(request: Request, services: CatcherNeeds) -> Response:
    catcher, name = _named(request, services)
    try:
        chosen = msgspec.json.decode((await _read(request, SMALL_BYTES)).removeprefix(BOM), type=ChosenAnswer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEvent(f"this is no choice, such as {{'answer': '500'}}: {error}") from None
    catcher.choose(name, chosen.answer)
    return _json({"subscription": name, "answer": chosen.answer})


def _catcher(services: CatcherNeeds) -> Catcher:
    if services.catcher is None:
        raise NotFound("no webhooks are caught here: `penstock dev` catches them")
    return services.catcher


def _named(request: Request, services: CatcherNeeds) -> tuple[Catcher, str]:
    catcher, name = _catcher(services), request.path_params["subscription"]
    services.registry.refresh()
    spec = KnownSubscriptions(services.plan, services.registry.view).get(name)
    if spec is not None and spec.run_time:
        catcher.subscriptions[name] = spec
    if name not in catcher.subscriptions:
        raise unknown("subscription to a webhook", name, sorted(catcher.subscriptions))
    return catcher, name


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise TooLarge(f"the body is over {limit} bytes")
    return bytes(body)


async def _keep_waiting(request: Request, catcher: Catcher) -> None:
    """Until the courier has given up, or the gateway stops."""
    waiting = [asyncio.ensure_future(each) for each in (request.receive(), catcher.released.wait())]
    _, pending = await asyncio.wait(waiting, timeout=SLOW_S, return_when=asyncio.FIRST_COMPLETED)
    for each in pending:
        each.cancel()


def _described(name: str, caught: CaughtRequest) -> Mapping[str, Any]:
    return {
        "number": caught.number,
        "subscription": name,
        "at": datetime.fromtimestamp(caught.at / 1e6, UTC),
        "id": caught.header("webhook-id"),
        "attempt": caught.header("penstock-attempt"),
        "signature": caught.signature,
        "answered": caught.answered,
        "headers": caught.headers,
        "size": caught.size,
        "body": caught.body.decode(errors="replace"),
    }


def _json(found: object) -> Response:
    return Response(msgspec.json.encode(found), media_type="application/json")
