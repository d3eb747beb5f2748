"""Event Grid's keys and signatures, at the door of its publishers: what was altered in any part opens nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from azure.core.credentials import AzureKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient, generate_sas
from tests.gateway.conftest import House
from tests.gateway.test_access import Doors
from tests.gateway.test_server import running

from penstock.access.issuing import issue, revoke
from penstock.access.sas import SharedAccessSignature, signing_key
from penstock.access.state import KeyState
from penstock.gateway.access import AccessAdmission
from penstock.gateway.app import Gateway
from penstock.settings import Settings

SECRET = b"s" * 32
PATH, OTHER = "/eventgrid/notes/api/events", "/eventgrid/flights/api/events"
HOST = "https://penstock.example"
EVENT = {
    "id": "1",
    "subject": "s",
    "eventType": "t",
    "eventTime": "2026-01-01T00:00:00Z",
    "dataVersion": "1",
    "data": {},
}
END = datetime(2_100, 1, 1, tzinfo=UTC)


class Signed(Doors):
    """Doors, and two keys that sign."""

    def __init__(self, h: Any) -> None:
        super().__init__(h)
        state = self.view.areas.only(KeyState)
        gateway = Gateway(h.services, admit=AccessAdmission(state, self.clock, None, SECRET))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url=HOST)
        self.notes, self.flights = (self.signer(f"append:{topic}") for topic in ("notes", "flights"))

    def signer(self, allow: str) -> str:
        made = issue(self.log, self.view, self.clock, allow, allow, days=1, by="test", signs=True).made
        return signing_key(SECRET, made.id)

    async def post(self, path: str = PATH, headers: dict[str, str] | None = None) -> int:
        return (await self.http.post(path, json=[EVENT | {"data": {}}], headers=headers)).status_code


def run(house: Any, work: Callable[[Signed], Awaitable[None]]) -> None:
    async def go() -> None:
        async with house() as h:
            doors = Signed(h)
            try:
                await work(doors)
            finally:
                await doors.http.aclose()

    asyncio.run(go())


def altered(token: str) -> dict[str, str]:
    resource, expiry, signature = (part.partition("=")[2] for part in token.split("&", 2))
    whole = "r={}&e={}&s={}".format
    other = generate_sas(HOST + PATH, signing_key(SECRET, "nobody"), END).rpartition("&s=")[2]
    return {
        "another resource": whole(quote(HOST + OTHER, safe=""), expiry, signature),
        "another case": whole(resource.replace("notes", "Notes"), expiry, signature),
        "a later end": whole(resource, expiry.replace("2100", "2200"), signature),
        "another spelling": whole(resource, expiry.replace("%20", "+"), signature),
        "another signature": whole(resource, expiry, other),
        "no signature": whole(resource, expiry, ""),
        "cut": token[:-3],
    }


def check_signatures(house: Any) -> None:
    async def work(doors: Signed) -> None:
        token = generate_sas(HOST + PATH, doors.notes, END)
        for headers in ({"aeg-sas-token": token}, {"authorization": f"SharedAccessSignature {token}"}):
            assert await doors.post(headers=headers) == 200, "a good signature opens nothing"
        stored = doors.h.count()
        for what, shown in altered(token).items():
            assert await doors.post(headers={"aeg-sas-token": shown}) == 401, f"{what}, and it was let in"
        assert await doors.post(OTHER, {"aeg-sas-token": token}) == 401, "another topic's, and it was let in"
        others = generate_sas(HOST + PATH, doors.flights, END)
        assert await doors.post(headers={"aeg-sas-token": others}) == 401, "another topic's key, and it was let in"
        past = generate_sas(HOST + PATH, doors.notes, datetime(2_020, 1, 1, tzinfo=UTC))
        assert await doors.post(headers={"aeg-sas-token": past}) == 401, "it has ended, and it was let in"
        assert await doors.post("/topics/notes/events", {"aeg-sas-token": token}) == 401
        assert doors.h.count() == stored
        revoke(doors.log, doors.view, doors.clock, doors.view.areas.only(KeyState).signers["notes"][0].id, by="test")
        assert await doors.post(headers={"aeg-sas-token": token}) == 401, "its key is revoked, and it was let in"

    run(house, work)


def test_a_signature_opens_what_it_is_for_while_it_holds(house: Any) -> None:
    check_signatures(house)


def test_mutant_that_looks_at_no_signature_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedAccessSignature, "is_made_with", lambda shown, key: True)
    with pytest.raises(AssertionError, match="a later end, and it was let in"):
        check_signatures(house)


def test_mutant_that_writes_what_was_signed_again_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SharedAccessSignature.parse.__func__  # type: ignore[attr-defined]

    def parse(text: str) -> SharedAccessSignature:
        return plain(SharedAccessSignature, text.replace("+", "%20"))  # type: ignore[no-any-return]

    monkeypatch.setattr(SharedAccessSignature, "parse", parse)
    with pytest.raises(AssertionError, match="another spelling, and it was let in"):
        check_signatures(house)


def test_mutant_that_looks_at_no_resource_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SharedAccessSignature.parse.__func__  # type: ignore[attr-defined]

    def parse(text: str) -> SharedAccessSignature:
        found = plain(SharedAccessSignature, text)
        object.__setattr__(found, "path", PATH)
        return found  # type: ignore[no-any-return]

    monkeypatch.setattr(SharedAccessSignature, "parse", parse)
    with pytest.raises(AssertionError, match="it was let in"):
        sign_for_another_path(house)


def sign_for_another_path(house: Any) -> None:
    async def work(doors: Signed) -> None:
        token = generate_sas(HOST + OTHER, doors.notes, END)
        assert await doors.post(headers={"aeg-sas-token": token}) == 401, "for another resource, and it was let in"

    run(house, work)


def test_a_signature_is_for_its_resource(house: Any) -> None:
    sign_for_another_path(house)


def test_the_official_client_is_let_in_and_kept_out(tmp_path: Path) -> None:
    with running(tmp_path, Settings(), sas_secret=SECRET) as server:
        house = server.house
        assert isinstance(house, House)
        view, clock = house.services.registry.view, house.services.clock
        issued = issue(house.log, view, clock, "till", "append:notes", days=1, by="test", signs=True)
        endpoint = f"http://127.0.0.1:{server.port}{PATH}"
        signed = generate_sas(endpoint, signing_key(SECRET, issued.made.id), END)

        def send(credential: AzureKeyCredential | AzureSasCredential) -> None:
            with EventGridPublisherClient(endpoint, credential, retry_total=0) as client:
                client.send([EventGridEvent("s", "t", {"n": 1}, "1.0"), EventGridEvent("s", "t", {"n": 2}, "1.0")])
                client.send(CloudEvent(source="/till", type="paid", data={"n": 3}))

        for credential in (AzureKeyCredential(issued.key), AzureSasCredential(signed)):
            send(credential)
        assert sum(len(batch) for batch in house.stored("notes")) == 6
        for wrong in (AzureKeyCredential(issued.key[:-1] + "x"), AzureSasCredential(signed[:-8])):
            with pytest.raises(ClientAuthenticationError, match="who asks is not known here"):
                send(wrong)
        revoke(house.log, view, clock, issued.made.id, by="test")
        for credential in (AzureKeyCredential(issued.key), AzureSasCredential(signed)):
            with pytest.raises(ClientAuthenticationError):
                send(credential)
        assert sum(len(batch) for batch in house.stored("notes")) == 6


def test_the_key_as_event_grid_has_it(house: Any) -> None:
    async def work(doors: Signed) -> None:
        key = doors.key("append:notes", "webhook")
        assert await doors.post(headers={"aeg-sas-key": key}) == 200
        assert await doors.post(f"{PATH}?api-version=2018-01-01&aeg-sas-key={key}") == 200, "in the URL of a webhook"
        assert await doors.post(f"{PATH}?aeg-sas-key={key[:-1]}x") == 401
        assert await doors.post(f"{PATH}?aeg-sas-key={key}&aeg-sas-key={key}") == 400
        assert await doors.post(f"{PATH}?" + "a=1&" * 100) == 400
        assert (await doors.http.get(f"/topics?aeg-sas-key={key}")).status_code == 401, "nowhere else in a URL"
        hand = await doors.http.options(f"{PATH}?aeg-sas-key={key}", headers={"webhook-request-origin": "azure.com"})
        assert hand.status_code == 200 and hand.headers["webhook-allowed-origin"] == "azure.com"
        assert (await doors.http.options(PATH, headers={"webhook-request-origin": "a.com"})).status_code == 401

    run(house, work)
