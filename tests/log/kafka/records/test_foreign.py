"""Records that are not ours: each is read, or rejected at its place with a reason, and those around it are read."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.log.kafka.records.samples import LIMIT, SCHEMA, TIME, batch, plain, read, reasons, received

from penstock.batch import JSON_SCHEMA, TopicSpec, Write
from penstock.errors import RowsTooLarge
from penstock.log.kafka.records.arrow import ArrowRecords, rows_of
from penstock.log.kafka.records.interface import ORIGIN, Encoding, Headers, ReceivedRecord
from penstock.log.kafka.records.json import PARENT, JsonRecords
from penstock.log.kafka.records.positions import ROWS

SPEC = TopicSpec("t", SCHEMA, 1)
GOOD = {"name": "a", "n": 1}
VALUE = b'{"name":"a","n":1}'
CE: Headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"k")]


def arrow() -> ArrowRecords:
    return ArrowRecords(LIMIT)


def json() -> JsonRecords:
    return JsonRecords(LIMIT)


def among_good(encoding: Encoding, value: bytes | None, headers: Headers | None = None, spec: TopicSpec = SPEC) -> str:
    """The reason for which it is rejected, standing between two that are read; empty when it is read."""
    (good,) = received(encoding.encode(spec, Write("t", 0, batch([GOOD]))), 0)
    last = ReceivedRecord(2, TIME, good.value, good.headers, good.key)
    batches = read(encoding, spec, [good, ReceivedRecord(1, TIME, value, headers or []), last])
    rejected = [r for each in batches for r in each.rejected]
    position = encoding.numbering.position(1)
    if not rejected:
        return ""
    assert [r.position for r in rejected] == [position] and rejected[0].payload == (value or b"")
    through = [each.through for each in batches]
    assert through == sorted(through) and through[-1] == encoding.numbering.position(2)
    assert [r["n"] for r in plain(batches)] == [1, 1]
    return rejected[0].reason


# -- JSON ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        pytest.param(VALUE, [], id="no headers"),
        pytest.param(VALUE, [("trace", b"\xff\x00"), ("empty", b"")], id="headers of others"),
        pytest.param(VALUE, CE, id="binary mode"),
        pytest.param(VALUE, [*CE, ("content-type", b"application/json; charset=utf-8")], id="a charset"),
        pytest.param(
            b'{"specversion":"1.0","id":"7","source":"/s","type":"k","data":{"name":"b","n":2}}',
            [("content-type", b"application/cloudevents+json; charset=UTF-8")],
            id="structured mode",
        ),
        pytest.param(b'{"n":1,"name":"a","more":[1]}', [], id="a field that is not declared"),
        pytest.param(b' {"name" : "a",\n"n":1}\n', [], id="white space"),
    ],
)
def test_json_of_others_is_read(value: bytes, headers: Headers) -> None:
    assert among_good(json(), value, headers) == ""


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        pytest.param(None, [], id="tombstone"),
        pytest.param(b"", [], id="empty"),
        pytest.param(b'{"name":"a",', [], id="broken"),
        pytest.param(b"\xff\xfe\x00", [], id="not UTF-8"),
        pytest.param(b'"text"', [], id="text"),
        pytest.param(b"[" + VALUE + b"]", [], id="a list"),
        pytest.param(VALUE + VALUE, [], id="two in one"),
        pytest.param(VALUE + b"\n" + VALUE, [], id="lines"),
        pytest.param(b"[" * 200_000, [], id="deep"),
        pytest.param(b'{"name":"a","n":"1"}', [], id="another type"),
        pytest.param(b'{"name":"a","n":9223372036854775808}', [], id="beyond 64 bits"),
        pytest.param(b'{"name":null,"n":1}', [], id="null for what is required"),
        pytest.param(b'{"n":1}', [], id="a field is missing"),
        pytest.param(VALUE, [*CE[:2]], id="binary mode, incomplete"),
        pytest.param(VALUE, [("ce_specversion", b"0.3"), *CE[1:]], id="another version of CloudEvents"),
        pytest.param(VALUE, [*CE, ("ce_subject", b"\xff")], id="a header that is not UTF-8"),
        pytest.param(VALUE, [*CE, ("ce_time", b"yesterday")], id="no time"),
        pytest.param(VALUE, [*CE, ("content-type", b"text/xml")], id="another content type"),
        pytest.param(VALUE, [("content-type", b"application/cloudevents+json")], id="structured mode, without data"),
        pytest.param(VALUE, [("content-type", b"application/cloudevents-batch+json")], id="a batch of CloudEvents"),
        pytest.param(VALUE, [*CE, (ORIGIN, b"{}")], id="an origin that is none"),
        pytest.param(VALUE, [*CE, (ORIGIN, b"\xff")], id="an origin that is not UTF-8"),
        pytest.param(VALUE, [*CE, (PARENT, b"1/2")], id="a parent that is none"),
        pytest.param(VALUE, [*CE, (PARENT, b"99999999999/1/0")], id="a parent's partition beyond 32 bits"),
        pytest.param(VALUE, [*CE, (PARENT, b"1/99999999999999999999/0")], id="a parent beyond 64 bits"),
    ],
)
def test_json_that_is_not_the_topics_is_rejected(value: bytes | None, headers: Headers) -> None:
    assert among_good(json(), value, headers).startswith("not an event of this topic: ")


def test_the_key_of_a_record_need_not_be_text() -> None:
    (good,) = received(json().encode(SPEC, Write("t", 0, batch([GOOD]))))
    keys = [(200).to_bytes(8, "big"), "Köln".encode(), None]
    (found,) = read(
        json(), SPEC, [ReceivedRecord(n, TIME, good.value, good.headers, key) for n, key in enumerate(keys)]
    )
    assert not reasons([found])
    assert found.rows.column("_key").to_pylist() == ["\0\0\0\0\0\0\0\\xc8", "Köln", None]


_HEADER = st.tuples(
    st.sampled_from(["ce_specversion", "ce_id", "ce_source", "ce_time", "ce_x", "content-type", ORIGIN, PARENT, "x"]),
    st.binary(max_size=20) | st.sampled_from([b"1.0", b"application/json", b"application/cloudevents+json", b"0/1/2"]),
)
_VALUE = (
    st.none()
    | st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "n", "x", "tags"]), inner),
    ).map(lambda value: msgspec.json.encode(value))
)


@given(_VALUE, st.lists(_HEADER, max_size=5), st.booleans())
def test_whatever_stands_in_a_record_the_others_are_read(value: bytes | None, headers: Headers, untyped: bool) -> None:
    spec = TopicSpec("t", JSON_SCHEMA if untyped else SCHEMA, 1)
    good = ReceivedRecord(0, TIME, VALUE, [])
    batches = read(json(), spec, [good, ReceivedRecord(1, TIME, value, headers), ReceivedRecord(2, TIME, VALUE, [])])
    assert sum(len(each) + len(each.rejected) for each in batches) == 3
    assert {0, 2} <= {int(p) for each in batches for p in each.positions}


# -- Arrow --------------------------------------------------------------------


def stream(*batches: pa.RecordBatch, options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for each in batches:
            writer.write_batch(each)
    return sink.getvalue()


@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_a_stream_of_several_batches_is_read(codec: str | None) -> None:
    value = stream(batch([GOOD]), batch([GOOD, GOOD]), options=pa.ipc.IpcWriteOptions(compression=codec))
    assert rows_of(value) == 3
    batches = read(arrow(), SPEC, [ReceivedRecord(5, TIME, value, [])], most=2)
    assert [each.positions.tolist() for each in batches] == [[5 * ROWS, 5 * ROWS + 1], [5 * ROWS + 2]]


def test_a_stream_without_rows_is_passed_over() -> None:
    assert read(arrow(), SPEC, [ReceivedRecord(0, TIME, stream(batch([])), [])]) == []


def _dictionary() -> pa.RecordBatch:
    names = pa.array(["a"]).dictionary_encode()
    return pa.record_batch({"name": names, "n": pa.array([1], pa.int64())})


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        pytest.param(None, [], id="tombstone"),
        pytest.param(b"", [], id="empty"),
        pytest.param(VALUE, [], id="JSON"),
        pytest.param(stream(batch([GOOD] * 9))[:-120], [], id="cut"),
        pytest.param(stream(batch([GOOD]))[:50], [], id="cut within the schema"),
        pytest.param(stream(_dictionary()), [], id="a dictionary column"),
        pytest.param(stream(pa.record_batch({"other": pa.array([1])})), [], id="another schema"),
        pytest.param(stream(batch([GOOD]).drop_columns(["n"])), [], id="a column is missing"),
        pytest.param(stream(batch([GOOD, {"name": None, "n": 2}])), [], id="a null where none may be"),
        pytest.param(
            stream(pa.record_batch([pa.array([1]), pa.array([2])], names=["n", "n"])), [], id="two columns of a name"
        ),
        pytest.param(stream(batch([GOOD])), [(ORIGIN, b"[]")], id="an origin that is none"),
        pytest.param(stream(batch([GOOD])), [(ORIGIN, b"\xff")], id="an origin that is not UTF-8"),
    ],
)
def test_arrow_that_is_not_the_topics_is_rejected(value: bytes | None, headers: Headers) -> None:
    assert among_good(arrow(), value, headers).startswith("not the Arrow rows of this topic: ")


def test_more_rows_than_have_a_position_are_rejected() -> None:
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    many = pa.record_batch([pa.array([1] * (ROWS + 1), pa.int64())], schema=schema)
    (reason,) = reasons(read(arrow(), TopicSpec("t", schema, 1), [ReceivedRecord(0, TIME, stream(many), [])]))
    assert f"{ROWS + 1} rows in one record" in reason


def test_a_compressed_record_that_says_it_is_huge_is_rejected() -> None:
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    rows = pa.record_batch([pa.array([7] * 1_000, pa.int64())], schema=schema)
    value = stream(rows, options=pa.ipc.IpcWriteOptions(compression="zstd"))
    said = (8_000).to_bytes(8, "little")
    assert said in value
    huge = value.replace(said, (1 << 60).to_bytes(8, "little"))
    (reason,) = reasons(read(arrow(), TopicSpec("t", schema, 1), [ReceivedRecord(0, TIME, huge, [])]))
    assert reason


@given(st.data())
def test_a_stream_with_bytes_changed_is_read_or_rejected(data: st.DataObject) -> None:
    """Also behind a schema that is known, where only the batch itself is looked at."""
    encoding = arrow()
    (good,) = received(encoding.encode(SPEC, Write("t", 0, batch([GOOD] * 3))))
    value = bytearray(good.value or b"")
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    records = [good, ReceivedRecord(1, TIME, bytes(value), []), ReceivedRecord(2, TIME, good.value, good.headers)]
    batches = read(encoding, SPEC, records)
    assert sum(int(p) >> 16 != 1 for each in batches for p in each.positions) == 6


@given(st.binary(max_size=200))
@example(b"\xff\xff\xff\xff\xff\xff\xff\x7f")
def test_bytes_that_are_no_stream_are_rejected(value: bytes) -> None:
    assert sum(len(each.rejected) for each in read(arrow(), SPEC, [ReceivedRecord(0, TIME, value, [])])) <= 1


# -- too large ----------------------------------------------------------------


@pytest.mark.parametrize("encoding", [arrow(), json()], ids=["arrow", "json"])
def test_events_too_large_for_a_record_are_named(encoding: Encoding) -> None:
    large = {"name": "x" * LIMIT, "n": 2}
    with pytest.raises(RowsTooLarge, match="for topic 't' does not fit a record") as error:
        encoding.encode(SPEC, Write("t", 0, batch([GOOD, large, GOOD, GOOD, large])))
    assert dict(error.value.rows) == {0: [1, 4]}


HALF = "x" * (LIMIT // 2)


@pytest.mark.parametrize(
    "around",
    [
        {"_key": HALF},
        {"_id": HALF},
        {"_subject": HALF},
        {"_extensions": {"more": HALF}},
        {"_extensions": {f"x{n}": "" for n in range(40_000)}},  # the names, and what each header takes
    ],
    ids=lambda around: next(iter(around)),
)
def test_json_with_half_of_a_record_beside_its_data(around: dict[str, Any]) -> None:
    fits = {"name": "a", "n": 1, **around}
    encoding, spec = json(), replace(SPEC, key="name")
    assert len(encoding.encode(spec, Write("t", 0, batch([fits])))) == 1
    with pytest.raises(RowsTooLarge) as error:
        encoding.encode(spec, Write("t", 0, batch([fits, {**fits, "name": HALF}])))
    assert dict(error.value.rows) == {0: [1]}


def test_a_batch_too_large_for_one_record_becomes_several() -> None:
    write = Write("t", 0, batch([{"name": f"{n:04}" * 25_000, "n": n} for n in range(30)]))
    records = received(arrow().encode(SPEC, write))
    assert len(records) > 1 and all(len(r.value or b"") <= LIMIT for r in records)
    assert [r["n"] for r in plain(read(arrow(), SPEC, records))] == list(range(30))
