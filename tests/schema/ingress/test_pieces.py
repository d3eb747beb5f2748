"""A body that is read in pieces is read as it is in one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.memory import traced
from tests.schema.flights import GOOD, Flight

from penstock.batch import JSON_SCHEMA
from penstock.errors import InvalidEvent, TooLarge
from penstock.schema import decode
from penstock.schema.decode import Decoder
from penstock.schema.ingress import pieces, structure
from penstock.schema.ingress.text import Text
from penstock.schema.types import schema_of

TEXTS, FLIGHTS = Decoder(JSON_SCHEMA), Decoder(schema_of(Flight))
Kind = Literal["json", "ndjson"]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\[]{},\n é😀'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('"\\[]{},:', max_size=3), inner, max_size=3),
    max_leaves=10,
)

parts = st.sampled_from([None, 1, 3, 17, 40])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 16)
    monkeypatch.setattr(pieces, "PIECE_EVENTS", 2)
    monkeypatch.setattr(structure, "BLOCK_BYTES", 7)


def cut(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def whole(decoder: Decoder, body: bytes, kind: Kind) -> Any:
    try:
        return decoder.decode(body, kind)
    except InvalidEvent as error:
        return error.row


def in_pieces(decoder: Decoder, body: bytes, kind: Kind, part: int | None = None) -> Any:
    """``part``: bytes that come at once."""
    try:
        return [row for piece in decoder.decode_pieces(cut(body, part or len(body) + 1), kind) for row in piece]
    except InvalidEvent as error:
        return error.row


@pytest.mark.usefixtures("small")
@given(st.lists(values, max_size=12), st.booleans(), st.sampled_from([None, 1]), parts)
@settings(max_examples=300, suppress_health_check=[])
def test_the_same_texts_come_of_it(found: list[Any], spaced: bool, indent: int | None, part: int | None) -> None:
    body = json.dumps(found, indent=indent, separators=None if spaced else (",", ":")).encode()
    assert in_pieces(TEXTS, body, "json", part) == whole(TEXTS, body, "json"), "an array is read otherwise"
    lines = b"\n \n".join(json.dumps(value).encode() for value in found) + b"\n"
    assert in_pieces(TEXTS, lines, "ndjson", part) == whole(TEXTS, lines, "ndjson"), "lines are read otherwise"


fragments = st.sampled_from(
    [b"[", b"]", b"{", b"}", b",", b'"', b"\\", b'\\"', b" ", b"\n", b"1", b'"a":1', b"},{", b"{},{}", b"\xff", b"[[]]"]
)


@pytest.mark.usefixtures("small")
@given(st.lists(fragments, max_size=25).map(b"".join), st.booleans(), st.sampled_from(["json", "ndjson"]), parts)
@settings(max_examples=1_500)
def test_what_is_refused_whole_is_refused_in_pieces(text: bytes, array: bool, kind: Kind, part: int | None) -> None:
    body = b"[" + text + b"]" if array else text
    one, several = whole(TEXTS, body, kind), in_pieces(TEXTS, body, kind, part)
    if kind == "json":  # of lines a small body may have one value on two and two on the next
        assert isinstance(one, list) == isinstance(several, list), "only one of the ways takes it"
    assert not isinstance(several, list) or one == several, "it is read otherwise"


@given(st.lists(fragments, min_size=1, max_size=6).map(b"".join), st.booleans(), st.sampled_from(["json", "ndjson"]))
@settings(max_examples=60, deadline=None)
def test_any_bytes_again_and_again_are_read_in_little_memory(text: bytes, array: bool, kind: Kind) -> None:
    body = b"[" * array + text * ((2 << 20) // len(text)) + b"]" * array
    decoder = Decoder(JSON_SCHEMA, event_limit=1 << 16)
    with traced() as peak:
        try:
            for _ in decoder.decode_pieces([body], kind):
                pass
        except (InvalidEvent, TooLarge):
            pass
        assert peak() < 16 << 20


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("place", range(7))
def test_a_fault_is_told_by_its_row_field_and_byte_in_the_whole_body(place: int) -> None:
    """The event after the third holds what looks like an end between two: the guess is wrong there."""
    events = [json.dumps(GOOD | {"carrier": "},{"} if n == 3 else GOOD).encode() for n in range(7)]
    events[place] = events[place].replace(b"1400", b"?") if b"1400" in events[place] else b'{"flight":?}'
    body = b"[" + b", ".join(events) + b"]"
    with pytest.raises(InvalidEvent, match=f"at byte {body.index(b'?')} of the body") as caught:
        list(FLIGHTS.decode_pieces([body]))
    assert caught.value.row == place
    with pytest.raises(InvalidEvent) as caught:
        list(FLIGHTS.decode_pieces([b"\n\n".join(events)], "ndjson"))
    assert caught.value.row == place


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "text", [b"[,1]", b"[1,]", b"[1,,2]", b"[1111111111111111111,,2]", b"[{},{},,{}]", b"[1]]", b"[1"]
)
def test_commas_with_nothing_between_them_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidEvent, match="not JSON"):
        list(TEXTS.decode_pieces([text.replace(b"{}", b'{"a":"xxxxxxxxxxxxxxxx"}')]))


def test_the_check_of_what_is_between_commas_notices_that_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(body: Text, read: Any, rows_of: Any, limit: int) -> Any:
        return pieces.array_pieces(body, read, lambda rows: len(rows) or 1, limit)

    monkeypatch.setattr(decode, "array_pieces", trusting)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 0)
    monkeypatch.setattr(structure, "BLOCK_BYTES", 20)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_commas_with_nothing_between_them_are_refused(b"[1111111111111111111,,2]")


@pytest.mark.parametrize("text", [b"[],", b'"\\\\",', b"{ } , ", b'{"a":"},{"},'])
def test_a_body_of_millions_is_counted_while_it_is_read(text: bytes) -> None:
    """11 million lists took 1.6 GiB and 30 s before they were counted."""
    counted = cut(b"[" + text * ((32 << 20) // len(text)) + b"1]", 1 << 20)
    with traced() as peak:
        began, rows = time.process_time(), 0
        for piece in Decoder(JSON_SCHEMA, event_limit=1 << 20).decode_pieces(counted):
            rows += len(piece)
            if rows > 50_000:
                break
        took = time.process_time() - began
        assert rows < 150_000 and peak() < 30 << 20 and took < 3, (rows, peak(), took)
    left = sum(map(len, counted))
    assert left > 24 << 20, "parts were taken that nobody needed"


ENDLESS = {
    "white space": b" " * 40_000_000 + b"1",
    "backslashes": b"\\" * 40_000_000,
    "a text": b'"%b"' % (b"a" * 40_000_000),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize(("start", "kind"), [(b"[", "json"), (b"", "ndjson"), (b"", "json")])
def test_an_event_without_an_end_is_refused_before_it_is_read(name: str, start: bytes, kind: Kind) -> None:
    decoder, text = Decoder(JSON_SCHEMA, event_limit=1 << 20), start + ENDLESS[name]
    with traced() as peak:
        with pytest.raises(TooLarge, match="row 0: an event of"):
            list(decoder.decode_pieces([text], kind))
        assert peak() < 4 << 20


def test_lines_without_anything_in_them_cost_nothing() -> None:
    """16 million of them no more than as many bytes with 2 million events, twice."""
    began = time.process_time()
    assert list(TEXTS.decode_pieces([b"\n" * (16 << 20)], "ndjson")) == []
    between = time.process_time()
    assert sum(map(len, TEXTS.decode_pieces([b'{"a":1}\n' * (2 << 20)], "ndjson"))) == 2 << 20
    assert between - began < 2 * (time.process_time() - between)


def test_columns_are_the_same() -> None:
    body = json.dumps([GOOD | {"legs": [{"origin": "a"}, {"origin": "},{"}]}] * 3_000).encode()
    parts = [FLIGHTS.columns(rows) for rows in FLIGHTS.decode_pieces([body])]
    assert len(parts) > 2 and pa.concat_batches(parts).equals(FLIGHTS.columns(FLIGHTS.decode(body)))
