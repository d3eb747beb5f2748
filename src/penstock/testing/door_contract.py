"""What every door promises. Subclass ``DoorContract`` in a pytest file, and give it the door's row and a request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from ..access.rights import Rights, named
from ..batch import SYSTEM, TopicSpec
from ..clock import SystemClock
from ..errors import Busy, Forbidden
from ..gateway.app import Gateway, is_open
from ..gateway.docs.openapi import document
from ..gateway.docs.samples import Samples
from ..gateway.pages import SAFE
from ..gateway.principal import Admission, Principal
from ..gateway.routes import Route
from ..gateway.services import GatewayServices
from ..gateway.wire.asgi import Scope
from ..log.interface import ObservedLog
from ..log.memory import MemoryLog
from ..models.artifacts import Artifacts
from ..plan.plan import Plan
from ..run.compose.bootstrap import open_registry
from ..settings import Settings
from ..stages.failures.dead import DEAD_TOPIC
from ..stages.ingest.group_commit import Ingest

HERE = "http://127.0.0.1"
PLAN = Plan(
    app="doors",
    target="",
    code="c0de",
    topics=(TopicSpec("notes", partitions=2), TopicSpec("tx", partitions=2, domain=True)),
)


async def nobody(model: str, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, str]:
    raise Busy("no worker is running")


def refuse(scope: Scope) -> Principal:
    raise Forbidden("nobody is let in")


class DoorContract:
    """``request``: what ``httpx.Client.request`` takes for a request that the door answers with ``route.success``."""

    @pytest.fixture
    def route(self) -> Route:
        raise NotImplementedError

    @pytest.fixture
    def request_(self) -> dict[str, Any]:
        raise NotImplementedError

    @pytest.fixture
    def services(self, tmp_path: Path) -> GatewayServices:
        """What doors lead to: an app of a topic, ``notes``, and a domain, ``tx``, over a log in memory."""
        return made(tmp_path)

    def test_it_answers(self, services: GatewayServices, route: Route, request_: dict[str, Any]) -> None:
        answer = asked(services, route, request_)
        assert answer.status_code == route.success, answer.text

    def test_nobody_comes_in_who_is_not_admitted(
        self, services: GatewayServices, route: Route, request_: dict[str, Any]
    ) -> None:
        assert asked(services, route, request_, admit=refuse).status_code == 403, "it opened to nobody"

    def test_somebody_without_the_right_is_refused(
        self, services: GatewayServices, route: Route, request_: dict[str, Any]
    ) -> None:
        """By a door that does one thing; one for several does it to none of them, and its own tests say so."""
        if not route.on or is_open(route):
            pytest.skip("it deals with what its caller may see, or opens to anybody")
        answer = asked(services, route, request_, admit=lambda _: Principal("somebody", Rights.of([])))
        assert answer.status_code == 403, "it opened to somebody without the right"
        check_error(answer)

    def test_the_one_right_that_it_asks_for_suffices(
        self, services: GatewayServices, route: Route, request_: dict[str, Any]
    ) -> None:
        own = [(route.verb, named(route.verb, "*"))] if route.on[:1] in ("", "{") else needed(route)
        rights = Rights.of([*own, *route.also])
        answer = asked(services, route, request_, admit=lambda _: Principal("somebody", rights))
        assert answer.status_code == route.success, answer.text

    def test_a_page_of_another_site_is_refused(
        self, services: GatewayServices, route: Route, request_: dict[str, Any]
    ) -> None:
        marks = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        headers = {**request_.get("headers", {}), **marks}
        assert asked(services, route, {**request_, "headers": headers}).status_code == 403

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"0" * 10_000, b'{"a":' * 5_000])
    def test_no_body_is_a_fault_of_ours(
        self, services: GatewayServices, route: Route, request_: dict[str, Any], body: bytes
    ) -> None:
        if route.method in SAFE:
            pytest.skip("it reads no body")
        headers = {"content-type": "application/json", **request_.get("headers", {})}
        given = {k: v for k, v in request_.items() if k not in ("json", "content", "headers")}
        answer = asked(services, route, {**given, "content": body, "headers": headers})
        assert answer.status_code < 500, answer.text
        check_error(answer)

    def test_another_method_is_told_which_there_are(
        self, services: GatewayServices, route: Route, request_: dict[str, Any]
    ) -> None:
        answer = asked(services, route, {**request_, "method": "PATCH"})
        assert answer.status_code == 405 and route.method in answer.headers["allow"]
        check_error(answer)

    def test_it_is_described(self, route: Route) -> None:
        """In /openapi.json, and so in /docs: with a sentence, and each parameter of its path."""
        described = document((route,), PLAN.app, Samples(PLAN))["paths"][route.path][route.method.lower()]
        assert described["summary"].endswith((".", "?")), "a sentence says what it does"
        named = {parameter["name"] for parameter in described.get("parameters", ()) if parameter["in"] == "path"}
        assert named == {part[1:-1] for part in route.path.split("/") if part.startswith("{")}


def needed(route: Route) -> list[tuple[str, str]]:
    """The right to do that to whatever of its kind."""
    kind, slash, _ = route.on.partition("/")
    return [(route.verb, f"{kind}/*" if slash else route.on)]


def check_error(answer: httpx.Response) -> None:
    """An answer that says no, says why; on /v2 as the Open Inference Protocol has it, with the code in a header."""
    if answer.status_code >= 400:
        told = json.loads(answer.content)["error"]
        if answer.request.url.path.startswith("/v2"):
            told = {"code": answer.headers["penstock-error"], "message": told}
        assert told["code"] and told["message"]


def asked(
    services: GatewayServices, route: Route, request: dict[str, Any], admit: Admission | None = None
) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Gateway(services, (route,), admit))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
            return await http.request(**{"method": route.method, **request})

    return asyncio.run(ask())


def made(folder: Path) -> GatewayServices:
    log = MemoryLog()
    for spec in (*PLAN.topics, TopicSpec(SYSTEM, partitions=1), DEAD_TOPIC):
        log.create(spec)
    return services_over(log, PLAN, folder)


def services_over(log: ObservedLog, plan: Plan, folder: Path) -> GatewayServices:
    """What doors lead to over a log that has the plan's topics."""
    settings, clock = Settings(), SystemClock()
    (folder / "status").mkdir()
    return GatewayServices(
        plan,
        log,
        Ingest(log, plan.topics, settings, clock, lambda: None),
        open_registry(log, clock, "view"),
        Artifacts(folder / "artifacts"),
        nobody,
        folder / "status",
        folder / "token",
        settings,
        clock,
    )
