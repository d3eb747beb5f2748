"""A domain as Event Grid's publishers know one: Azure's own client publishes, each event to the topic that it names."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from azure.core.credentials import AzureKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient, generate_sas
from tests.gateway.doors.domains import SAS_SECRET, House, domain_house, domain_rooms

from penstock.access.issuing import issue
from penstock.access.sas import signing_key
from penstock.batch import Batch
from penstock.gateway import domains
from penstock.gateway.doors import eventgrid
from penstock.gateway.server import serve
from penstock.gateway.services import GatewayServices
from penstock.run.supervisor.sockets import listen

TX = "/eventgrid/tx/api/events"
EVENT: dict[str, Any] = {
    "subject": "s",
    "eventType": "paid",
    "eventTime": "2026-01-31T12:00:00Z",
    "dataVersion": "1",
}


def grid(topic: str | None, id: str) -> EventGridEvent:
    return EventGridEvent(
        subject="s", event_type="paid", data={"id": id, "amount": 1.0}, data_version="1", topic=topic, id=id
    )


def stored(services: GatewayServices) -> list[dict[str, Any]]:
    reader = services.log.reader(None, ["tx"], "test")
    try:
        found: list[Batch] = []
        while batches := reader.read(10_000, 0.0):
            found += batches
        return [row for batch in found for row in batch.rows.to_pylist()]
    finally:
        reader.close()


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, GatewayServices]]:
    with domain_rooms(folder) as (services, _):
        listening = listen("127.0.0.1", 0)
        stop, ready = threading.Event(), threading.Event()
        thread = threading.Thread(target=serve, args=(services, listening, stop, ready.set, None))
        thread.start()
        try:
            assert ready.wait(10)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}{TX}", services
        finally:
            stop.set()
            thread.join(20)


def client(endpoint: str, services: GatewayServices, allow: str, sas: bool = False) -> EventGridPublisherClient:
    view = services.registry.view
    made = issue(services.log, view, services.clock, allow, allow, days=1, by="test", signs=sas)
    credential: Any = AzureKeyCredential(made.key)
    if sas:
        signed = generate_sas(endpoint, signing_key(SAS_SECRET, made.made.id), datetime.now(UTC) + timedelta(hours=1))
        credential = AzureSasCredential(signed)
    return EventGridPublisherClient(endpoint, credential, retry_total=0)


def test_azures_client_publishes_to_several_topics_with_a_key_or_a_signature(tmp_path: Path) -> None:
    with served(tmp_path) as (endpoint, services):
        with client(endpoint, services, "append:tx/*") as whole:
            whole.send([grid("acme", "1"), grid("beta", "2"), grid("acme", "3")])
            whole.send([CloudEvent("/s", "paid", data={"id": "4", "amount": 1}, extensions={"domaintopic": "beta"})])
            with pytest.raises(HttpResponseError) as unsaid:
                whole.send([grid(None, "5")])
            assert unsaid.value.status_code == 400
        with client(endpoint, services, "append:tx/acme") as acme:
            acme.send(grid("acme", "6"))
            with pytest.raises(HttpResponseError) as foreign:
                acme.send([grid("acme", "7"), grid("beta", "8")])
            assert foreign.value.status_code == 403
        with client(endpoint, services, "append:tx/*", sas=True) as signing:
            signing.send(grid("gamma", "9"))
        with client(endpoint, services, "append:tx/acme", sas=True) as signing, pytest.raises(HttpResponseError):
            signing.send(grid("beta", "10"))
        with client(endpoint, services, "append:notes", sas=True) as other, pytest.raises(ClientAuthenticationError):
            other.send(grid("acme", "11"))
        found = {row["id"]: row["_topic"] for row in stored(services)}
        assert found == {"1": "acme", "2": "beta", "3": "acme", "4": "beta", "6": "acme", "9": "gamma"}


def lived(folder: Path, case: Any) -> None:
    async def go() -> None:
        async with domain_house(folder) as house:
            await case(house)

    asyncio.run(asyncio.wait_for(go(), 60))


async def check_a_mixed_array_is_routed(house: House) -> None:
    events = [
        EVENT | {"id": f"{n}", "topic": t, "data": {"id": t, "amount": n}} for n, t in enumerate("acme beta".split())
    ]
    assert (await house.post(TX, events, "publisher")).status_code == 200
    assert all(row["_topic"] == row["id"] for row in house.rows("tx")), "an event is in another topic than it names"
    assert len(house.rows("tx")) == 2 and all(row.get("_source") is None for row in house.rows("tx"))


def test_each_event_of_an_array_goes_to_the_topic_that_it_names(tmp_path: Path) -> None:
    lived(tmp_path, check_a_mixed_array_is_routed)


def test_mutant_that_routes_all_as_the_first_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "_said", lambda rows: pa.repeat("acme", len(rows)))
    with pytest.raises(AssertionError, match="another topic"):
        lived(tmp_path, check_a_mixed_array_is_routed)


async def check_a_foreign_topic_is_refused(house: House) -> None:
    events = [EVENT | {"id": t, "topic": t, "data": {"id": t, "amount": 1}} for t in ("acme", "gamma")]
    answer = await house.post(TX, events, "acme")
    assert answer.status_code == 403, "without the right"
    assert house.rows("tx") == [] and answer.json()["error"]["code"] == "403"


def test_an_array_with_a_foreign_topic_is_refused_whole(tmp_path: Path) -> None:
    lived(tmp_path, check_a_foreign_topic_is_refused)


def test_mutant_that_forgets_the_right_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventgrid, "require_append", lambda *_: None)
    with pytest.raises(AssertionError, match="without the right"):
        lived(tmp_path, check_a_foreign_topic_is_refused)


@pytest.mark.parametrize(
    ("path", "topic", "who", "headers", "status"),
    [
        (TX, "acme", "acme", {}, 200),
        (TX, "", "admin", {}, 400),
        (TX, "a/b", "admin", {}, 400),
        (TX, "acme", "outsider", {}, 403),
        (TX, "acme", "admin", {"aeg-event-type": "Notification"}, 400),
        ("/eventgrid/notes/api/events", "acme", "admin", {}, 400),  # a topic that is forged
        ("/eventgrid/notes/api/events", "/saas/notes", "admin", {}, 200),
    ],
)
def test_the_topic_is_the_domains_alone_to_be_named(
    tmp_path: Path, path: str, topic: str, who: str, headers: dict[str, str], status: int
) -> None:
    async def case(house: House) -> None:
        event = EVENT | {"id": "1", "topic": topic, "data": {"id": "1", "amount": 1}}
        answer = await house.post(path, [event], who, headers=headers)
        assert answer.status_code == status, answer.text

    lived(tmp_path, case)
