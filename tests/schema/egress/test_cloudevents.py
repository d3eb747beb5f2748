from __future__ import annotations

import json
import random
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import jsonschema
import msgspec
import pyarrow as pa
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema.egress.delivered import all_rendered, batch, taken_in, texts
from tests.schema.flights import GOOD, Flight

from penstock.batch import Batch, Lineage, TopicSpec
from penstock.gateway.cloudevents import percent_decode
from penstock.schema.decode import Decoder
from penstock.schema.egress import attributes, eventgrid, headers
from penstock.schema.egress import cloudevents as egress
from penstock.schema.egress.headers import percent_encode
from penstock.schema.egress.render import Format, join
from penstock.schema.egress.rendered import Rendered
from penstock.schema.encode import to_dicts
from penstock.schema.types import schema_of

STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}


# -- what it looks like -------------------------------------------------------


def test_binary_mode() -> None:
    (found,) = all_rendered("cloudevents", batch(texts('{"a":1}'), _subject=["x y"], _key=["k"]))
    assert found.body == b'{"a":1}'
    assert found.headers == (
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "t/3/10"),
        ("ce-source", "/app/t"),
        ("ce-type", "t"),
        ("ce-time", "2023-11-14T22:13:20Z"),
        ("ce-subject", "x%20y"),
        ("ce-partitionkey", "k"),
    )


def test_structured_mode() -> None:
    (found,) = all_rendered("cloudevents-structured", batch(texts('{"a": 1}'), _subject=["x y"], _key=["k"]))
    assert dict(found.headers) == STRUCTURED
    assert found.body.startswith(b'{"specversion":"1.0","id":"t/3/10",') and b'"data":{"a": 1}' in found.body
    assert json.loads(found.body) == {
        "specversion": "1.0",
        "id": "t/3/10",
        "source": "/app/t",
        "type": "t",
        "time": "2023-11-14T22:13:20Z",
        "datacontenttype": "application/json",
        "subject": "x y",
        "partitionkey": "k",
        "data": {"a": 1},
    }


def test_batched_mode() -> None:
    events = batch(texts('{"a":1}', "null"), _id=["x", None])
    alone, parts = all_rendered("cloudevents-structured", events), all_rendered("cloudevents-batch", events)
    whole = join("cloudevents-batch", parts)
    assert whole.body == b"[" + alone[0].body + b"," + alone[1].body + b"]"
    assert [part.body for part in parts] == [b"[" + each.body + b"]" for each in alone]
    assert dict(whole.headers) == dict(parts[0].headers)
    assert dict(whole.headers) == {"content-type": "application/cloudevents-batch+json; charset=utf-8"}


def test_an_attribute_that_an_event_lacks_is_left_out() -> None:
    events = batch(texts("1", "2"), _subject=[None, "s"], _key=["k", None])
    first, second = (dict(each.headers) for each in all_rendered("cloudevents", events))
    assert ("ce-subject" in first, first["ce-partitionkey"]) == (False, "k")
    assert ("ce-partitionkey" in second, second["ce-subject"]) == (False, "s")
    first, second = (json.loads(each.body) for each in all_rendered("cloudevents-structured", events))
    assert ("subject" in first, "partitionkey" in second) == (False, False)


def test_extensions_are_attributes_beside_the_others() -> None:
    kept = ['{"n":5,"yes":true,"text":"a b","dataschema":"https://s/1","datacontenttype":"application/x+json"}', None]
    events = batch(texts("{}", "{}"), _extensions=kept)
    first, second = (dict(each.headers) for each in all_rendered("cloudevents", events))
    assert {name: first.get(f"ce-{name}") for name in ("n", "yes", "text", "dataschema", "datacontenttype")} == {
        "n": "5",
        "yes": "true",
        "text": "a%20b",
        "dataschema": "https://s/1",
        "datacontenttype": None,  # HTTP binding §3.1.1: Content-Type says it
    }
    assert (first["content-type"], second["content-type"]) == ("application/x+json", "application/json")
    found = json.loads(all_rendered("cloudevents-structured", events)[0].body)
    assert (found["n"], found["yes"], found["text"]) == (5, True, "a b")
    assert (found["dataschema"], found["datacontenttype"]) == ("https://s/1", "application/x+json")


def test_a_published_partition_key_comes_before_the_topics() -> None:
    decoder = Decoder(schema_of(Flight))
    rows = decoder.columns(decoder.convert([GOOD, GOOD]))
    events = batch(rows, _extensions=['{"partitionkey":"own"}', None])
    topic = TopicSpec("t", rows.schema, key="flight")
    found = [json.loads(each.body) for each in all_rendered("cloudevents-structured", events, topic)]
    assert [each["partitionkey"] for each in found] == ["own", "1"]
    assert all(each.body.count(b'"partitionkey"') == 1 for each in all_rendered("cloudevents-batch", events, topic))


@pytest.mark.parametrize("key", ["", "\x00\x00\x00\x05", "a\x7f", "\ufdd0", "\U0010ffff"])
def test_a_key_that_no_attribute_may_be_is_left_out(key: str) -> None:
    events = batch(texts("1", "2"), _key=[key, "é 😀"])
    first, second = (json.loads(each.body) for each in all_rendered("cloudevents-structured", events))
    assert "partitionkey" not in first and second["partitionkey"] == "é 😀"


def test_an_attribute_called_data_would_be_a_second_one() -> None:
    events = batch(texts('"real"'), _extensions=['{"data":"no","x":"y"}'])
    (found,) = all_rendered("cloudevents-structured", events)
    assert found.body.count(b'"data":') == 1 and json.loads(found.body)["data"] == "real"
    assert "ce-data" not in dict(all_rendered("cloudevents", events)[0].headers)


def test_text_that_is_no_json_is_its_own_body() -> None:
    events = batch(texts('"a\\n\\u00e9"', '{"a":1}'), _extensions=['{"datacontenttype":"text/plain"}'] * 2)
    assert [each.body for each in all_rendered("cloudevents", events)] == ["a\né".encode(), b'{"a":1}']
    assert json.loads(all_rendered("cloudevents-structured", events)[0].body)["data"] == "a\né"


def test_a_media_type_is_a_header_whatever_its_parameters_say() -> None:
    events = batch(texts("1"), _extensions=[json.dumps({"datacontenttype": 'text/json; name="é €"'})])
    assert dict(all_rendered("cloudevents", events)[0].headers)["content-type"] == 'text/json; name="%C3%A9 %E2%82%AC"'


def test_typed_data_is_as_every_reader_gets_it() -> None:
    decoder = Decoder(schema_of(Flight))
    rows = decoder.columns(decoder.convert([GOOD | {"raw": b"xy", "flight": 2**62, "delay": float("nan")}]))
    events, topic = batch(rows), TopicSpec("t", rows.schema)
    expected = to_dicts(events, topic, "app")[0]
    assert (expected["data"]["raw"], expected["data"]["flight"], expected["data"]["delay"]) == ("eHk=", 2**62, None)
    assert json.loads(all_rendered("cloudevents", events, topic)[0].body) == expected["data"]
    assert json.loads(all_rendered("cloudevents-structured", events, topic)[0].body)["data"] == expected["data"]


def test_what_a_stage_made_has_its_derived_id() -> None:
    rows = pa.RecordBatch.from_pydict({"n": [1], "_parent_partition": pa.array([1], pa.int32()), "_parent": [7]})
    made = batch(rows)
    events = type(made)(made.topic, 3, made.positions, made.appended, rows, Lineage("scores", "inputs", "c0de"))
    (found,) = all_rendered("cloudevents", events, TopicSpec("t", rows.schema, source="//of/another"))
    assert (dict(found.headers)["ce-id"], dict(found.headers)["ce-source"]) == ("scores/inputs/1/7/0", "//of/another")


# -- CE10: records of Kafka ----------------------------------------------------


def test_binary_mode_of_kafka() -> None:
    kept = ['{"n":5,"yes":true,"text":"a é","datacontenttype":"text/plain; name=é"}']
    events = batch(texts('"a b"'), _subject=["x é"], _key=["k %"], _extensions=kept)
    (found,) = all_rendered("cloudevents-kafka", events)
    assert found.body == b"a b"
    assert found.headers == (
        ("content-type", "text/plain; name=é"),
        ("ce_specversion", "1.0"),
        ("ce_id", "t/3/10"),
        ("ce_source", "/app/t"),
        ("ce_type", "t"),
        ("ce_time", "2023-11-14T22:13:20Z"),
        ("ce_subject", "x é"),
        ("ce_partitionkey", "k %"),
        ("ce_n", "5"),
        ("ce_yes", "true"),
        ("ce_text", "a é"),
    )


def read_officially(rendered: Rendered) -> BaseCloudEvent:
    """The record's key, which is the event's, is the lane's to say."""
    return from_kafka_event(KafkaMessage({n: v.encode() for n, v in rendered.headers}, None, rendered.body))


def records_are_read_the_same(events: list[dict[str, Any]]) -> None:
    stored = published(*events)
    formats: tuple[Format, ...] = ("cloudevents-kafka", "cloudevents-structured")
    for format in formats:
        for event, rendered in zip(events, all_rendered(format, stored), strict=True):
            read = read_officially(rendered)
            found = {name: value for name, value in read.get_attributes().items() if value is not None}
            assert found.pop("time") == datetime.fromisoformat(event["time"])
            expected = {"datacontenttype": "application/json"} | event
            assert found == {name: v for name, v in expected.items() if name not in ("time", "data")}, "another event"
            if read.get_datacontenttype() == "application/json":
                assert read.get_data() == event["data"]


def test_the_official_package_reads_records_the_same() -> None:
    given(st.lists(EVENTS, min_size=1, max_size=3))(settings(max_examples=100)(records_are_read_the_same))()


def test_mutant_that_encodes_as_http_does_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    event = EVENT | {"subject": "50 % off"}
    records_are_read_the_same([event])
    monkeypatch.setattr(egress, "header_column", lambda name, values, encoded: headers.header_column(name, values))
    with pytest.raises(AssertionError, match="another event"):
        records_are_read_the_same([event])


# -- CE6: percent-encoding ----------------------------------------------------


def test_the_vector_of_the_specification() -> None:
    assert percent_encode("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80"


@given(st.lists(st.text(), min_size=1))
@settings(max_examples=500)
def test_whatever_text_survives_its_header(values: list[str]) -> None:
    found = list(headers.header_column("ce-x", pa.array(values, pa.string())))
    for value, (_, header) in zip(values, found, strict=True):
        assert re.fullmatch("[!-~]*", header) and header == percent_encode(value)
        assert percent_decode(header.encode("ascii")) == value


# Of several planes, without those that no attribute has.
CHARACTERS = [*range(0x20, 0x7F), *range(0xA0, 0x800, 7), *range(0x2000, 0x2700, 11), *range(0x1F300, 0x1F700, 5)]
OFFICIAL = {"content-type": "application/json"} | {f"ce-{n}": "1.0" for n in ("specversion", "id", "type", "source")}


def ten_thousand_texts() -> None:
    chance = random.Random(6)
    for _ in range(10_000):
        text = "".join(map(chr, chance.choices(CHARACTERS, k=chance.randint(1, 12))))
        header = percent_encode(text)
        official = from_http_event(HTTPMessage({**OFFICIAL, "ce-subject": header}, b"{}"))
        assert official.get_subject() == text == percent_decode(header.encode("ascii")), "another text"
        assert header == dict(to_binary_event(official).headers)["ce-subject"], "another spelling"


def test_ten_thousand_texts_are_as_the_official_package_writes_and_reads_them() -> None:
    ten_thousand_texts()


@pytest.mark.parametrize(
    ("encode", "found"),
    [
        (lambda text: text.encode("ascii", "replace").decode(), "another text"),
        (lambda text: quote(text), "another spelling"),
        (lambda text: re.sub("%(..)", lambda m: m[0].lower(), quote(text, safe=headers._PLAIN)), "another spelling"),
    ],
    ids=["what is not ASCII is lost", "more is encoded than must be", "in lower case"],
)
def test_mutant_an_encoding_of_our_own_is_caught(
    encode: Callable[[str], str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "percent_encode", encode)
    with pytest.raises(AssertionError, match=found):
        ten_thousand_texts()


# -- what is delivered is what was published ----------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=8)
TOKEN = st.text("abcxyz019", min_size=1, max_size=8)
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
EXTENSIONS = st.dictionaries(TOKEN.map(lambda t: f"x{t}"), TEXT, max_size=3)
MEDIA_TYPES = st.sampled_from(["application/json", "text/json; charset=utf-8", "application/vnd.x+json"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OPTIONAL = {
    "subject": TEXT,
    "partitionkey": TEXT,
    "dataschema": TOKEN.map(lambda t: f"https://schemas/{t}"),
    "datacontenttype": MEDIA_TYPES,
}
EVENTS = st.builds(
    lambda event, others: others | event,
    st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": TEXT,
            "source": TOKEN.map(lambda t: f"/sensors/{t}%20?q"),
            "type": TEXT,
            "time": TIMES.map(lambda t: t.isoformat()),
            "data": JSON,
        },
        optional=OPTIONAL,
    ),
    EXTENSIONS,
)


def published(*events: Any) -> Batch:
    return taken_in([(json.dumps(event).encode(), tuple(STRUCTURED.items())) for event in events])


def same(found: Batch, events: Batch) -> None:
    """Are they the same events, by their data and all of their attributes?"""
    assert set(found.rows.schema.names) == set(events.rows.schema.names)
    for name in events.rows.schema.names:
        got, expected = (each.rows.column(name).to_pylist() for each in (found, events))
        if name == "_extensions":  # an object: its members have no order
            got, expected = ([text and json.loads(text) for text in texts] for texts in (got, expected))
        assert got == expected, f"{name} is another"


def delivered_again(format: Format, events: Batch) -> Batch:
    parts = all_rendered(format, events)
    return taken_in([(each.body, each.headers) for each in ([join(format, parts)] if format == BATCH else parts)])


BATCH: Format = "cloudevents-batch"


BYTES = st.builds(
    lambda event, data: {n: v for n, v in event.items() if n != "data"} | {"data_base64": b64encode(data).decode()},
    EVENTS.map(lambda event: event | {"datacontenttype": "image/png"} if "datacontenttype" in event else event),
    st.binary(max_size=12),
)


@given(st.lists(EVENTS | BYTES, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_bytes_that_are_delivered_are_those_that_were_published(events: list[dict[str, Any]]) -> None:
    stored = published(*events)
    for format in ("cloudevents-structured", BATCH):
        same(delivered_again(format, stored), stored)
    for event, part in zip(events, all_rendered("cloudevents", stored), strict=True):
        if "data_base64" in event:
            assert part.body == b64decode(event["data_base64"]), "the body is another"
            kind = event.get("datacontenttype", "application/octet-stream")
            assert dict(part.headers)["content-type"] == kind


def test_mutant_bytes_that_are_delivered_as_their_text_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "unpack", lambda text, row: text)
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data_base64": "AP8="}
    stored = published(event)
    with pytest.raises(AssertionError, match="the body is another"):
        assert all_rendered("cloudevents", stored)[0].body == b"\x00\xff", "the body is another"


@given(st.lists(EVENTS, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_is_delivered_is_what_was_published(events: list[dict[str, Any]]) -> None:
    stored = published(*events)
    for format in ("cloudevents", "cloudevents-structured", BATCH):
        same(delivered_again(format, stored), stored)


@given(st.lists(EVENTS, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_the_official_package_reads_the_same(events: list[dict[str, Any]]) -> None:
    stored = published(*events)
    for format in ("cloudevents", "cloudevents-structured"):
        for event, rendered in zip(events, all_rendered(format, stored), strict=True):
            read = from_http_event(HTTPMessage(dict(rendered.headers), rendered.body))
            found = {name: value for name, value in read.get_attributes().items() if value is not None}
            assert found.pop("time") == datetime.fromisoformat(event["time"])
            expected = {"datacontenttype": "application/json"} | event
            assert found == {name: v for name, v in expected.items() if name not in ("time", "data")}
            if read.get_datacontenttype() == "application/json":
                assert read.get_data() == event["data"]


def test_mutant_a_subject_that_is_not_encoded_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = published(EVENT | {"subject": "50%25off"})
    same(delivered_again("cloudevents", stored), stored)
    monkeypatch.setattr(headers, "_NOT_PLAIN", "[^!-~]")
    with pytest.raises(AssertionError, match="_subject is another"):
        same(delivered_again("cloudevents", stored), stored)


def test_mutant_extensions_that_are_forgotten_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = published(EVENT | {"partitionkey": "k", "x": "y"})
    same(delivered_again("cloudevents-structured", stored), stored)
    monkeypatch.setattr(attributes.AttributeColumns, "_sort", lambda *_: None)
    with pytest.raises(AssertionError, match="_extensions is another"):
        same(delivered_again("cloudevents-structured", stored), stored)


EVENT: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 5}} | {
    "time": "2024-02-29T12:00:00.000001Z"
}


# -- CE7: 64 KB ---------------------------------------------------------------


BINDINGS = ("binary", "structured", "batched")


def of_64_kb(binding: str, filling: str) -> tuple[str, Batch]:
    """An event's data, so that it is 65,536 bytes on the wire or hardly fewer, and what a door stores of it."""
    attributes = {name: value for name, value in EVENT.items() if name != "data"}
    headers = [("content-type", "application/json"), *((f"ce-{name}", value) for name, value in attributes.items())]
    frame = {
        "binary": "".join(f"{name}: {value}\r\n" for name, value in headers) + '""',
        "structured": json.dumps(EVENT | {"data": ""}, ensure_ascii=False),
        "batched": json.dumps([EVENT | {"data": ""}], ensure_ascii=False),
    }[binding]
    room = 65_536 - len(frame.encode())
    step = len(json.dumps(filling, ensure_ascii=False).encode()) - 2
    data = filling * (room // step)
    event = json.dumps(data, ensure_ascii=False)
    assert 65_534 < len(frame.encode()) + len(event.encode()) - 2 <= 65_536
    if binding == "binary":
        return data, taken_in([(event.encode(), headers)])
    whole = EVENT | {"data": data}
    kind = STRUCTURED if binding == "structured" else {"content-type": "application/cloudevents-batch+json"}
    body = json.dumps(whole if binding == "structured" else [whole], ensure_ascii=False)
    return data, taken_in([(body.encode(), tuple(kind.items()))])


def forwarded(binding: str, format: Format, filling: str) -> None:
    data, stored = of_64_kb(binding, filling)
    if format == "eventgrid":
        (event,) = json.loads(all_rendered(format, stored)[0].body)
        assert event["data"] == data, "json is another"
        return
    found = delivered_again(format, stored)
    same(found, stored)
    assert json.loads(found.rows.column("json")[0].as_py()) == data


@pytest.mark.parametrize("format", ["cloudevents", "cloudevents-structured", BATCH, "eventgrid"])
@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("filling", ["x", "é", "\\", '"'])
def test_an_event_of_64_kb_is_delivered_unchanged(binding: str, format: Format, filling: str) -> None:
    forwarded(binding, format, filling)


@pytest.mark.parametrize("format", ["cloudevents", "cloudevents-structured", BATCH, "eventgrid"])
def test_mutant_that_cuts_what_is_long_is_caught(format: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(rows: pa.RecordBatch) -> list[bytes]:
        return [json.dumps(json.loads(text)[:60_000]).encode() for text in rows.column("json").to_pylist()]

    monkeypatch.setattr(egress, "data_texts", cut)
    for module in (egress, eventgrid):
        monkeypatch.setattr(module, "data_objects", lambda rows: [msgspec.Raw(text) for text in cut(rows)])
    with pytest.raises(AssertionError, match="json is another"):
        forwarded("structured", format, "x")


# -- CE9: what the JSON schema of the specification says ----------------------

URI_CHARACTERS = r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+"
FORMATS = {
    "uri-reference": URI_CHARACTERS,
    "uri": rf"[A-Za-z][A-Za-z0-9+.\-]*:{URI_CHARACTERS}",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)",
}
TEXT_OR_NULL = {"type": ["string", "null"], "minLength": 1}
# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/cloudevents.json, its facts.
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "properties": {
        **{name: {"type": "string", "minLength": 1} for name in ("id", "specversion", "type")},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "datacontenttype": TEXT_OR_NULL,
        "dataschema": TEXT_OR_NULL | {"format": "uri"},
        "subject": TEXT_OR_NULL,
        "time": TEXT_OR_NULL | {"format": "date-time"},
        "data": {"type": ["object", "string", "number", "array", "boolean", "null"]},
        "data_base64": {"type": ["string", "null"], "contentEncoding": "base64"},
    },
}


def validator() -> Any:
    checker = jsonschema.FormatChecker(formats=[])
    for name, pattern in FORMATS.items():
        checker.checks(name)(
            lambda value, whole=re.compile(pattern): not isinstance(value, str) or whole.fullmatch(value)
        )
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    return jsonschema.Draft7Validator(SCHEMA, format_checker=checker)


def ten_thousand_events() -> Batch:
    """Of all that the envelope may lack or have."""
    chance = random.Random(9)
    count = 10_000

    def some(make: Callable[[int], Any]) -> list[Any]:
        return [make(n) if chance.random() < 0.5 else None for n in range(count)]

    def text(n: int) -> str:
        return f"{n}" + "".join(map(chr, chance.choices(CHARACTERS, k=chance.randint(0, 8))))

    def others(n: int) -> str:
        names = chance.sample(["dataschema", "datacontenttype", "partitionkey", "traceparent"], k=chance.randint(1, 4))
        values = {
            "dataschema": f"urn:x:{n}",
            "datacontenttype": "text/json",
            "partitionkey": text(n),
            "traceparent": "0",
        }
        return json.dumps({name: values[name] for name in names} | {"n": n, "yes": True})

    data = [json.dumps(chance.choice([None, n, text(n), [n], {"a": n}, True, 0.5])) for n in range(count)]
    return batch(
        texts(*data),
        _id=some(text),
        _time=some(lambda _: datetime(1, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(315_000_000_000))),
        _key=some(text),
        _source=some(lambda n: f"/sensors/{n}?a=%20"),
        _type=some(text),
        _subject=some(text),
        _extensions=some(others),
    )


def all_are_valid(format: Format, events: Batch) -> None:
    validate = validator()
    for each in all_rendered(format, events):
        event = json.loads(each.body)
        if format == "cloudevents":
            found = {n.removeprefix("ce-"): percent_decode(v.encode()) for n, v in each.headers if n.startswith("ce-")}
            event = found | {"data": event, "datacontenttype": dict(each.headers)["content-type"]}
        faults = [error.message for error in validate.iter_errors(event[0] if format == BATCH else event)]
        assert not faults, f"invalid: {faults}"


@pytest.mark.parametrize("format", ["cloudevents", "cloudevents-structured", BATCH])
def test_ten_thousand_events_are_valid(format: Format) -> None:
    all_are_valid(format, ten_thousand_events())


@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        ({"times": lambda batch: pa.array(batch.appended).cast(pa.string())}, "is not a 'date-time'"),
        ({"sources": lambda rows, topic, app: f"{app} {topic.name}"}, "is not a 'uri-reference'"),
        ({"sources": lambda rows, topic, app: ""}, "should be non-empty|is too short"),
    ],
    ids=["times are numbers", "a space in the source", "no source"],
)
def test_mutant_an_invalid_event_is_caught(mutant: dict[str, Any], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, changed in mutant.items():
        monkeypatch.setattr(attributes, name, changed)
    with pytest.raises(AssertionError, match=f"invalid: .*({found})"):
        all_are_valid("cloudevents-structured", batch(texts("1")))
