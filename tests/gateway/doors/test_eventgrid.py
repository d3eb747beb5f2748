"""A topic as Event Grid's publishers and subscriptions know one. Azure's own client publishes, and reads it again."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.core.credentials import AzureKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.messaging import CloudEvent
from azure.core.serialization import NULL
from azure.eventgrid import EventGridEvent, EventGridPublisherClient, generate_sas
from tests.gateway.conftest import House
from tests.gateway.test_server import running

from penstock.batch import TopicSpec
from penstock.errors import InvalidEvent, PenstockError
from penstock.gateway import principal
from penstock.gateway.doors import eventgrid
from penstock.gateway.wire import errors
from penstock.schema import cloudevents
from penstock.schema import eventgrid as schema
from penstock.schema.egress import attributes
from penstock.schema.egress.render import Format, render
from penstock.settings import Settings

KEY = "c2VjcmV0IG9mIG5vYm9keQ=="
NOTES, FLIGHTS = "/eventgrid/notes/api/events", "/eventgrid/flights/api/events"
TIME = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
EVENT: dict[str, Any] = {
    "id": "1",
    "subject": "a/b",
    "eventType": "made",
    "eventTime": "2026-01-31T12:00:00Z",
    "data": {"n": 1},
    "dataVersion": "2.0",
}
GRID_EVENTS = [
    EventGridEvent(subject="/a b", event_type="T", data={"n": [1, None, "€ 😀"]}, data_version="1.0", event_time=TIME),
    EventGridEvent(subject="s", event_type="T.U", data="text", data_version="", id="an id", event_time=TIME),
    EventGridEvent(subject="s", event_type="t", data=[1.5, True], data_version="é", event_time=TIME),
]
PLAIN = {"source": "/s", "type": "t", "time": TIME}
CLOUD_EVENTS = [
    CloudEvent(**PLAIN, data={"n": 1}, subject="x y", extensions={"tenant": "é"}, dataschema="https://s/1"),
    CloudEvent(**PLAIN, data="text"),
    CloudEvent(**PLAIN, data=b"\x00\xff bytes", datacontenttype="application/octet-stream", id="of a type"),
    CloudEvent(**PLAIN, data=b"\x00\xfe", id="of none"),
    CloudEvent(**PLAIN, data=None),
]

Check = Callable[..., None]


@contextmanager
def publisher(
    folder: Path, topic: str = "notes", sas: bool = False
) -> Iterator[tuple[EventGridPublisherClient, House]]:
    """Azure's client of a served topic, and the rooms behind it."""
    with running(folder, Settings()) as server:
        endpoint = f"http://127.0.0.1:{server.port}/eventgrid/{topic}/api/events"
        credential: Any = AzureKeyCredential(KEY)
        if sas:
            credential = AzureSasCredential(generate_sas(endpoint, KEY, datetime.now(UTC) + timedelta(hours=1)))
        with EventGridPublisherClient(endpoint, credential, retry_total=0) as client:
            assert isinstance(server.house, House)
            yield client, server.house


def delivered(house: House, format: Format, topic: str = "notes") -> list[Any]:
    """What is stored, as it is delivered, in the order of ids."""
    found = []
    for batch in house.stored(topic):
        parts = render(format, batch, np.arange(len(batch)), TopicSpec(topic), "airport")
        found += [json.loads(part.body) for part in parts]
    events = [event for part in found for event in (part if isinstance(part, list) else [part])]
    return sorted(events, key=lambda event: str(event["id"]))


def run(house: Any, work: Callable[[Any], Any]) -> None:
    async def go() -> None:
        async with house() as h:
            await work(h)

    asyncio.run(go())


# -- what Azure's client publishes ---------------------------------------------


def grid_events_come_back(folder: Path, sas: bool = False) -> None:
    with publisher(folder, sas=sas) as (client, house):
        client.send(GRID_EVENTS)
        client.send(GRID_EVENTS[0])
        found = [EventGridEvent.from_json(json.dumps(event)) for event in delivered(house, "eventgrid")]
    sent = sorted([*GRID_EVENTS, GRID_EVENTS[0]], key=lambda event: str(event.id))
    assert len(found) == len(sent)
    for got, expected in zip(found, sent, strict=True):
        assert got.topic == "/airport/notes", "the topic is not stamped"
        assert got.metadata_version == "1"
        assert got.id == str(expected.id), "id comes back as another"  # its own are no texts
        for name in ("subject", "event_type", "data", "data_version"):
            assert getattr(got, name) == getattr(expected, name), f"{name} comes back as another"
        assert got.event_time == TIME


def cloud_events_come_back(folder: Path, events: Sequence[CloudEvent]) -> None:
    with publisher(folder) as (client, house):
        client.send(events[0] if len(events) == 1 else list(events))
        found = [CloudEvent.from_dict(event) for event in delivered(house, "cloudevents-batch")]
    sent = sorted(events, key=lambda event: str(event.id))
    for got, expected in zip(found, sent, strict=True):
        data = None if got.data is NULL else got.data  # an event without any has null here
        assert data == expected.data, "data comes back as another"
        for name in ("id", "source", "type", "time", "subject", "dataschema", "extensions"):
            assert getattr(got, name) == getattr(expected, name), f"{name} comes back as another"
        implied = None if isinstance(expected.data, bytes) else "application/json"  # CloudEvents' JSON format §3.1
        assert got.datacontenttype == (expected.datacontenttype or implied), "datacontenttype comes back as another"


@pytest.mark.parametrize("sas", [False, True], ids=["key", "token"])
def test_what_azures_client_publishes_comes_back_field_by_field(tmp_path: Path, sas: bool) -> None:
    grid_events_come_back(tmp_path, sas)


@pytest.mark.parametrize("events", [CLOUD_EVENTS[:1], CLOUD_EVENTS, CLOUD_EVENTS[2:3]], ids=["one", "all", "bytes"])
def test_cloud_events_of_azures_client_come_back_field_by_field(tmp_path: Path, events: list[CloudEvent]) -> None:
    cloud_events_come_back(tmp_path, events)


def test_events_fit_the_topics_type_and_keep_its_key(tmp_path: Path) -> None:
    data = {"flight": 7, "tail": "N1", "delay": 2.5}
    with publisher(tmp_path, "flights") as (client, house):
        client.send([EventGridEvent(subject="s", event_type="t", data=data, data_version="1", id="a")])
        client.send([CloudEvent(source="/s", type="t", data=data, id="b")])
        assert [event["data"] for event in delivered(house, "eventgrid", "flights")] == [data, data]
        assert len(house.stored("flights")) == 1, "the key of both is N1, so they are in one partition"
        with pytest.raises(HttpResponseError, match="'flight'"):
            client.send([EventGridEvent(subject="s", event_type="t", data={"tail": "N1"}, data_version="1")])


def test_mutant_a_data_version_that_is_lost_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "DATA_VERSION", "version")
    with pytest.raises(AssertionError, match="data_version comes back as another"):
        grid_events_come_back(tmp_path)


def test_mutant_a_topic_that_stamps_nothing_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.schema.egress.eventgrid.sources", lambda rows, topic, app: "")
    with pytest.raises(AssertionError, match="the topic is not stamped"):
        grid_events_come_back(tmp_path)


@pytest.mark.parametrize(
    ("place", "name", "value", "found"),
    [
        (attributes, "BASE64", "nothing", "Only one of data and data_base64"),
        (cloudevents, "_unpacked", lambda raw, *_: bytes(raw), "data comes back as another"),
    ],
    ids=["going out", "coming in"],
)
def test_mutant_bytes_that_become_text_are_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, value: Any, found: str
) -> None:
    monkeypatch.setattr(place, name, value)
    with pytest.raises((AssertionError, ValueError), match=found):
        cloud_events_come_back(tmp_path, CLOUD_EVENTS[2:3])


# -- what is refused -----------------------------------------------------------


class Unauthorized(PenstockError):
    """As an admission that asks for keys may raise it."""


def refusals_are_the_clients_own(folder: Path) -> None:
    """Does Azure's client raise what it raises for the service, and read the same code?"""

    def grid(count: int, text: str = "") -> list[EventGridEvent]:
        return [EventGridEvent(subject="s", event_type="t", data=text, data_version="1") for _ in range(count)]

    wrong: list[tuple[Any, type[HttpResponseError], int]] = [
        ([{"id": "1"}], HttpResponseError, 400),
        (grid(5_001), HttpResponseError, 413),
        (grid(1, "x" * (1 << 20)), HttpResponseError, 413),
        (grid(2, "x" * (600 << 10)), HttpResponseError, 413),
        (
            [EventGridEvent(subject="s", event_type="t", data=1, data_version="1", topic="/of/another")],
            HttpResponseError,
            400,
        ),
    ]
    with publisher(folder) as (client, house):
        for events, kind, status in wrong:
            with pytest.raises(HttpResponseError) as caught:
                client.send(events)
            assert (type(caught.value), caught.value.status_code) == (kind, status), f"it is {caught.value}"
            assert caught.value.error is not None and caught.value.error.code == str(status), "it reads another code"
            assert caught.value.error.message and caught.value.error.details[0].code, "it reads no details"
        assert house.count() == 0
        client.send(grid(5_000))
        assert house.count() == 5_000


def test_what_is_refused_is_to_azures_client_as_of_the_service(tmp_path: Path) -> None:
    refusals_are_the_clients_own(tmp_path)


def test_a_topic_that_is_not_there_is_to_azures_client_as_of_the_service(tmp_path: Path) -> None:
    with publisher(tmp_path, "ntoes") as (client, house):
        with pytest.raises(ResourceNotFoundError):
            client.send(GRID_EVENTS)
        assert house.count() == 0


def test_who_is_not_let_in_is_told_so_as_by_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(scope: Any) -> principal.Principal:
        raise Unauthorized("this key is not one of the topic's")

    monkeypatch.setattr(errors, "STATUS", [(Unauthorized, 401, "unauthorized"), *errors.STATUS])
    monkeypatch.setattr(principal, "admit_local", refuse)
    with publisher(tmp_path) as (client, house):
        with pytest.raises(ClientAuthenticationError, match="not one of the topic's") as caught:
            client.send(GRID_EVENTS)
        assert caught.value.error is not None and caught.value.error.code == "401"
        assert house.count() == 0


@pytest.mark.parametrize(
    ("place", "name", "value", "found"),
    [
        (errors, "of_event_grid", lambda path: False, "it reads another code"),
        (eventgrid, "EVENTS_LIMIT", 1 << 30, "DID NOT RAISE"),
        (eventgrid, "ARRAY_LIMIT_BYTES", 1 << 30, "DID NOT RAISE"),
    ],
    ids=["our own form", "any number of events", "any number of bytes"],
)
def test_mutant_a_refusal_that_is_not_the_services_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, value: Any, found: str
) -> None:
    monkeypatch.setattr(place, name, value)
    with pytest.raises((AssertionError, pytest.fail.Exception), match=found):
        refusals_are_the_clients_own(tmp_path)


def arrays_are_atomic(house: Any) -> None:
    async def work(h: Any) -> None:
        for bad in (
            {"eventType": ""},
            {"data": None, "EventType": "x"},
            {"topic": "/of/another"},
            {"eventTime": "now"},
        ):
            body = [*(EVENT | {"id": str(n)} for n in range(99)), EVENT | bad]
            said = await h.http.post(NOTES, json=body)
            assert said.status_code == 400, f"{bad} is taken"
            error = said.json()["error"]
            assert error["details"][0]["row"] == 99 and h.count() == 0, "something of a refused array is stored"

    run(house, work)


def test_an_array_with_one_bad_event_is_refused_as_a_whole(house: Any) -> None:
    arrays_are_atomic(house)


def test_mutant_an_array_that_is_stored_in_part_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = schema.decode_events

    def in_part(body: bytes, *given: Any, **named: Any) -> Any:
        try:
            return whole(body, *given, **named)
        except InvalidEvent:
            return whole(json.dumps(json.loads(body)[:-1]).encode(), *given, **named)

    monkeypatch.setattr(eventgrid, "decode_events", in_part)
    with pytest.raises(AssertionError, match="is taken"):
        arrays_are_atomic(house)


def topics_are_told_by_the_address(house: Any) -> None:
    async def work(h: Any) -> None:
        said = await h.http.post(NOTES, json=[EVENT | {"topic": "/of/another"}])
        assert said.status_code == 400, "a forged topic is taken"
        for stamped in ({"topic": "/airport/notes"}, {"topic": ""}, {"topic": None, "metadataVersion": "1"}):
            assert (await h.http.post(NOTES, json=[EVENT | stamped])).status_code == 200
        assert {event["topic"] for event in delivered(h, "eventgrid")} == {"/airport/notes"}

    run(house, work)


def test_a_forged_topic_is_refused_and_its_own_is_stamped(house: Any) -> None:
    topics_are_told_by_the_address(house)


def test_mutant_a_door_that_takes_any_topic_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventgrid, "_is_delivered", lambda headers: True)
    with pytest.raises(AssertionError, match="a forged topic is taken"):
        topics_are_told_by_the_address(house)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (json.dumps(EVENT).encode(), {}, 400),
        (b"[", {}, 400),
        (b"", {}, 400),
        (b"[]", {}, 200),
        (b"\xef\xbb\xbf" + json.dumps([EVENT]).encode(), {}, 200),
        (gzip.compress(json.dumps([EVENT]).encode(), mtime=0), {"content-encoding": "gzip"}, 200),
        (gzip.compress(b"[" + b" " * (1 << 20) + b"]", mtime=0), {"content-encoding": "gzip"}, 413),
        (json.dumps([EVENT]).encode(), {"content-type": "application/x-ndjson"}, 415),
        (json.dumps([EVENT]).encode(), {"content-type": "application/json; charset=utf-16"}, 415),
        (json.dumps([EVENT]).encode(), {"aeg-event-type": "Rumour"}, 400),
        (b"[" + b"{}," * 6_000 + b"{}]", {}, 400),
        (b"{" * 6_000, {}, 400),
        (json.dumps([EVENT | {"data": [[]] * 6_000}]).encode(), {}, 200),
    ],
)  # fmt: skip
def test_bodies_of_all_kinds(house: Any, content: bytes, headers: dict[str, str], status: int) -> None:
    async def work(h: Any) -> None:
        given = {"content-type": "application/json", "aeg-sas-key": KEY, **headers}
        said = await h.http.post(f"{NOTES}?api-version=2018-01-01", content=content, headers=given)
        assert said.status_code == status, said.text
        if status == 200:
            assert said.content == b"", "the service answers nothing"
        else:
            assert said.json()["error"]["code"] == str(status) and h.count() == 0
            assert KEY not in said.text

    run(house, work)


def test_an_array_of_a_mebibyte_is_taken_and_no_byte_more(house: Any) -> None:
    around = len(json.dumps([EVENT | {"data": ""}]))

    async def work(h: Any) -> None:
        for more, status in ((0, 200), (1, 413)):
            body = json.dumps([EVENT | {"data": "x" * ((1 << 20) - around + more)}])
            said = await h.http.post(NOTES, content=body, headers={"content-type": "application/json"})
            assert (len(body) - (1 << 20), said.status_code) == (more, status), said.text
        assert h.count() == 1

    run(house, work)


def test_large_bodies_of_either_schema_are_read_in_pieces(house: Any) -> None:
    cloud = {"specversion": "1.0", "source": "/s", "type": "t", "data": {"n": []}}
    events = [EVENT | {"id": str(n), "data": {"n": []}} for n in range(3_000)]

    async def work(h: Any) -> None:
        batch = {"content-type": "application/cloudevents-batch+json"}
        assert (await h.http.post(NOTES, json=events)).status_code == 200
        said = await h.http.post(NOTES, json=[cloud | {"id": f"c{n}"} for n in range(3_000)], headers=batch)
        assert said.status_code == 200 and h.count() == 6_000
        said = await h.http.post(NOTES, json=[*events, EVENT | {"id": ""}])
        assert (said.status_code, said.json()["error"]["details"][0]["row"]) == (400, 3_000)
        assert h.count() == 6_000

    run(house, work)


def test_one_cloud_event_and_one_in_binary_mode(house: Any) -> None:
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}

    async def work(h: Any) -> None:
        structured = {"content-type": "application/cloudevents+json; charset=utf-8"}
        said = await h.http.post(NOTES, json=cloud | {"data": {"n": 1}}, headers=structured)
        assert (said.status_code, said.content) == (200, b"")
        said = await h.http.post(NOTES, json={"n": 1}, headers={f"ce-{name}": text for name, text in cloud.items()})
        assert said.status_code == 200
        assert [event["source"] for event in delivered(h, "cloudevents-structured")] == ["/s", "/s"]

    run(house, work)


def test_fields_that_the_type_lacks_are_told_or_refused_as_the_topic_says(house: Any) -> None:
    event = EVENT | {"data": {"flight": 1, "tail": "N1", "dealy": 1}}

    async def work(h: Any) -> None:
        said = await h.http.post(FLIGHTS, json=[event])
        reason = "the topic's type has no such field; did you mean 'delay'?"
        assert said.json() == {"ignored": [{"field": "dealy", "count": 1, "reason": reason}]}
        said = await h.http.post("/eventgrid/strict/api/events", json=[event])
        assert (said.status_code, said.json()["error"]["details"][0]["field"], h.count()) == (400, "dealy", 1)

    run(house, work)


def test_nobody_writes_to_a_topic_of_penstocks_own(house: Any) -> None:
    async def work(h: Any) -> None:
        said = await h.http.post("/eventgrid/penstock.system/api/events", json=[EVENT])
        assert (said.status_code, said.json()["error"]["code"]) == (403, "403")
        for path in ("/eventgrid//api/events", "/eventgrid/notes/api", "/eventgrid/a/b/api/events"):
            said = await h.http.post(path, json=[EVENT])
            assert (said.status_code, said.json()["error"]["details"][0]["code"]) == (404, "not_found")

    run(house, work)


# -- as a webhook of Event Grid's ----------------------------------------------

ASKS = EVENT | {
    "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
    "topic": "/subscriptions/1/resourceGroups/g/providers/Microsoft.EventGrid/topics/t",
    "subject": "",
    "data": {"validationCode": "512d38b6", "validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/"},
    "metadataVersion": "1",
}
ASKING = {"aeg-event-type": "SubscriptionValidation"}


def questions_are_answered(house: Any) -> None:
    async def work(h: Any) -> None:
        said = await h.http.post(NOTES, json=[ASKS], headers=ASKING)
        assert said.status_code == 200 and said.headers["content-type"] == "application/json"
        assert said.json() == {"validationResponse": "512d38b6"}, "it is not the code that was asked with"
        assert h.count() == 0, "the question is stored"
        said = await h.http.post("/eventgrid/ntoes/api/events", json=[ASKS], headers=ASKING)
        assert said.status_code == 404, "it promises to take what it does not"

    run(house, work)


def test_the_question_of_a_new_subscription_is_answered_and_not_stored(house: Any) -> None:
    questions_are_answered(house)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("_validated", lambda body: b'{"validationResponse":""}', "it is not the code"),
        ("intake_of", lambda ingest, topic: ingest.topics.get(topic), "it promises to take what it does not"),
    ],
    ids=["another code", "any topic"],
)
def test_mutant_a_wrong_answer_to_the_question_is_caught(
    house: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, found: str
) -> None:
    monkeypatch.setattr(eventgrid, name, value)
    with pytest.raises(AssertionError, match=found):
        questions_are_answered(house)


@pytest.mark.parametrize(
    "body",
    [[], [ASKS, ASKS], [EVENT], [ASKS | {"data": {}}], [ASKS | {"data": {"validationCode": 5}}], [{}], {}, "x", 5],
)
def test_a_question_that_is_none_is_refused(house: Any, body: Any) -> None:
    async def work(h: Any) -> None:
        said = await h.http.post(NOTES, json=body, headers=ASKING)
        assert said.status_code == 400 and said.json()["error"]["message"] and h.count() == 0

    run(house, work)


def test_a_question_without_an_end_is_refused(house: Any) -> None:
    async def work(h: Any) -> None:
        said = await h.http.post(NOTES, json=[ASKS | {"subject": "x" * (64 << 10)}], headers=ASKING)
        assert said.status_code == 413

    run(house, work)


def test_what_event_grid_delivers_keeps_its_topic_and_what_is_new_there_is_passed_over(house: Any) -> None:
    topic = "/subscriptions/1/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"

    async def work(h: Any) -> None:
        event = EVENT | {"topic": topic, "metadataVersion": "1", "newMember": {"a": 1}}
        said = await h.http.post(NOTES, json=[event], headers={"aeg-event-type": "Notification"})
        assert (said.status_code, said.content) == (200, b"")
        (found,) = delivered(h, "eventgrid")
        assert found == {name: value for name, value in event.items() if name != "newMember"}

    run(house, work)


def large_deliveries_are_taken(house: Any) -> None:
    """An event that was published within the limits has more to say once it is delivered."""

    async def work(h: Any) -> None:
        around = len(json.dumps([EVENT | {"data": ""}]))
        event = EVENT | {"data": "x" * ((1 << 20) - around), "topic": "/subscriptions/1", "metadataVersion": "1"}
        said = await h.http.post(NOTES, json=[event], headers={"aeg-event-type": "Notification"})
        assert said.status_code == 200, "an event is dropped for what Event Grid adds to it"
        assert h.count() == 1

    run(house, work)


def test_what_event_grid_adds_to_an_event_makes_it_not_too_large(house: Any) -> None:
    large_deliveries_are_taken(house)


def test_mutant_a_delivery_that_is_held_to_a_publishers_limits_is_caught(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventgrid, "_is_delivered", lambda headers: False)
    with pytest.raises(AssertionError, match="an event is dropped for what Event Grid adds to it"):
        large_deliveries_are_taken(house)


def versions_are_no_schemas(house: Any) -> None:
    """Event Grid writes ``#`` before an event's version, which no CloudEvent's ``dataschema`` may be."""
    event = {"specversion": "1.0", "type": "t", "source": "/s", "id": "1", "time": "2026-01-31T12:00:00.1234567Z"}

    async def work(h: Any) -> None:
        headers = {"content-type": "application/cloudevents+json; charset=utf-8", "aeg-event-type": "Notification"}
        for id, version in (("1", "#"), ("2", "#2.0")):
            body = event | {"id": id, "data": {}, "dataschema": version}
            said = await h.http.post(NOTES, json=body, headers=headers)
            assert said.status_code == 200, f"what Event Grid delivers is refused: {said.text}"
        assert [found["dataVersion"] for found in delivered(h, "eventgrid")] == ["", "2.0"]
        assert [found.get("dataschema") for found in delivered(h, "cloudevents-structured")] == [None, None]

    run(house, work)


def test_cloud_events_of_event_grid_have_a_schema_that_is_their_data_version(house: Any) -> None:
    versions_are_no_schemas(house)


def test_mutant_a_version_that_is_taken_for_a_schema_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudevents, "_tell_data_version", lambda attributes: None)
    with pytest.raises(AssertionError, match="what Event Grid delivers is refused"):
        versions_are_no_schemas(house)


def ends_are_told(house: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def work(h: Any) -> None:
        headers = {"aeg-event-type": "SubscriptionDeletion", "aeg-subscription-name": "MINE\x1b[31m"}
        said = await h.http.post(NOTES, json=[EVENT], headers=headers)
        assert (said.status_code, said.content) == (200, b"")
        assert h.count() == 0, "it is stored as an event of the topic"

    run(house, work)
    (told,) = [record.getMessage() for record in caplog.records if "was deleted" in record.getMessage()]
    assert "MINE" in told and "notes" in told and "\x1b" not in told


def test_the_end_of_a_subscription_is_logged_and_not_stored(house: Any, caplog: pytest.LogCaptureFixture) -> None:
    ends_are_told(house, caplog)


def test_mutant_the_end_of_a_subscription_that_is_stored_is_caught(
    house: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(eventgrid, "NOTIFICATION", "SubscriptionDeletion")
    monkeypatch.setattr(eventgrid, "DELETION", "nothing")
    with pytest.raises(AssertionError, match="it is stored as an event of the topic"):
        ends_are_told(house, caplog)


def origins_are_granted(house: Any) -> None:
    async def work(h: Any) -> None:
        async def asked(**headers: str) -> Any:
            return await h.http.options(NOTES, headers={name.replace("_", "-"): text for name, text in headers.items()})

        said = await asked(webhook_request_origin="eventgrid.azure.net")
        assert said.status_code == 200 and "POST" in said.headers["allow"]
        assert said.headers.get("webhook-allowed-origin") == "eventgrid.azure.net", "the origin is not granted"
        assert "webhook-allowed-rate" not in said.headers
        for rate in ("120", "*"):
            said = await asked(webhook_request_origin="eventgrid.azure.net", webhook_request_rate=rate)
            assert said.headers.get("webhook-allowed-rate") == "*", "a rate is asked for and not granted"
        said = await asked(origin="https://elsewhere.example", access_control_request_method="POST")
        assert "webhook-allowed-origin" not in said.headers
        assert not [name for name in said.headers if name.startswith("access-control")], "a browser is let in"
        for wrong in ({"webhook_request_origin": "a b"}, {"webhook_request_origin": "a", "webhook_request_rate": "0"}):
            assert (await asked(**wrong)).status_code == 400
        assert (await h.http.options("/eventgrid/ntoes/api/events")).status_code == 404

    run(house, work)


def test_who_asks_first_may_deliver(house: Any) -> None:
    origins_are_granted(house)


@pytest.mark.parametrize(
    ("name", "found"), [("ORIGIN", "the origin is not granted"), ("RATE", "a rate is asked for and not granted")]
)
def test_mutant_an_answer_without_leave_is_caught(
    house: Any, monkeypatch: pytest.MonkeyPatch, name: str, found: str
) -> None:
    monkeypatch.setattr(eventgrid, name, "x-nothing")
    with pytest.raises(AssertionError, match=found):
        origins_are_granted(house)
