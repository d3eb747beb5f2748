"""What catches webhooks, over HTTP: any request is kept as it came and answered as was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.gateway.app import Gateway
from penstock.gateway.catching.catcher import Catcher
from penstock.gateway.routes import CATCHER_ROUTES, ROUTES, Route
from penstock.gateway.services import GatewayServices
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.testing.door_contract import HERE, DoorContract, made

PLAN = Plan("shop", "", "c0de", (), subscriptions=(SubscriptionSpec("cases", "notes", "https://h.example/x"),))
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/caught"): {"url": "/caught"},
    ("GET", "/caught/requests"): {"url": "/caught/requests"},
    ("POST", "/caught/{subscription}"): {"url": "/caught/cases", "json": {"n": 1}},
    ("PUT", "/caught/{subscription}/answer"): {"url": "/caught/cases/answer", "json": {"answer": "500"}},
}


@pytest.mark.parametrize("route", CATCHER_ROUTES, ids=lambda r: f"{r.method} {r.path}", indirect=True)
class TestCatcherDoors(DoorContract):
    @pytest.fixture
    def route(self, request: pytest.FixtureRequest) -> Route:
        route: Route = request.param
        return route

    @pytest.fixture
    def request_(self, route: Route) -> dict[str, Any]:
        return REQUESTS[route.method, route.path]

    @pytest.fixture
    def services(self, tmp_path: Path) -> GatewayServices:
        return replace(made(tmp_path), catcher=Catcher(PLAN, {}))


class Shop:
    def __init__(self, folder: Path) -> None:
        self.catcher = Catcher(PLAN, {})
        self.services = replace(made(folder), catcher=self.catcher)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(Gateway(self.services, (*ROUTES, *CATCHER_ROUTES)))
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
                return await http.request(method, path, **more)

        return asyncio.run(asked())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    yield Shop(tmp_path)


def test_requests_are_kept_as_they_came(shop: Shop) -> None:
    headers = {"webhook-id": "notes/0/1", "penstock-attempt": "2", "content-type": "text/plain", "ce-id": "7"}
    answer = shop.ask("POST", "/caught/cases", headers=headers, content=b"\xff hello")
    assert answer.status_code == 200
    told = shop.ask("GET", "/caught/requests").json()
    (caught,) = told["requests"]
    assert (caught["subscription"], caught["id"], caught["attempt"]) == ("cases", "notes/0/1", "2")
    assert (caught["signature"], caught["answered"], caught["size"]) == ("none", "200", 7)
    assert caught["body"] == "\ufffd hello" and dict(caught["headers"]).items() >= headers.items()
    assert told["count"] == 1 and told["answers"] == {"cases": "200"}
    assert shop.ask("GET", "/caught/requests?since=1").json()["requests"] == []


@pytest.mark.parametrize(("answer", "status"), [("400", 400), ("410", 410), ("500", 500), ("200", 200)])
def test_they_are_answered_as_was_chosen(shop: Shop, answer: str, status: int) -> None:
    chosen = shop.ask("PUT", "/caught/cases/answer", json={"answer": answer})
    assert chosen.json() == {"subscription": "cases", "answer": answer}
    assert shop.ask("POST", "/caught/cases", json={}).status_code == status


def test_one_that_is_slow_answers_when_the_gateway_stops(shop: Shop) -> None:
    shop.catcher.choose("cases", "slow")

    async def asked() -> int:
        transport = httpx.ASGITransport(Gateway(shop.services, CATCHER_ROUTES))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
            waiting = asyncio.ensure_future(http.post("/caught/cases", json={}))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done and shop.catcher.count == 1
            shop.catcher.released.set()
            return (await waiting).status_code

    assert asyncio.run(asked()) == 503


def test_what_is_not_there_is_told(shop: Shop) -> None:
    assert "there is no subscription to a webhook 'case'; did you mean" in shop.ask("POST", "/caught/case").text
    refused = shop.ask("PUT", "/caught/cases/answer", json={"answer": "201"})
    assert refused.status_code == 400 and "there are 200, 400, 410, 500, slow" in refused.text
    assert shop.ask("PUT", "/caught/cases/answer", json=[1]).status_code == 400
    assert shop.ask("PUT", "/caught/cases/answer", content=b" " * 5_000).status_code in (413, 415)
    shop.services = replace(shop.services, catcher=None)
    assert "`penstock dev` catches them" in shop.ask("GET", "/caught").text


def test_elsewhere_a_body_still_names_its_type(shop: Shop) -> None:
    assert shop.ask("POST", "/caught/cases", content=b"x", headers={"content-type": "text/plain"}).status_code == 200
    for method, path in (("PUT", "/caught/cases/answer"), ("POST", "/topics/notes/events")):
        answer = shop.ask(method, path, content=b"{}", headers={"content-type": "text/plain"})
        assert answer.status_code == 415, path


@pytest.mark.parametrize("marks", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_no_foreign_page_has_anything_caught_of_whatever_type(shop: Shop, marks: dict[str, str]) -> None:
    answer = shop.ask("POST", "/caught/cases", content=b"x", headers={"content-type": "text/plain", **marks})
    assert answer.status_code == 403 and not shop.catcher.count
