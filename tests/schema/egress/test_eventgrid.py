from __future__ import annotations

import json

import pytest
from azure.eventgrid import EventGridEvent
from tests.schema.egress.delivered import all_rendered, batch, texts

from penstock.schema.egress import eventgrid
from penstock.schema.egress.render import join
from penstock.schema.egress.rendered import Rendered

EVENTS = batch(
    texts('{"a": 1}', "[2]"),
    _id=["a b", None],
    _source=["/of/another", None],
    _type=["made", None],
    _subject=["x/y", None],
    _extensions=['{"dataschema":"urn:x","traceparent":"0"}', None],
)
FIELDS = {"id", "topic", "subject", "eventType", "eventTime", "data", "dataVersion", "metadataVersion"}


def test_each_is_an_array_of_one_event() -> None:
    first, second = all_rendered("eventgrid", EVENTS)
    assert dict(first.headers) == {
        "content-type": "application/json; charset=utf-8",
        "aeg-event-type": "Notification",
        "aeg-metadata-version": "1",
        "aeg-output-event-id": "a%20b",
    }
    assert json.loads(first.body) == [
        {
            "id": "a b",
            "topic": "/of/another",
            "subject": "x/y",
            "eventType": "made",
            "eventTime": "2023-11-14T22:13:20Z",
            "data": {"a": 1},
            "dataVersion": "",
            "metadataVersion": "1",
        }
    ]
    (event,) = json.loads(second.body)
    assert (event["id"], event["topic"], event["eventType"], event["subject"]) == ("t/3/15", "/app/t", "t", "")
    assert b'"data":{"a": 1}' in first.body


def test_several_are_one_array_and_name_no_event() -> None:
    parts = all_rendered("eventgrid", EVENTS)
    whole = join("eventgrid", parts)
    assert json.loads(whole.body) == [json.loads(part.body)[0] for part in parts]
    assert "aeg-output-event-id" not in dict(whole.headers)


@pytest.mark.parametrize(
    ("extensions", "version"),
    [
        (None, ""),
        ('{"n":1}', ""),
        ('{"dataversion":"2.0","n":1}', "2.0"),
        ('{"dataversion":2}', "2"),
        ('{"dataversion":true}', "true"),
    ],
)
def test_the_data_version_is_the_publishers(extensions: str | None, version: str) -> None:
    found = all_rendered("eventgrid", batch(texts("1", "2"), _extensions=[extensions, '{"dataversion":"é"}']))
    assert [json.loads(part.body)[0]["dataVersion"] for part in found] == [version, "é"]


def check(parts: list[Rendered]) -> None:
    """Has each event what the schema asks for, and does Azure's own package read it?"""
    for part in parts:
        assert set(json.loads(part.body)[0]) == FIELDS, "the fields are others"
        event = EventGridEvent.from_json(part.body[1:-1].decode())
        required = (event.id, event.topic, event.subject, event.event_type, event.event_time, event.data_version)
        assert None not in required, "the official package misses a field"


def test_the_official_package_reads_them() -> None:
    parts = all_rendered("eventgrid", EVENTS)
    check(parts)
    event = EventGridEvent.from_json(parts[0].body[1:-1].decode())
    assert (event.id, event.subject, event.event_type, event.data) == ("a b", "x/y", "made", {"a": 1})
    assert event.event_time.isoformat() == "2023-11-14T22:13:20+00:00"


def test_mutant_an_event_without_a_subject_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventgrid, "filled", lambda values, otherwise: values if otherwise == "" else otherwise)
    with pytest.raises(AssertionError, match="misses a field"):
        check(all_rendered("eventgrid", batch(texts("1"))))
