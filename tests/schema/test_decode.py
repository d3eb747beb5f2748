from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema.flights import GOOD, Flight

from penstock.batch import JSON_SCHEMA
from penstock.errors import InvalidEvent, TooLarge
from penstock.schema import decode as module
from penstock.schema.decode import Decoder
from penstock.schema.rows import with_rules
from penstock.schema.types import schema_of

FLIGHTS = Decoder(schema_of(Flight))
TEXTS = Decoder(JSON_SCHEMA)


def body(*events: dict[str, Any]) -> bytes:
    return json.dumps(events).encode()


def test_an_object_an_array_and_lines_are_the_same_rows() -> None:
    one = json.dumps(GOOD).encode()
    expected = FLIGHTS.columns(FLIGHTS.decode(body(GOOD, GOOD)))
    assert FLIGHTS.columns(FLIGHTS.decode(one) * 2).equals(expected)
    assert FLIGHTS.columns(FLIGHTS.decode(one + b"\n\n" + one + b"\r\n", "ndjson")).equals(expected)
    assert expected.schema.equals(FLIGHTS.schema, check_metadata=True)


def test_values_and_defaults() -> None:
    given = GOOD | {"at": "2013-05-01T02:00:00+02:00", "raw": "eHk=", "unknown": [1], "legs": [{"origin": "a"}]}
    row = FLIGHTS.columns(FLIGHTS.decode(body(given))).to_pylist()[0]
    assert row["at"].isoformat() == "2013-05-01T00:00:00+00:00"
    assert (row["raw"], row["delay"], row["seats"], row["cabin"]) == (b"xy", 2.5, 180, "coach")
    assert row["legs"] == [{"origin": "a", "minutes": None}] and row["tailnum"] is None


@pytest.mark.parametrize("text", [b"[]", b" [ ] "])
def test_an_empty_array_is_no_rows(text: bytes) -> None:
    for decoder in (FLIGHTS, TEXTS):
        assert decoder.columns(decoder.decode(text)).num_rows == 0
    assert FLIGHTS.decode(b"\n\n", "ndjson") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flight", "1400"),
        ("flight", 1400.0),
        ("flight", True),
        ("flight", None),
        ("flight", 2**63),
        ("flight", -(2**63) - 1),
        ("flight", 10**40),
        ("delay", "1"),
        ("delay", float("nan")),
        ("delay", float("inf")),
        ("late", 1),
        ("carrier", 1),
        ("at", "2013-01-01"),
        ("at", 5),
        ("at", "0001-01-01T00:00:00+01:00"),
        ("at", "9999-12-31T23:59:59-01:00"),
        ("cabin", "hold"),
        ("gate", "C"),
        ("seats", -1),
        ("seats", 901),
        ("code", "jfk"),
        ("code", "ABCDE"),
        ("raw", "!"),
        ("leg.origin", 1),
        ("legs[1].minutes", "x"),
        ("marks[0]", 2**64),
        ("carrier", "\ud800"),
        ("carrier", "\udfff"),
    ],
)
def test_a_value_that_does_not_fit_is_named(field: str, value: Any) -> None:
    bad = dict(GOOD)
    match field:
        case "leg.origin":
            bad["leg"] = {"origin": value}
        case "legs[1].minutes":
            bad["legs"] = [{"origin": "a"}, {"origin": "b", "minutes": value}]
        case "marks[0]":
            bad["marks"] = [value]
        case _:
            bad[field] = value
    with pytest.raises(InvalidEvent) as caught:
        FLIGHTS.decode(body(GOOD, GOOD, bad, GOOD))
    assert (caught.value.row, caught.value.field) == (2, field)
    lines = b"\n".join(json.dumps(e).encode() for e in (GOOD, bad, GOOD))
    with pytest.raises(InvalidEvent) as caught:
        FLIGHTS.decode(lines, "ndjson")
    assert (caught.value.row, caught.value.field) == (1, field)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidEvent) as caught:
        FLIGHTS.decode(body(GOOD, {"flight": 1}))
    assert (caught.value.row, caught.value.field) == (1, "carrier")


@pytest.mark.parametrize("place", ['"carrier": "\xff"', '"unknown": "\xff"', '"\xff": 1'])
@pytest.mark.parametrize("decoder", [FLIGHTS, TEXTS])
def test_bytes_that_are_not_utf8_are_refused(place: str, decoder: Decoder) -> None:
    text = b"[" + json.dumps(GOOD).encode() + b',{"flight": 1, ' + place.encode("latin-1") + b"}]"
    with pytest.raises(InvalidEvent, match="not UTF-8") as caught:
        decoder.decode(text)
    assert caught.value.row == 1


def test_the_byte_of_broken_json_names_its_row_and_field() -> None:
    with pytest.raises(InvalidEvent) as caught:
        FLIGHTS.decode(b'[{"flight":1,"carrier":"],{","delay":1,"leg":{"origin":"]"}},{"flight":1,"carrier":nope}]')
    assert (caught.value.row, caught.value.field) == (1, "carrier")


def test_two_values_a_line_are_refused() -> None:
    one = json.dumps(GOOD).encode()
    with pytest.raises(InvalidEvent, match="trailing"):
        FLIGHTS.decode(one + b" " + one, "ndjson")


def test_the_last_of_two_equal_keys_counts() -> None:
    text = json.dumps(GOOD)[:-1].encode() + b',"flight":7}'
    assert FLIGHTS.columns(FLIGHTS.decode(text)).column("flight").to_pylist() == [7]


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize("levels", [65, 900, 100_000])
def test_nesting_beyond_the_limit_is_refused(levels: int) -> None:
    deep = json.dumps(GOOD)[:-1].encode() + b',"unknown":' + nested(levels) + b"}"
    for decoder, text in ((FLIGHTS, deep), (FLIGHTS, nested(levels)), (TEXTS, b'{"a":' + nested(levels) + b"}")):
        with pytest.raises(InvalidEvent):
            decoder.decode(text)
        with pytest.raises(InvalidEvent):
            decoder.decode(text, "ndjson")


def test_nesting_at_the_limit_is_accepted_whatever_strings_hold() -> None:
    text = b'{"a":"' + b"[{" * 100 + b'\\"[","b":' + nested(63) + b"}"
    assert TEXTS.decode(text) and TEXTS.decode(b"[" + text + b"," + text + b"]")
    with pytest.raises(InvalidEvent, match="64 levels") as caught:
        TEXTS.decode(b"[1," + b'{"b":' + nested(64) + b"}]")
    assert caught.value.row == 1


@pytest.mark.parametrize("more", [b'"",', b"1,", b'"' + b"\\\\" * 100 + b'",'])
def test_a_fault_far_into_a_body_is_told_by_its_byte_and_soon(more: bytes) -> None:
    """The doors' loop waits meanwhile: looking through all 32 MiB for the field took 15 s."""
    text = b'{"a":[' + more * ((1 << 25) // len(more)) + b"?"
    began = time.process_time()
    with pytest.raises(InvalidEvent, match=f"at byte {len(text) - 1} of the body") as caught:
        FLIGHTS.decode(text)
    assert time.process_time() - began < 3 and caught.value.field is None


def test_nesting_that_no_reader_can_follow_is_told_by_row_and_field() -> None:
    with pytest.raises(InvalidEvent, match="row 1, field 'b': nested too deep") as caught:
        TEXTS.decode(b'[{"b":[[]]},{"a":1,"b":' + nested(100_000) + b"}]")
    assert (caught.value.row, caught.value.field) == (1, "b")


def test_the_depth_test_notices_a_missing_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "exceeds", lambda body, limit: False)
    assert TEXTS.decode(nested(65), "one")


def test_an_event_over_its_limit_is_named() -> None:
    decoder = Decoder(JSON_SCHEMA, event_limit=100)
    assert len(decoder.decode(json.dumps(["x" * 50] * 10).encode())) == 10
    with pytest.raises(TooLarge, match="row 1"):
        decoder.decode(json.dumps(["x", "x" * 100]).encode())


@pytest.mark.parametrize("text", ["NaN", "1e999", '"\\ud800"', "", "{", "[1,]", "01", '{"a":1}}', "'a'"])
def test_a_topic_without_a_type_takes_strict_json(text: str) -> None:
    with pytest.raises(InvalidEvent):
        TEXTS.decode(text.encode())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=5))
@settings(max_examples=200)
def test_texts_hold_what_was_sent(values: list[Any]) -> None:
    texts = TEXTS.decode(json.dumps(values).encode())
    assert [json.loads(text) for text in texts] == values
    assert TEXTS.columns(texts).column(0).to_pylist() == texts


NUMBERS = """
    12345678901234567890123 169299987.35345112 12345678901234567.89 0.1234567890123456789 1.10 1E5 -0 1e-400 1e308
""".split()


def kept(text: str) -> str:
    (row,) = TEXTS.decode(text.encode(), "one")
    return str(row)


@pytest.mark.parametrize("number", [*NUMBERS, "1" + "0" * 400, "1" + "0" * 400 + "e-399", "0." + "0" * 400 + "1e705"])
def test_a_number_without_a_type_keeps_every_digit(number: str) -> None:
    assert kept(f'{{ "a" : [ {number} ] }}') == f'{{"a":[{number}]}}', "it is another number, or another text"
    assert TEXTS.decode(f"{number}\n {number} \n".encode(), "ndjson") == [number, number]
    assert TEXTS.decode_each([number.encode(), b"1"]) == [number, "1"]


def test_the_digits_test_notices_a_number_that_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_kept", lambda rows: [json.dumps(json.loads(bytes(row))) for row in rows])
    with pytest.raises(AssertionError, match="it is another number"):
        test_a_number_without_a_type_keeps_every_digit("169299987.35345112000")


@pytest.mark.parametrize("number", ["1e309", "-1.8e308", "1" + "0" * 400 + ".5", "1" * 4_301, "10e308"])
def test_a_number_that_no_reader_could_hold_is_refused_with_its_row(number: str) -> None:
    good = ["1e308", f'"{number}"', f'"\\"{number}"', '"\\\\"']
    assert TEXTS.decode(f"[{','.join(good)}]".encode()) == good
    with pytest.raises(InvalidEvent, match="row 4: the number") as caught:
        TEXTS.decode(f'[{",".join(good)},{{"a":{number}}}]'.encode())
    assert caught.value.row == 4


@pytest.mark.parametrize("text", ["1." * 300_000, "1" * 600_000, "e99" * 200_000, '\\"' * 300_000])
def test_numbers_are_looked_for_in_linear_time(text: str) -> None:
    began = time.process_time()
    TEXTS.decode(json.dumps(text).encode(), "one")
    assert time.process_time() - began < 1


flights = st.fixed_dictionaries(
    {
        "flight": st.integers(-(2**63), 2**63 - 1),
        "carrier": st.text(),
        "delay": st.floats(allow_nan=False, allow_infinity=False),
        "leg": st.fixed_dictionaries({"origin": st.text()}, optional={"minutes": st.none() | st.integers(0, 9)}),
    },
    optional={
        "tailnum": st.none() | st.text(),
        "seats": st.integers(0, 900),
        "marks": st.lists(st.integers(-(2**63), 2**63 - 1)),
    },
)


@given(st.lists(flights, max_size=4))
@settings(max_examples=100)
def test_columns_hold_what_was_sent(events: list[dict[str, Any]]) -> None:
    rows = FLIGHTS.columns(FLIGHTS.decode(json.dumps(events).encode())).to_pylist()
    for row, event in zip(rows, events, strict=True):
        event["leg"].setdefault("minutes", None)
        assert {name: row[name] for name in event} == event


fragments = st.sampled_from([json.dumps(GOOD).encode(), b"[", b"]", b"{", b"}", b",", b"\n", b'"', b"\\ud800", b"\xff"])


@given(
    st.binary(max_size=60) | st.lists(fragments, max_size=8).map(b"".join), st.sampled_from(["json", "ndjson", "one"])
)
@settings(max_examples=600)
def test_any_bytes_are_rows_or_an_invalid_event(text: bytes, kind: module.Kind) -> None:
    for decoder in (FLIGHTS, TEXTS):
        try:
            decoder.columns(decoder.decode(text, kind)).validate(full=True)
        except InvalidEvent:
            pass


def test_many_rows_are_one_batch() -> None:
    rows = FLIGHTS.decode(body(*[GOOD] * 2_500))
    assert FLIGHTS.columns(rows).num_rows == 2_500


def test_integers_beyond_64_bits_are_why_bounds_are_added() -> None:
    """The parser itself lets them through: without the bound they would break the whole group's columns."""
    assert msgspec.json.decode(b"9223372036854775808", type=int) == 2**63


# -- fields that the type lacks -----------------------------------------------


@pytest.mark.parametrize(
    ("event", "field", "hint"),
    [
        (b'{"x": 1.0, "amuont": 2}', "amuont", "; did you mean 'amount'?"),
        (b'{"x": 1.0, "inner": {"deep": 1, "depe": 2}}', "inner.depe", "; did you mean 'deep'?"),
        (b'{"x": 1.0, "many": [{"deep": 1, "other": 2}]}', "many[0].other", ""),
    ],
)
@pytest.mark.parametrize("form", ["[%b, %b]", "%b\n%b\n", "each"])
def test_fields_that_the_type_lacks_are_refused_where_the_topic_says_so(
    event: bytes, field: str, hint: str, form: str
) -> None:
    inner = pa.struct([pa.field("deep", pa.int64())])
    schema = pa.schema([("x", pa.float64()), ("amount", pa.float64()), ("inner", inner), ("many", pa.list_(inner))])
    schema = pa.schema([with_rules(each, {"default": None}) for each in schema])
    good = b'{"x": 1.0}'

    def decode(decoder: Decoder) -> Any:
        if form == "each":
            return decoder.decode_each([good, event])
        return decoder.decode(form.encode() % (good, event), "ndjson" if "\n" in form else "json")

    assert len(decode(Decoder(schema))) == 2
    with pytest.raises(InvalidEvent) as caught:
        decode(Decoder(schema, unknown="reject"))
    assert (caught.value.row, caught.value.field) == (1, field)
    assert caught.value.reason == f"the topic's type has no such field{hint}"
