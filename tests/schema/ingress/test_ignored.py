"""Fields that the type lacks: counted exactly, at any depth, by every way a body is read, and bounded."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from penstock.errors import InvalidEvent
from penstock.schema import decode as module
from penstock.schema.decode import Decoder
from penstock.schema.ingress.ignored import LENGTH_CHARS, NAMES, Ignored
from penstock.schema.rows import with_rules

INNER = pa.struct([with_rules(pa.field("deep", pa.int64()), {"default": None})])
FIELDS = [("amount", pa.float64()), ("inner", INNER), ("many", pa.list_(INNER)), ("more", pa.list_(pa.list_(INNER)))]
SCHEMA = pa.schema([with_rules(pa.field(*each), {"default": None}) for each in FIELDS])
NONE = "the topic's type has no such field"

EVENTS: list[dict[str, Any]] = [
    {"amount": 1, "amuont": [1, {"deep": 2}], "é": None},
    {"amuont": None, "inner": {"deeep": 1, "deep": 2}, "more": [[{"deep": 1, "x": 1}], [], [{"x": 1}, {"x": 2}]]},
    {"inner": None, "many": [{"y": 1}, {"deep": None}, {"y": 2}], "more": None},
]
FOUND = {"amuont": 2, "é": 1, "inner.deeep": 1, "many[].y": 2, "more[][].x": 3}
EXTREME = ['a"b', "a\\b", "\n", "", "x" * 300]


def texts(events: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(each, ensure_ascii=False).encode() for each in events]


def counted(decoder: Decoder, body: bytes, kind: Any = "json") -> tuple[pa.RecordBatch, dict[str | None, int]]:
    ignored = Ignored()
    batch = decoder.columns(decoder.decode(body, kind, ignored=ignored))
    return batch, {each["field"]: each["count"] for each in ignored.told(SCHEMA)}


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_they_are_counted_the_first_time_and_every_time(form: str) -> None:
    decoder, plain = Decoder(SCHEMA, unknown="count"), Decoder(SCHEMA)
    body = b"[%b]" % b",".join(texts(EVENTS)) if form == "json" else b"\n".join(texts(EVENTS))
    expected = plain.columns(plain.decode(body, form))  # type: ignore[arg-type]
    for _ in range(3):
        batch, found = counted(decoder, body, form)
        assert batch.equals(expected) and found == FOUND
    flat = b'[{"amount": 1, "amuont": 2, "\xc3\xa9": 3}, {"amuont": 4}]'
    assert counted(decoder, flat)[1] == {"amuont": 2, "é": 1}
    assert counted(decoder, b'{"amount": 1}')[1] == {}


def test_what_was_seen_before_is_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder(SCHEMA, unknown="count")
    counted(decoder, b'{"amuont": 1}')
    monkeypatch.delattr(module, "unknown_fields")
    assert counted(decoder, b'[{"amuont": 1, "amount": 2}, {"amount": 3}]')[1] == {"amuont": 1}
    with pytest.raises(NameError):  # and this is how it looks when it is not
        counted(decoder, b'{"amoutn": 1}')


def test_rows_of_before_and_after_it_was_taught_become_columns_together() -> None:
    for schema in (SCHEMA, pa.schema([SCHEMA.field("amount")])):
        decoder = Decoder(schema, unknown="count")
        bodies = (b'[{"amount": 1}]', b'[{"amount": 2, "x": 1}]', b'[{"amount": 3, "x": 1}]')
        rows = [row for body in bodies for row in decoder.decode(body)]
        assert decoder.columns(rows).column("amount").to_pylist() == [1.0, 2.0, 3.0]


def test_names_of_any_kind_and_length_are_told_and_only_so_many() -> None:
    decoder = Decoder(SCHEMA, unknown="count")
    for _ in range(2):
        found = counted(decoder, json.dumps(dict.fromkeys(EXTREME, 1)).encode())[1]
        assert found == dict.fromkeys([*EXTREME[:-1], "x" * (LENGTH_CHARS - 1) + "…"], 1)
        many = counted(decoder, json.dumps([dict.fromkeys(map(str, range(100)), 1)] * 2).encode())[1]
        assert len(many) == NAMES + 1 and many[None] == (100 - NAMES) * 2


def test_a_large_body_is_counted_piece_by_piece_and_once() -> None:
    # The text looks like the end of an event, so pieces begin in the wrong place and are read again.
    events = [{"amount": 1, "amuont": "}, {" * 50}] * 2_000 + [{"inner": {"x": 1}}]
    for kind, body in {"json": json.dumps(events).encode(), "ndjson": b"\n".join(texts(events))}.items():
        ignored = Ignored()
        decoder = Decoder(SCHEMA, unknown="count", event_limit=1 << 20)
        assert sum(map(len, decoder.decode_pieces([body], kind, ignored=ignored))) == 2_001  # type: ignore[arg-type]
        assert {each["field"]: each["count"] for each in ignored.told(SCHEMA)} == {"amuont": 2_000, "inner.x": 1}


def test_a_body_that_is_refused_says_why_and_counts_nothing() -> None:
    for text, reason in {b'[{"amuont": 1}, {"amount": "x"}]': "Expected", b'[{"amuont": 1}, {]': "not JSON"}.items():
        ignored = Ignored()
        with pytest.raises(InvalidEvent, match=reason) as caught:
            Decoder(SCHEMA, unknown="count").decode(text, ignored=ignored)
        assert caught.value.row == 1 and not ignored


def test_the_field_that_may_have_been_meant_is_told() -> None:
    ignored = Ignored()
    Decoder(SCHEMA, unknown="count").decode(b'[{"amuont": 1, "inner": {"deeep": 1}, "zzz": 1}]', ignored=ignored)
    reasons = {each["field"]: each["reason"] for each in ignored.told(SCHEMA)}
    assert reasons == {
        "amuont": f"{NONE}; did you mean 'amount'?",
        "inner.deeep": f"{NONE}; did you mean 'deep'?",
        "zzz": NONE,
    }
