"""Who asks is known before a request is routed: no door opens to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from penstock.errors import Forbidden
from penstock.gateway.app import Gateway
from penstock.gateway.principal import LOCAL_USER, PRINCIPAL, Principal
from penstock.gateway.routes import ROUTES, BareDoor
from penstock.gateway.wire.asgi import Receive, Scope, Send

EVENT = {"flight": 1, "tail": "N1", "delay": 2.5}
NAMES = {
    "token": "callback",
    "topic": "flights",
    "model": "delay",
    "alias": "champion",
    "version": "1",
    "partition": "0",
    "offset": "0",
    "subscription": "s",
    "key": "k",
    "domain": "tx",
}


def refuse(scope: Scope) -> Principal:
    raise Forbidden("nobody is let in")


def run(house: Any, work: Callable[[Any], Awaitable[None]]) -> None:
    async def go() -> None:
        async with house() as h:
            await work(h)

    asyncio.run(go())


def check_every_door(house: Any, kind: type[Gateway]) -> None:
    """That each refuses whom ``admit`` refuses."""

    async def work(h: Any) -> None:
        transport = httpx.ASGITransport(kind(h.services, admit=refuse))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            for route in ROUTES:
                body = EVENT if route.method != "GET" else None
                answer = await http.request(route.method, route.path.format(**NAMES), json=body)
                assert answer.status_code == 403, f"{route.method} {route.path} opened to nobody: {answer.status_code}"
        assert h.count() == 0

    run(house, work)


def test_no_door_opens_to_whom_nobody_lets_in(house: Any) -> None:
    check_every_door(house, Gateway)


def test_a_door_before_admission_is_found(house: Any) -> None:
    class Early(Gateway):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            for bare in self._bare:
                if parameters := bare.parameters(scope["method"], scope["path"]):
                    await bare.door(scope, receive, send, *parameters)
                    return
            await super().__call__(scope, receive, send)

    with pytest.raises(AssertionError, match=r"POST /topics/\{topic\}/events opened to nobody"):
        check_every_door(house, Early)


def test_doors_are_told_who_asks(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(h: Any) -> None:
        seen: list[Principal] = []

        def looking(door: BareDoor) -> BareDoor:
            async def look(scope: Scope, receive: Receive, send: Send, *parameters: str) -> None:
                seen.append(scope[PRINCIPAL])
                await door(scope, receive, send, *parameters)

            return look

        h.gateway._bare = [replace(bare, door=looking(bare.door)) for bare in h.gateway._bare]
        assert (await h.http.post("/topics/flights/events", json=EVENT)).status_code == 200
        assert (await h.http.post("/eventgrid/flights/api/events", json=[])).status_code == 200
        for path in ("/domains/none/events", "/domains/none/topics/acme/events"):
            assert (await h.http.post(path, json=EVENT)).status_code == 404
        assert seen == [LOCAL_USER] * len(h.gateway._bare)

    run(house, work)
