"""What becomes of an event that was given up, in both spellings of Event Grid, byte for byte (EG19)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from azure.eventgrid import EventGridEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from tests.schema.egress.delivered import APPENDED, all_rendered, batch, texts

from penstock.batch import SYSTEM, Batch, TopicSpec
from penstock.destinations.interface import Answer
from penstock.models.messages import Registered
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.schema.egress.render import Format
from penstock.stages.deliver import dead_events
from penstock.stages.deliver.dead_events import DEAD_LETTER_FORMATS, DeadLetterFormat, dead_event
from penstock.stages.deliver.letters import letters
from penstock.stages.deliver.retry import waiting_of
from penstock.system.messages import to_rows

TRIED = APPENDED + 90_500_000
NOT_FOUND = Answer(False, "NotFound", 404, "HTTP 404", began=TRIED)
NUMBERS = TopicSpec("t", pa.schema([pa.field("n", pa.int64()), pa.field("who", pa.string())]), key="who")
PLAN = Plan(
    "app",
    "app.py:app",
    "",
    (NUMBERS,),
    subscriptions=(
        SubscriptionSpec("s", "t", "https://s.example"),
        SubscriptionSpec("models", SYSTEM, "https://s.example", event="penstock.model.registered"),
    ),
)


def letter_of(events: Batch, subscription: str = "s", attempts: int = 20, answer: Answer = NOT_FOUND) -> pa.RecordBatch:
    waiting = waiting_of(subscription, events, [0], answer, attempts, None)
    return letters([(waiting[0], "MaxDeliveryAttemptsExceeded")], [0]).rows


def made(events: Batch, format: DeadLetterFormat, **more: Any) -> bytes:
    return dead_event(letter_of(events, **more), PLAN, format)


PUBLISHED = batch(
    texts('{"n": 1.50, "big": 9007199254740993, "é": [null]}'),
    _id=["a b"],
    _source=["/sensors"],
    _type=["made"],
    _subject=["x/y"],
    _extensions=['{"tenant":"north","attempt":3}'],
)
DATA = '{"n": 1.50, "big": 9007199254740993, "é": [null]}'
AS_EVENT_GRID = (
    '{"id":"a b","topic":"/sensors","subject":"x/y","eventType":"made","eventTime":"2023-11-14T22:13:20Z",'
    f'"data":{DATA},"dataVersion":"","metadataVersion":"1",'
    '"deadLetterReason":"MaxDeliveryAttemptsExceeded","deliveryAttempts":20,"lastDeliveryOutcome":"NotFound",'
    '"publishTime":"2023-11-14T22:13:20Z","lastDeliveryAttemptTime":"2023-11-14T22:14:50.500000Z"}'
)
AS_CLOUDEVENT = (
    '{"specversion":"1.0","id":"a b","source":"/sensors","type":"made","time":"2023-11-14T22:13:20Z",'
    f'"datacontenttype":"application/json","data":{DATA},"subject":"x/y","tenant":"north","attempt":3,'
    '"deadletterreason":"MaxDeliveryAttemptsExceeded","deliveryattempts":20,"lastdeliveryoutcome":"NotFound",'
    '"publishtime":"2023-11-14T22:13:20Z","lastdeliveryattempttime":"2023-11-14T22:14:50.500000Z"}'
)
# An event of a topic with a type has no schema there: it is the data of an event that has.
CUSTOM = batch(pa.RecordBatch.from_pylist([{"n": 7, "who": "k"}], schema=NUMBERS.schema))
CUSTOM_AS_EVENT_GRID = (
    '{"id":"t/3/10","topic":"/app/t","subject":"","eventType":"t","eventTime":"2023-11-14T22:13:20Z",'
    '"data":{"n":7,"who":"k"},"dataVersion":"","metadataVersion":"1",'
    '"deadLetterReason":"MaxDeliveryAttemptsExceeded","deliveryAttempts":20,"lastDeliveryOutcome":"NotFound",'
    '"publishTime":"2023-11-14T22:13:20Z","lastDeliveryAttemptTime":"2023-11-14T22:14:50.500000Z"}'
)
CUSTOM_AS_CLOUDEVENT = (
    '{"specversion":"1.0","id":"t/3/10","source":"/app/t","type":"t","time":"2023-11-14T22:13:20Z",'
    '"datacontenttype":"application/json","data":{"n":7,"who":"k"},"partitionkey":"k",'
    '"deadletterreason":"MaxDeliveryAttemptsExceeded","deliveryattempts":20,"lastdeliveryoutcome":"NotFound",'
    '"publishtime":"2023-11-14T22:13:20Z","lastdeliveryattempttime":"2023-11-14T22:14:50.500000Z"}'
)
CASES: list[tuple[Batch, DeadLetterFormat, str]] = [
    (PUBLISHED, "eventgrid", AS_EVENT_GRID),
    (PUBLISHED, "cloudevents", AS_CLOUDEVENT),
    (CUSTOM, "eventgrid", CUSTOM_AS_EVENT_GRID),
    (CUSTOM, "cloudevents", CUSTOM_AS_CLOUDEVENT),
]
NAMES = ["an event", "a CloudEvent", "of our own, for Event Grid", "of our own, as a CloudEvent"]


def test_the_data_of_a_letter_are_the_events() -> None:
    assert letter_of(PUBLISHED).column("data").to_pylist() == [DATA]
    assert letter_of(CUSTOM).column("data").to_pylist() == ['{"n":7,"who":"k"}']


def check(events: Batch, format: DeadLetterFormat, expected: str) -> None:
    assert made(events, format).decode() == expected, "other bytes"


@pytest.mark.parametrize(("events", "format", "expected"), CASES, ids=NAMES)
def test_byte_for_byte(events: Batch, format: DeadLetterFormat, expected: str) -> None:
    check(events, format, expected)


@pytest.mark.parametrize(("events", "format", "_"), CASES, ids=NAMES)
def test_what_the_event_says_is_what_was_sent(events: Batch, format: DeadLetterFormat, _: str) -> None:
    rendering: Format = DEAD_LETTER_FORMATS[format]
    (sent,) = all_rendered(rendering, events, NUMBERS if events is CUSTOM else None)
    sent_members = sent.body.removeprefix(b"[").removesuffix(b"]").removesuffix(b"}")
    assert made(events, format).startswith(sent_members + b","), "the event is another"


def test_the_official_packages_read_both() -> None:
    event = EventGridEvent.from_json(made(PUBLISHED, "eventgrid").decode())
    assert (event.id, event.event_type, event.subject) == ("a b", "made", "x/y")
    kind = {"content-type": "application/cloudevents+json"}
    read = from_http_event(HTTPMessage(kind, made(PUBLISHED, "cloudevents"))).get_attributes()
    assert (read["deadletterreason"], read["deliveryattempts"], read["tenant"]) == (
        "MaxDeliveryAttemptsExceeded",
        20,
        "north",
    )


def test_what_was_never_tried_has_no_time_of_an_attempt() -> None:
    probation = Answer(False, "Probation", began=TRIED)
    for format, name in (("eventgrid", "lastDeliveryAttemptTime"), ("cloudevents", "lastdeliveryattempttime")):
        found = json.loads(made(PUBLISHED, format, attempts=0, answer=probation))  # type: ignore[arg-type]
        assert name not in found and 0 in found.values() and "Probation" in found.values()


def test_an_event_that_was_dead_before_says_why_it_is_now() -> None:
    """It came from Event Grid's own store: the members are replaced, not there twice."""
    before = batch(texts("1"), _extensions=['{"deliveryattempts":3,"deadletterreason":"Other","x":"y"}'])
    found = made(before, "cloudevents").decode()
    assert found.count('"deliveryattempts"') == found.count('"deadletterreason"') == 1
    assert (json.loads(found)["deliveryattempts"], json.loads(found)["x"]) == (20, "y")


def test_a_system_event_is_as_its_subscription_sends_it() -> None:
    message = Registered(model="m", version=2, digest="d", runtime="onnx", signature={}, created=1, causationid="c")
    place = np.array([4], np.int64), np.array([APPENDED], np.int64)
    events = Batch(SYSTEM, 0, *place, to_rows([message]))
    grid = json.loads(made(events, "eventgrid", subscription="models"))
    assert grid["eventType"] == "Microsoft.MachineLearningServices.ModelRegistered"
    assert (grid["data"]["ModelVersion"], grid["deadLetterReason"]) == (2, "MaxDeliveryAttemptsExceeded")
    event = json.loads(made(events, "cloudevents", subscription="models"))
    assert (event["type"], event["data"]["version"]) == ("dev.penstock.model.registered", 2)


def test_an_event_of_a_topic_that_is_gone_or_has_another_key_is_told_still() -> None:
    letter = letter_of(CUSTOM)
    gone = Plan("app", "app.py:app", "", ())
    assert json.loads(dead_event(letter, gone, "cloudevents"))["data"] == {"n": 7, "who": "k"}
    other = Plan("app", "app.py:app", "", (TopicSpec("t", pa.schema([("id", pa.string())]), key="id"),))
    assert json.loads(dead_event(letter, other, "cloudevents"))["data"] == {"n": 7, "who": "k"}


# -- planted faults -----------------------------------------------------------


def test_mutant_with_one_spelling_for_both_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dead_events._reasons
    monkeypatch.setattr(dead_events, "_reasons", lambda row, _: plain(row, "eventgrid"))
    with pytest.raises(AssertionError, match="other bytes"):
        check(PUBLISHED, "cloudevents", AS_CLOUDEVENT)


def test_mutant_that_reads_the_data_and_writes_it_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.stages.deliver.dead_events.msgspec.json.decode", lambda body, **_: json.loads(body))
    with pytest.raises(AssertionError, match="other bytes"):
        check(PUBLISHED, "eventgrid", AS_EVENT_GRID)
