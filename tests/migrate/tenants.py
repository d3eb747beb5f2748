"""Three tenants of one app over a log: behind doors that want keys, with subscriptions to all and to one of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import msgspec
from tests.gateway.doors.domains import Risk, Tx, domain_rooms

import penstock as ps
from penstock.access.issuing import issue
from penstock.access.state import KeyState
from penstock.clock import SystemClock
from penstock.declare.planning.build import plan_of
from penstock.destinations.interface import Answer, DestinationStatus, Parcel
from penstock.destinations.webhook.endpoint import Endpoint
from penstock.gateway.access import AccessAdmission
from penstock.gateway.app import Gateway
from penstock.gateway.services import GatewayServices
from penstock.run.compose.backends import AppLog
from penstock.run.compose.deliveries import CourierComposition
from penstock.settings import Settings

TENANTS = ("acme", "beta", "cask")
ADDRESSES = {"ALL_URL": "https://all.example.com/in", "ACME_URL": "https://acme.example.com/in"}
NAMED = {"ce-specversion": "1.0", "ce-source": "/till", "ce-type": "paid", "content-type": "application/json"}
PATIENCE_S = 30.0


def made() -> ps.App:
    app = ps.App("saas", subscriptions=True)
    tx = app.domain("tx", Tx, key="id", dedupe="1h", partitions=1)
    risks = app.domain("risks", Risk, key="id", partitions=1)
    app.subscribe(risks, ps.env("ALL_URL"), name="all")
    app.subscribe(risks["acme"], ps.env("ACME_URL"), name="acme")

    @app.on(tx, to=risks)
    def judge(t: Tx) -> Risk:
        return Risk(t.id, t.amount / 100)

    return app


@dataclass
class Mailbox:
    """Where every webhook ends: which ids came to which host, by their domain topic. Appended to by the couriers'
    thread alone."""

    got: defaultdict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def open(self, endpoint: Endpoint) -> Any:
        return _Lane(self.got[endpoint.place.removeprefix("https://").partition(".")[0]])


@dataclass
class _Lane:
    got: list[tuple[str, str]]
    waiting: list[tuple[Parcel, Callable[[Parcel], None]]] = field(default_factory=list)

    def room(self) -> int:
        return 64

    def send(self, parcels: Sequence[Parcel], settled: Callable[[Parcel], None]) -> None:
        for parcel in parcels:
            headers = {name.lower(): value for name, value in parcel.headers}
            self.got.append((headers["ce-domaintopic"], msgspec.json.decode(parcel.body)["id"]))
            parcel.answer = Answer(True, "Delivered", 200, began=1)
            settled(parcel)

    def status(self) -> DestinationStatus:
        return DestinationStatus()

    def close(self) -> None: ...


@dataclass
class Tenants:
    http: httpx.AsyncClient
    services: GatewayServices
    mailbox: Mailbox
    keys: dict[str, str]  # by tenant, and the operator's

    def issue_keys(self) -> None:
        rights = {t: f"append:tx/{t},read:tx/{t},read:risks/{t}" for t in TENANTS} | {"operator": "admin"}
        view, services = self.services.registry.view, self.services
        for name, allow in rights.items():
            self.keys[name] = issue(services.log, view, services.clock, name, allow, days=None, by="test").key

    async def ask(self, who: str, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.keys[who]}", **given.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **given)

    async def publish(self, tenant: str, id: str) -> httpx.Response:
        """With an id by which it is known; what is made of it is waited for."""
        path = f"/domains/tx/topics/{tenant}/events?wait=risks&timeout=10s"
        event = {"id": f"{tenant}-{id}", "amount": 1}
        return await self.ask(tenant, "POST", path, json=event, headers=NAMED | {"ce-id": id})

    async def read(self, who: str, domain: str, tenant: str) -> list[str]:
        answer = await self.ask(who, "GET", f"/domains/{domain}/topics/{tenant}/events")
        assert answer.status_code == 200, answer.text
        assert {event["domain_topic"] for event in answer.json()} <= {tenant}
        return sorted(event["data"]["id"] for event in answer.json())

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def tenants(folder: Path, log: AppLog, keys: dict[str, str]) -> AsyncIterator[Tenants]:
    mailbox, app = Mailbox(), made()
    with domain_rooms(folder, app, log) as (services, _), _courier(app, log, mailbox):
        services.registry.refresh()
        admit = AccessAdmission(services.registry.view.areas.only(KeyState), services.clock)
        transport = httpx.ASGITransport(Gateway(services, admit=admit))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            yield Tenants(http, services, mailbox, keys)


@contextmanager
def _courier(app: ps.App, log: AppLog, mailbox: Mailbox) -> Iterator[None]:
    composition = CourierComposition(
        plan_of(app), log, SystemClock(), Settings(), "courier", mailbox.open, environ=ADDRESSES
    )
    stop = Event()

    def work() -> None:
        while not stop.wait(0.02):
            composition.look_at_halted()
            for line in list(composition.lines):
                line.pump.step(0.0)
        for line in composition.lines:
            line.pump._reader.close()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        composition.close()
