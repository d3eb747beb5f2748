from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.batch import JSON_SCHEMA
from penstock.errors import InvalidEvent, PenstockError, UnsupportedMediaType
from penstock.gateway import cloudevents as gateway
from penstock.gateway.cloudevents import Headers, Mode, decode, mode, percent_decode
from penstock.schema import cloudevents
from penstock.schema.decode import Decoder
from penstock.schema.types import schema_of


@dataclass
class Reading:
    n: int


TYPED, TEXTS = Decoder(schema_of(Reading)), Decoder(JSON_SCHEMA)
EVENT: dict[str, Any] = {"id": "1", "source": "/s", "specversion": "1.0", "type": "t", "data": {"n": 5}}
BINARY: dict[bytes, bytes] = {
    b"ce-id": b"1",
    b"ce-source": b"/s",
    b"ce-specversion": b"1.0",
    b"ce-type": b"t",
    b"content-type": b"application/json",
}
STRUCTURED = {b"content-type": b"application/cloudevents+json; charset=utf-8"}
BATCH = {b"content-type": b"application/cloudevents-batch+json"}


def structured(event: Any, decoder: Decoder = TYPED) -> tuple[list[Any], dict[str, list[Any]]]:
    rows, envelope = decode("structured", STRUCTURED, json.dumps(event).encode(), decoder)
    return decoder.columns(rows).to_pylist(), envelope


def test_the_mode_is_told_by_the_content_type() -> None:
    assert mode("application/cloudevents-batch+json", {}) == "batch"
    assert mode("application/cloudevents+json", BINARY) == "structured"
    assert mode("application/json", BINARY) == "binary"
    assert mode("application/json", {b"content-type": b"application/json"}) is None


def test_the_three_modes_say_the_same() -> None:
    more = {"subject": "x y", "time": "2020-01-01T02:00:00+02:00", "partitionkey": "k", "extra": "e"}
    headers = BINARY | {b"ce-" + n.encode(): quote(v).encode() for n, v in more.items()}
    body = json.dumps(EVENT | more).encode()
    found = [
        decode("binary", headers, b'{"n": 5}', TYPED),
        decode("structured", STRUCTURED, body, TYPED),
        decode("batch", BATCH, b"[" + body + b"]", TYPED),
    ]
    for rows, envelope in found:
        assert TYPED.columns(rows).to_pylist() == [{"n": 5}]
        assert envelope == {
            "_id": ["1"],
            "_source": ["/s"],
            "_type": ["t"],
            "_subject": ["x y"],
            "_key": ["k"],
            "_time": [datetime(2020, 1, 1, tzinfo=UTC)],
            "_extensions": ['{"partitionkey":"k","extra":"e"}'],
        }


@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_batches(count: int) -> None:
    events = [EVENT | {"id": str(i), "data": {"n": i}} for i in range(count)]
    rows, envelope = decode("batch", BATCH, json.dumps(events).encode(), TYPED)
    assert TYPED.columns(rows).column("n").to_pylist() == list(range(count))
    assert envelope.get("_id", []) == [str(i) for i in range(count)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        (b"Euro%20%e2%82%ac%20%f0%9f%98%80", "Euro € 😀"),
        (b'"Euro%20%E2%82%AC \\"quoted\\""', 'Euro € "quoted"'),
        (b"%41%62c", "Abc"),
        (b"", ""),
        (b'"', '"'),
    ],
)
def test_percent_decoding(value: bytes, text: str) -> None:
    assert percent_decode(value) == text


NO_UTF8 = [b"%C0%A0", b"%ED%A0%80", b"%F4%90%80%80", b"%E2%82", b"%80", b"\xff", b"5%", b"%zz"]


def is_refused(kind: Mode, headers: Headers, body: bytes, row: int, field: str | None) -> None:
    """Is the event that breaks a rule named, with its attribute?"""
    try:
        decode(kind, headers, body, TYPED)
    except InvalidEvent as error:
        assert (error.row, error.field) == (row, field), f"it names {error.field}"
    else:
        raise AssertionError(f"{field} may be anything")


@pytest.mark.parametrize("value", NO_UTF8)
def test_what_is_not_percent_encoded_utf8_is_refused(value: bytes) -> None:
    is_refused("binary", BINARY | {b"ce-subject": value}, b'{"n":1}', 0, "subject")


@pytest.mark.parametrize("value", NO_UTF8)
def test_mutant_a_header_that_is_read_leniently_is_caught(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "percent_decode", lambda value: unquote_to_bytes(value).decode("utf-8", "replace"))
    with pytest.raises(AssertionError, match="subject may be anything"):
        is_refused("binary", BINARY | {b"ce-subject": value}, b'{"n":1}', 0, "subject")


@given(st.text(), st.booleans(), st.booleans())
@settings(max_examples=500)
def test_percent_encoding_round_trips(text: str, lower: bool, needless: bool) -> None:
    def encoded(byte: int) -> str:
        plain = 0x21 <= byte <= 0x7E and chr(byte) not in '"%'
        escape = f"%{byte:02x}" if lower else f"%{byte:02X}"
        return escape if needless or not plain else chr(byte)

    assert percent_decode("".join(map(encoded, text.encode())).encode()) == text


BROKEN: list[tuple[dict[str, Any], str | None]] = [
    *[({name: None}, name) for name in ("id", "source", "specversion", "type")],
    *[({name: ""}, name) for name in ("id", "source", "specversion", "type", "subject", "time", "dataschema")],
    *[({name: 5}, name) for name in ("id", "source", "specversion", "type", "subject", "partitionkey")],
    ({"specversion": "0.3"}, "specversion"),
    ({"source": "a b"}, "source"),
    ({"source": "%zz"}, "source"),
    ({"time": "yesterday"}, "time"),
    ({"time": "2020-01-01T00:00:00"}, "time"),
    ({"time": "0001-01-01T00:00:00+10:00"}, "time"),
    ({"dataschema": "/relative"}, "dataschema"),
    ({"Upper": "x"}, "Upper"),
    ({"with-dash": "x"}, "with-dash"),
    ({"": "x"}, ""),
    ({"n": 2**31}, "n"),
    ({"n": -(2**31) - 1}, "n"),
    ({"n": 1.5}, "n"),
    ({"n": {"a": 1}}, "n"),
    ({"x": "a\x00"}, "x"),
    ({"x": "a\x7f"}, "x"),
    ({"x": "a\x9f"}, "x"),
    ({"x": "a\ufdd0"}, "x"),
    ({"x": "a\U0001ffff"}, "x"),
    ({"x": "a\ud800"}, "x"),
    ({"data_base64": "eyJuIjoxfQ=="}, "data_base64"),
    ({"data": None}, None),
    ({"data": {"n": "5"}}, "n"),
    ({"datacontenttype": "text/plain"}, "datacontenttype"),
    ({"datacontenttype": "text"}, "datacontenttype"),
]


def changed(change: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in (EVENT | change).items() if v is not None or k == "data"}


@pytest.mark.parametrize(("change", "field"), BROKEN)
def test_a_rule_broken_names_row_and_attribute(change: dict[str, Any], field: str | None) -> None:
    is_refused("batch", BATCH, json.dumps([EVENT, EVENT, changed(change)]).encode(), 2, field)


@pytest.mark.parametrize(
    ("name", "value", "change", "field"),
    [
        ("_REQUIRED", (), {"id": None}, "id"),
        ("_TEXTS", set(), {"subject": ""}, "subject"),
        ("_TEXTS", set(), {"subject": 5}, "subject"),
        ("_NAME", re.compile(".*"), {"Upper": "x"}, "Upper"),
        ("_FORBIDDEN", re.compile("[\x00-\x1f]"), {"x": "a\x7f"}, "x"),
        ("_FORBIDDEN", re.compile("[\x00-\x1f]"), {"x": "a\ufdd0"}, "x"),
        ("_RULES", {}, {"time": "yesterday"}, "time"),
        ("_RULES", {}, {"source": "a b"}, "source"),
        ("fault_of", lambda name, value: None, {"n": 2**31}, "n"),
        ("check", lambda attributes, row: None, {"n": -(2**31) - 1}, "n"),
    ],
)
def test_mutant_a_rule_that_is_missing_is_caught(
    name: str, value: Any, change: dict[str, Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudevents, name, value)
    with pytest.raises(AssertionError, match=f"{field} may be anything"):
        try:
            is_refused("batch", BATCH, json.dumps([EVENT, EVENT, changed(change)]).encode(), 2, field)
        except ValueError as error:  # what it is made into later says so
            raise AssertionError(f"{field} may be anything until it is used: {error}") from None


DOORS = ["/topics/flights/events", "/eventgrid/flights/api/events"]
FLIGHT_DATA = {"flight": 1, "tail": "N1"}


@pytest.mark.parametrize("door", DOORS)
def test_each_door_refuses_what_breaks_a_rule_and_names_it(house: Any, door: str) -> None:
    good = EVENT | {"data": FLIGHT_DATA}

    async def work() -> None:
        async with house() as h:

            async def refused(content: bytes, headers: dict[bytes, bytes], row: int, field: str | None) -> None:
                said = await h.http.post(door, content=content, headers=headers)
                error = said.json()["error"]
                error = error.get("details", [error])[0]
                assert (said.status_code, error["row"], error["field"]) == (400, row, field), said.text
                assert field is None or field in error["message"]

            for change, field in BROKEN:
                if change.keys() & {"data"}:
                    continue  # of a topic of another type
                events = [good, {k: v for k, v in (good | change).items() if v is not None}]
                await refused(json.dumps(events).encode(), BATCH, 1, field)
            for value in NO_UTF8:
                await refused(json.dumps(FLIGHT_DATA).encode(), BINARY | {b"ce-subject": value}, 0, "subject")
            assert h.count() == 0
            subject = {b"ce-subject": b"Euro%20%e2%82%ac%20%F0%9F%98%80"}
            said = await h.http.post(door, content=json.dumps(FLIGHT_DATA), headers=BINARY | subject)
            assert said.status_code == 200
            (stored,) = h.stored("flights")
            assert stored.rows.column("_subject").to_pylist() == ["Euro € 😀"]

    asyncio.run(work())


def test_integers_and_booleans_stay_what_they_are() -> None:
    _, envelope = structured(EVENT | {"a": 2**31 - 1, "b": True, "c": None})
    assert json.loads(envelope["_extensions"][0]) == {"a": 2**31 - 1, "b": True}


def test_binary_mode_takes_its_type_from_the_content_type() -> None:
    with pytest.raises(InvalidEvent, match="Content-Type"):
        decode("binary", BINARY | {b"ce-datacontenttype": b"application/json"}, b'{"n":1}', TYPED)
    with pytest.raises(InvalidEvent, match="'datacontenttype'"):
        decode("binary", BINARY | {b"content-type": b"text/plain"}, b"hello", TYPED)
    without = {k: v for k, v in BINARY.items() if k != b"content-type"}
    for headers in (without, BINARY | {b"content-type": b"application/vnd.x+json; charset=utf-8"}):
        assert TYPED.columns(decode("binary", headers, b'{"n":1}', TYPED)[0]).to_pylist() == [{"n": 1}]


def test_binary_mode_is_one_event_even_if_its_data_is_an_array() -> None:
    assert decode("binary", BINARY, b"[1, 2]", TEXTS)[0] == ["[1,2]"]
    assert decode("binary", BINARY, b"", TEXTS)[0] == ["null"]
    with pytest.raises(InvalidEvent, match="'data': missing"):
        decode("binary", BINARY, b"", TYPED)


def test_data_in_base64_is_json_or_refused() -> None:
    event = {k: v for k, v in EVENT.items() if k != "data"} | {"datacontenttype": "application/json"}
    good = base64.b64encode(b'{"n": 6}').decode()
    assert structured(event | {"data_base64": good})[0] == [{"n": 6}]
    for text in ("!", "A", 5, base64.b64encode(b"x").decode(), base64.b64encode(b'{"n":1},{"n":2}').decode(), ""):
        with pytest.raises(InvalidEvent):
            structured(event | {"data_base64": text})
    with pytest.raises(InvalidEvent, match="'data_base64'"):
        structured({k: v for k, v in event.items() if k != "datacontenttype"} | {"data_base64": good})


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "text/plain"])
def test_bytes_are_kept_as_their_base64_where_there_is_no_type(kind: str | None) -> None:
    event = {k: v for k, v in EVENT.items() if k != "data"} | {"data_base64": "AP8="}
    event |= {} if kind is None else {"datacontenttype": kind}
    rows, envelope = structured(event, TEXTS)
    assert rows == [{"json": '"AP8="'}]
    said = {} if kind is None else {"datacontenttype": kind}
    assert json.loads(envelope["_extensions"][0]) == said | {"data_base64": True}
    for text in ("!", "AP8", 5, None):
        with pytest.raises(InvalidEvent, match="'data_base64'"):
            structured(event | {"data_base64": text}, TEXTS)


def test_no_attribute_is_taken_for_the_mark_of_bytes() -> None:
    is_refused("binary", BINARY | {b"ce-data_base64": b"true"}, b'{"n":1}', 0, "data_base64")


def test_data_and_data_base64_together_are_refused_even_where_each_would_do() -> None:
    both = EVENT | {"datacontenttype": "application/json", "data_base64": base64.b64encode(b'{"n":1}').decode()}
    with pytest.raises(InvalidEvent, match="both data and data_base64"):
        structured(both)


def test_an_event_without_data_in_a_topic_without_a_type_is_null() -> None:
    rows, _ = structured({k: v for k, v in EVENT.items() if k != "data"}, TEXTS)
    assert rows == [{"json": "null"}]


def test_another_event_format_is_not_read() -> None:
    with pytest.raises(UnsupportedMediaType, match="avro"):
        decode("structured", {b"content-type": b"application/cloudevents+avro"}, b"", TYPED)


def test_an_event_of_64_kib_comes_through() -> None:
    text = "x" * 65_536
    assert structured(EVENT | {"data": text}, TEXTS)[0] == [{"json": json.dumps(text)}]


pieces = st.sampled_from([json.dumps(EVENT).encode(), b"[", b"]", b",", b'{"id":', b'"\\ud800"', b"\xff", b"[" * 2_000])
headers = st.dictionaries(st.sampled_from([*BINARY, b"ce-x", b"ce-time"]), st.binary(max_size=12))


@given(st.lists(pieces, max_size=6).map(b"".join) | st.binary(max_size=40), headers)
@settings(max_examples=300)
def test_any_request_is_rows_or_an_error_of_ours(body: bytes, given_headers: Headers) -> None:
    for kind, fixed in (("binary", BINARY), ("structured", STRUCTURED), ("batch", BATCH)):
        for decoder in (TYPED, TEXTS):
            try:
                rows, envelope = decode(kind, {**fixed, **(given_headers if kind == "binary" else {})}, body, decoder)  # type: ignore[arg-type]
            except PenstockError:
                continue
            assert all(len(values) == len(rows) for values in envelope.values())


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain; charset=utf-8", 'application/json;a="x; \\"y"', "a/b+json ;", "image/*"]
)
def test_a_type_that_is_one(kind: str) -> None:
    cloudevents.check({"id": "1", "source": "/s", "specversion": "1.0", "type": "t", "datacontenttype": kind}, 0)


@pytest.mark.parametrize("kind", ["xyz", "/json", "application/", "a/b/c", "a b/c", "a/b; x", "a/b; =x", "a/b, c/d"])
def test_a_type_that_is_none(kind: str) -> None:
    with pytest.raises(InvalidEvent, match="datacontenttype"):
        cloudevents.check({"id": "1", "source": "/s", "specversion": "1.0", "type": "t", "datacontenttype": kind}, 0)
