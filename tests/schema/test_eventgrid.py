"""Event Grid's own schema, in: what its members become, what is refused, and that what goes out again is the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema.egress.delivered import TEXTS, all_rendered, batch

from penstock.batch import Batch, TopicSpec
from penstock.errors import InvalidEvent, PenstockError
from penstock.schema import eventgrid
from penstock.schema.decode import Decoder
from penstock.schema.egress.render import join
from penstock.schema.eventgrid import decode_events, decode_pieces
from penstock.schema.types import schema_of

OWN = "/app/t"
EVENT: dict[str, Any] = {
    "id": "1",
    "subject": "a/b",
    "eventType": "made",
    "eventTime": "2026-01-31T12:00:00Z",
    "data": {"n": 1},
    "dataVersion": "2.0",
}


@dataclass
class Reading:
    n: int


TYPED = Decoder(schema_of(Reading))


def stored(*events: Any, decoder: Decoder = TEXTS, **given: Any) -> Batch:
    rows, envelope = decode_events(json.dumps(events).encode(), decoder, OWN, **given)
    return batch(decoder.columns(rows), **envelope)


def test_members_are_attributes() -> None:
    found = stored(EVENT, EVENT | {"subject": "", "dataVersion": None, "topic": OWN, "metadataVersion": "1"})
    assert found.rows.to_pylist() == [
        {
            "json": '{"n":1}',
            "_id": "1",
            "_type": "made",
            "_subject": "a/b",
            "_time": datetime(2026, 1, 31, 12, tzinfo=UTC),
            "_extensions": '{"dataversion":"2.0"}',
        },
        {
            "json": '{"n":1}',
            "_id": "1",
            "_type": "made",
            "_subject": None,
            "_time": datetime(2026, 1, 31, 12, tzinfo=UTC),
            "_extensions": None,
        },
    ]


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-31T13:00:00+01:00",
        "2026-01-31T13:00:00+0100",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00.0000000Z",
        "2026-01-31 12:00:00z",
    ],
)
def test_times_as_they_are_written(time: str) -> None:
    assert stored(EVENT | {"eventTime": time}).rows.column("_time")[0].as_py() == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_data_of_a_type_are_checked_and_their_faults_named() -> None:
    assert stored(EVENT, decoder=TYPED).rows.column("n").to_pylist() == [1]
    for data, field in (({"n": "1"}, "n"), ({}, "n"), (None, None)):
        with pytest.raises(InvalidEvent) as caught:
            stored(EVENT, EVENT | {"data": data}, decoder=TYPED)
        assert (caught.value.row, caught.value.field) == (1, field)
    with pytest.raises(InvalidEvent, match="row 0, field 'data': missing"):
        stored({name: value for name, value in EVENT.items() if name != "data"}, decoder=TYPED)
    (found,) = stored({name: value for name, value in EVENT.items() if name != "data"}).rows.to_pylist()
    assert found["json"] == "null"


BROKEN: list[tuple[dict[str, Any], str]] = [
    *[({name: ""}, name) for name in ("id", "eventType", "eventTime")],
    *[({name: 5}, name) for name in ("id", "subject", "eventType", "eventTime", "dataVersion", "topic")],
    *[({name: None}, name) for name in ("id", "subject", "eventType", "eventTime")],
    *[({name: "a\x07"}, name) for name in ("id", "subject", "eventType", "dataVersion")],
    ({"EventType": "made"}, "EventType"),
    ({"ID": "1"}, "ID"),
    ({"specversion": "1.0"}, "specversion"),
    ({"eventTime": "yesterday"}, "eventTime"),
    ({"eventTime": "2026-01-31"}, "eventTime"),
    ({"metadataVersion": "2"}, "metadataVersion"),
    ({"topic": "/of/another"}, "topic"),
]


def is_refused(change: dict[str, Any], field: str) -> None:
    """Is the event that breaks a rule named, with its member?"""
    try:
        stored(EVENT, EVENT, EVENT | change)
    except InvalidEvent as error:
        assert (error.row, error.field) == (2, field), f"it names {error.field}"
    else:
        raise AssertionError(f"{field} may be anything")


@pytest.mark.parametrize(("change", "field"), BROKEN)
def test_a_rule_broken_names_row_and_member(change: dict[str, Any], field: str) -> None:
    is_refused(change, field)


@pytest.mark.parametrize("name", ["id", "subject", "eventType", "eventTime"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(InvalidEvent, match=f"row 1, field '{name}': missing"):
        stored(EVENT, {member: value for member, value in EVENT.items() if member != name})


def test_a_name_in_another_case_is_told_the_right_one() -> None:
    with pytest.raises(InvalidEvent, match="did you mean 'eventTime'"):
        stored(EVENT | {"EventTime": ""})


@pytest.mark.parametrize(
    ("name", "value", "change", "field"),
    [
        ("fault_of", lambda name, value: None, {"id": ""}, "id"),
        ("fault_of", lambda name, value: None, {"subject": "a\x07"}, "subject"),
        ("_PUBLISHED", eventgrid._DELIVERED, {"specversion": "1.0"}, "specversion"),
        ("METADATA_VERSION", "2", {"metadataVersion": "2"}, "metadataVersion"),
    ],
)
def test_mutant_a_rule_that_is_missing_is_caught(
    name: str, value: Any, change: dict[str, Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventgrid, name, value)
    with pytest.raises(AssertionError, match=f"{field} may be anything"):
        is_refused(change, field)


def test_what_event_grid_delivers_may_say_more_and_has_its_own_topic() -> None:
    found = stored(EVENT | {"topic": "/subscriptions/1", "more": 1}, EVENT | {"topic": OWN}, EVENT, delivered=True)
    assert found.rows.column("_source").to_pylist() == ["/subscriptions/1", None, None]
    with pytest.raises(InvalidEvent, match="field 'topic': not a URI reference"):
        stored(EVENT | {"topic": "a b"}, delivered=True)


@pytest.mark.parametrize("body", [b"", b"{}", b"5", b" ", b'"a"', json.dumps(EVENT).encode()])
def test_the_body_is_an_array(body: bytes) -> None:
    for read in (
        lambda: decode_events(body, TEXTS, OWN),
        lambda: list(decode_pieces([body], TEXTS, 1_000, OWN)),
    ):
        with pytest.raises(InvalidEvent, match="is an array"):
            read()


# -- what goes out again -------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=8)
SOME = TEXT.filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.fixed_dictionaries(
    {
        "id": SOME,
        "subject": TEXT,
        "eventType": SOME,
        "eventTime": st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat().replace("+00:00", "Z")),
        "data": JSON,
        "dataVersion": TEXT,
    }
)


def come_back(events: list[dict[str, Any]]) -> None:
    body = join("eventgrid", all_rendered("eventgrid", stored(*events), TopicSpec("t"))).body
    found = json.loads(body)
    assert len(found) == len(events)
    for got, expected in zip(found, events, strict=True):
        assert got == expected | {"topic": OWN, "metadataVersion": "1"}, "it comes back as another"
    again, envelope = decode_events(body, TEXTS, OWN, delivered=True)
    assert batch(TEXTS.columns(again), **envelope).rows.equals(stored(*events).rows), "it is taken in as another"


@given(st.lists(EVENTS, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_what_is_delivered_is_what_was_published(events: list[dict[str, Any]]) -> None:
    come_back(events)


def test_mutant_a_data_version_that_is_lost_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventgrid, "DATA_VERSION", "version")
    with pytest.raises(AssertionError, match="it comes back as another"):
        come_back([EVENT])


PIECES = st.sampled_from(
    [json.dumps(EVENT).encode(), b"[", b"]", b",", b'{"id":', b'"\\ud800"', b"\xff", b"[" * 2_000, b'{"data":[]}']
)


@given(st.lists(PIECES, max_size=6).map(b"".join) | st.binary(max_size=40), st.booleans())
@settings(max_examples=300)
def test_any_body_is_rows_or_an_error_of_ours_whole_or_in_pieces(body: bytes, delivered: bool) -> None:
    def rows_of(read: Callable[[], list[Any]]) -> Any:
        try:
            return read()
        except PenstockError as error:
            return type(error)

    for decoder in (TYPED, TEXTS):
        whole = rows_of(lambda d=decoder: decode_events(body, d, OWN, delivered=delivered)[0])  # type: ignore[misc]
        parts = rows_of(
            lambda d=decoder: [  # type: ignore[misc]
                row for rows, _ in decode_pieces([body], d, 1 << 20, OWN, delivered=delivered) for row in rows
            ]
        )
        assert whole == parts


def test_pieces_count_rows_over_the_whole_body() -> None:
    events = [EVENT | {"id": f"{n}" * 100} for n in range(1, 2_000)]
    body = json.dumps(events).encode()
    found = list(decode_pieces([body[:5_000], body[5_000:]], TEXTS, 1 << 20, OWN))
    assert len(found) > 2 and sum(len(rows) for rows, _ in found) == len(events)
    assert [id for _, envelope in found for id in envelope["_id"]] == [event["id"] for event in events]
    bad = json.dumps([*events, EVENT | {"id": ""}]).encode()
    with pytest.raises(InvalidEvent, match=f"row {len(events)}, field 'id': empty"):
        list(decode_pieces([bad], TEXTS, 1 << 20, OWN))
