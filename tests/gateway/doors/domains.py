"""An app with domains behind its doors: two that a stage joins, a plain topic, and the owner of the system."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx

import penstock as ps
from penstock.access.audit import AUDIT_TOPIC, Audit
from penstock.access.rights import Rights
from penstock.batch import Batch
from penstock.clock import SystemClock
from penstock.declare.planning.build import plan_of
from penstock.gateway.app import Gateway
from penstock.gateway.principal import Principal
from penstock.gateway.services import GatewayServices
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.run.compose.backends import AppLog
from penstock.run.compose.bootstrap import make_topics
from penstock.run.compose.stages import Composition
from penstock.runner.inline import InlineRunner
from penstock.settings import Settings
from penstock.stages.scoring.loading import at_once
from penstock.testing.door_contract import services_over

SAS_SECRET = b"s" * 32
RIGHTS: dict[str, str] = {
    "admin": "admin",
    "acme": "append:tx/acme,read:tx/acme,read:risks/acme",
    "both": "append:tx/acme,append:tx/beta",
    "publisher": "append:tx/*,append:notes",
    "outsider": "append:notes,read:notes",
}


@dataclass
class Tx:
    id: str
    amount: float


@dataclass
class Risk:
    id: str
    risk: float


def made_app() -> ps.App:
    app = ps.App("saas")
    tx = app.domain("tx", Tx, key="id", dedupe="1h")
    risks = app.domain("risks", Risk, key="id")
    app.domain("loose")
    notes = app.topic("notes", Tx)

    @app.on(tx, to=risks)
    def judge(t: Tx) -> Risk:
        return Risk(t.id, t.amount / 100)

    @app.on(tx, to=app.topic("plain", Risk))
    def flat(t: Tx) -> Risk:
        return Risk(t.id, t.amount)

    @app.on(notes, to=risks["notes"])
    def named(t: Tx) -> Risk:
        return Risk(t.id, 0.0)

    return app


@dataclass
class House:
    http: httpx.AsyncClient
    services: GatewayServices
    composition: Composition

    def rows(self, topic: str) -> list[dict[str, Any]]:
        return [row for batch in self.batches(topic) for row in batch.rows.to_pylist()]

    def batches(self, topic: str) -> list[Batch]:
        reader = self.services.log.reader(None, [topic], "test")
        try:
            found: list[Batch] = []
            while batches := reader.read(10_000, 0.0):
                found += batches
            return found
        finally:
            reader.close()

    async def post(self, path: str, json: Any, who: str = "admin", **given: Any) -> httpx.Response:
        return await self.http.post(path, json=json, headers={"who": who, **given.pop("headers", {})}, **given)

    async def get(self, path: str, who: str = "admin") -> httpx.Response:
        return await self.http.get(path, headers={"who": who})


@contextmanager
def domain_rooms(
    folder: Path, app: ps.App | None = None, log: AppLog | None = None
) -> Iterator[tuple[GatewayServices, Composition]]:
    """What the doors lead to, and the stages of the app, which a thread keeps at work. ``folder``: new or empty."""
    app = app or made_app()
    plan, clock, settings, log = plan_of(app), SystemClock(), Settings(), log or MemoryLog()
    make_topics(plan, log)
    log.create(AUDIT_TOPIC)
    services = replace(services_over(log, plan, folder), audit=Audit(log, clock, "test"), sas_secret=SAS_SECRET)

    def make_runner(stage: str, with_app: bool) -> InlineRunner:
        return InlineRunner(app, plan)

    artifacts = Artifacts(folder / "worker")
    composition = Composition(
        plan, log, clock, settings, "test", artifacts, make_runner, environ={}, background=at_once
    )
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            for line in composition.lines:
                line.pump.step(0.0)
            stop.wait(0.005)

    thread = Thread(target=work)
    thread.start()
    try:
        yield services, composition
    finally:
        stop.set()
        thread.join()
        composition.close()


@asynccontextmanager
async def domain_house(folder: Path, app: ps.App | None = None) -> AsyncIterator[House]:
    def admit(scope: Any) -> Principal:
        name = dict(scope["headers"]).get(b"who", b"admin").decode()
        return Principal(name, Rights.parse(RIGHTS[name]))

    with domain_rooms(folder, app) as (services, composition):
        transport = httpx.ASGITransport(Gateway(services, admit=admit))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            yield House(http, services, composition)
