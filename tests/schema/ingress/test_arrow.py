from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.memory import traced
from tests.schema.flights import GOOD, Flight

from penstock.batch import JSON_SCHEMA
from penstock.errors import InvalidEvent, PenstockError, TooLarge, UnsupportedMediaType
from penstock.schema import casts
from penstock.schema.cloudevents import decode_events
from penstock.schema.decode import Decoder
from penstock.schema.ingress import arrow
from penstock.schema.ingress.arrow import from_arrow
from penstock.schema.ingress.ignored import Ignored
from penstock.schema.types import schema_of

SCHEMA = schema_of(Flight)
DECODER = Decoder(SCHEMA)
ROWS = DECODER.columns(DECODER.convert([GOOD, GOOD | {"flight": 2, "legs": [{"origin": "a"}], "marks": [1, 2]}, GOOD]))


def stream(*batches: pa.RecordBatch, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


BODY = stream(ROWS, ROWS)


def replaced(name: str, column: pa.Array, field: pa.Field | None = None) -> bytes:
    return stream(ROWS.set_column(ROWS.schema.get_field_index(name), field or name, column))


def test_rows_come_through() -> None:
    rows = from_arrow(BODY, SCHEMA)
    assert rows.equals(pa.concat_batches([ROWS, ROWS])) and rows.schema.equals(SCHEMA, check_metadata=True)
    assert from_arrow(stream(ROWS.slice(0, 0)), SCHEMA).num_rows == 0


@pytest.mark.parametrize("categorical", [False, True])
def test_a_polars_frame_comes_through(categorical: bool) -> None:
    frame = pl.from_arrow(ROWS)
    assert isinstance(frame, pl.DataFrame)
    if categorical:
        frame = frame.with_columns(pl.col("carrier").cast(pl.Categorical))
    out = io.BytesIO()
    frame.drop("seats").write_ipc_stream(out)
    assert from_arrow(out.getvalue(), SCHEMA).equals(ROWS)


def test_unknown_columns_are_ignored_and_the_envelopes_refused() -> None:
    assert from_arrow(stream(ROWS.append_column("more", pa.array([1, 2, 3]))), SCHEMA).equals(ROWS)
    with pytest.raises(InvalidEvent, match="'_parent'"):
        from_arrow(stream(ROWS.append_column("_parent", pa.array([1, 2, 3]))), SCHEMA)


@pytest.mark.parametrize(
    ("name", "column", "row"),
    [
        ("flight", pa.array(["a", "b", "c"]), None),
        ("flight", pa.array([1, None, 2]), 1),
        ("flight", pa.array([1, 2, 2**63], pa.uint64()), 2),
        ("delay", pa.array([1.0, 2.0, float("nan")]), 2),
        ("delay", pa.array([1.0, float("-inf"), 1.0]), 1),
        ("seats", pa.array([1, -1, 1]), 1),
        ("seats", pa.array([1, 1, 901]), 2),
        ("cabin", pa.array(["first", "hold", "first"]), 1),
        ("gate", pa.array([None, "C", "A"]), 1),
        ("code", pa.array(["A", "b", "C"]), 1),
        ("code", pa.array(["A", "B", "ABCDE"]), 2),
        ("at", pa.array([0, 2**60, 0], pa.timestamp("us", tz="UTC")), 1),
        ("marks", pa.array([[1], [2, None], []]), 1),
    ],
)
def test_a_value_the_json_door_would_refuse_is_refused(name: str, column: pa.Array, row: int | None) -> None:
    with pytest.raises(InvalidEvent) as caught:
        from_arrow(replaced(name, column), SCHEMA)
    assert caught.value.row == row
    assert (caught.value.field or "").startswith(name)


def test_the_values_test_notices_a_missing_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "check_rows", lambda rows, schema: None)
    assert from_arrow(replaced("seats", pa.array([1, -1, 1])), SCHEMA).num_rows == 3


def test_nested_values_name_their_row() -> None:
    legs = pa.array([[], [], [{"origin": "a"}, {"origin": None}]], pa.list_(pa.struct([("origin", pa.string())])))
    body = replaced("legs", legs.cast(pa.list_(pa.struct([("origin", pa.string()), ("minutes", pa.int64())]))))
    with pytest.raises(InvalidEvent, match=r"row 2, field 'legs\[\].origin'"):
        from_arrow(body, SCHEMA)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidEvent, match="'carrier': missing"):
        from_arrow(stream(ROWS.drop_columns(["carrier"])), SCHEMA)


def test_text_that_is_not_utf8_is_refused() -> None:
    bad = pa.StringArray.from_buffers(3, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"a\xffb"))
    with pytest.raises(InvalidEvent, match="UTF8"):
        from_arrow(replaced("carrier", bad), SCHEMA)


def test_a_stream_cut_anywhere_is_refused() -> None:
    for length in range(len(BODY)):
        with pytest.raises(InvalidEvent):
            from_arrow(BODY[:length], SCHEMA)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_buffers_are_refused_before_they_are_unpacked(codec: Literal["zstd", "lz4"]) -> None:
    with pytest.raises(UnsupportedMediaType, match="compressed"):
        from_arrow(stream(ROWS, compression=codec), SCHEMA)


def test_what_points_many_times_at_one_value_is_measured_first() -> None:
    big = pa.array(["x" * 1_000_000])
    schema = pa.schema([pa.field("s", pa.string())])
    for column in (
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000, np.int32)), big),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000, np.int32)), big.cast(pa.string_view())),
        pa.array(["y" * 100] * 400_000, pa.string_view()),
    ):
        with pytest.raises(TooLarge, match="bytes of values"):
            from_arrow(stream(pa.RecordBatch.from_arrays([column], ["s"])), schema, row_limit=500_000)


def test_rows_are_counted_before_anything_is_made_of_them() -> None:
    schema = pa.schema([pa.field("s", pa.string())])
    with pytest.raises(TooLarge, match="1000000 events"):
        from_arrow(stream(pa.RecordBatch.from_arrays([pa.nulls(1_000_000)], ["s"])), schema)


def test_a_topic_without_a_type_takes_no_arrow() -> None:
    with pytest.raises(UnsupportedMediaType):
        from_arrow(BODY, JSON_SCHEMA)


@given(st.lists(st.none() | st.integers(-(2**62), 2**62), min_size=1, max_size=4))
@settings(max_examples=200)
def test_a_time_is_rounded_by_every_door_alike(instants: list[int | None]) -> None:
    """Nanoseconds since 1970: as Arrow has them, as JSON writes them, and as an attribute of a CloudEvent."""
    schema = pa.schema([pa.field("at", pa.timestamp("us", tz="UTC"))])
    given = pa.array(instants, pa.timestamp("ns", tz="UTC"))
    columns = from_arrow(stream(pa.RecordBatch.from_arrays([given], ["at"])), schema).column(0)
    texts = [None if text is None else text.replace(" ", "T") for text in given.cast(pa.string()).to_pylist()]
    decoder = Decoder(schema)
    rows = decoder.columns(decoder.decode(json.dumps([{"at": text} for text in texts]).encode()))
    assert columns.equals(rows.column(0)), "the doors disagree"
    clouds = [{"id": "1", "source": "/s", "type": "t", "specversion": "1.0", "time": t} for t in texts if t is not None]
    _, envelope = decode_events(json.dumps(clouds).encode(), Decoder(JSON_SCHEMA), many=True)
    assert envelope.get("_time", []) == [at for at in columns.to_pylist() if at is not None], "the attribute disagrees"


def test_the_rounding_test_notices_a_time_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casts, "_time", lambda column, to: column.cast(pa.timestamp("us", tz="UTC"), safe=False))
    with pytest.raises(AssertionError, match="the doors disagree"):
        test_a_time_is_rounded_by_every_door_alike()


# -- columns that take more than they seem to ----------------------------------

LISTS = pa.schema([pa.field("v", pa.list_(pa.field("item", pa.float64(), nullable=False)), nullable=False)])
NESTED = pa.schema([pa.field("v", pa.list_(pa.list_(pa.string())))])
BOOLS = pa.schema([pa.field("v", pa.list_(pa.bool_()))])
PARTS = pa.schema([pa.field("v", pa.struct([("a", pa.list_(pa.string()))]))])
MANY = 40_000


def views(kind: Any, rows: int, values: pa.Array) -> pa.Array:
    """Every list has all of the values."""
    whole = np.full(rows, len(values), np.int32)
    return kind.from_arrays(pa.array(whole * 0, pa.int32()), pa.array(whole), values)


def lists(offsets: list[int], values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def coded(values: pa.Array, rows: int = MANY) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), values)


NUMBERS = pa.array(np.arange(2_000.0))
COSTLY: dict[str, tuple[pa.Array, pa.Schema]] = {
    "a fixed number of nulls": (pa.FixedSizeListArray.from_arrays(pa.nulls(MANY * 2_000), 2_000), LISTS),
    "lists of nulls": (lists([0, 2**31 - 1], pa.nulls(2**31 - 1)), LISTS),
    "overlapping views": (views(pa.ListViewArray, MANY, NUMBERS), LISTS),
    "overlapping views of texts": (views(pa.ListViewArray, MANY, lists([0, 2], pa.array(["x" * 500] * 2))), NESTED),
    "a dictionary of lists": (coded(lists([0, 2_000], NUMBERS)), LISTS),
    "a dictionary of views": (coded(views(pa.ListViewArray, 1, NUMBERS)), LISTS),
    "views of a dictionary": (
        views(pa.ListViewArray, 1_000, coded(lists([0, 1], pa.array(["x" * 90_000])), 100)),
        NESTED,
    ),
    "fixed lists of fixed lists": (
        pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(pa.nulls(2**30), 2**15), 2**15),
        NESTED,
    ),
    "fixed lists of nothing": (
        lists([0, 2**31 - 1], pa.Array.from_buffers(pa.list_(pa.null(), 0), 2**31 - 1, [None], children=[pa.nulls(0)])),
        NESTED,
    ),
    "a list in a struct": (pa.StructArray.from_arrays([coded(lists([0, 1], pa.array(["x" * 9_000])))], ["a"]), PARTS),
    "bits": (lists([0, 2**27], pa.Array.from_buffers(pa.bool_(), 2**27, [None, pa.py_buffer(bytes(2**24))])), BOOLS),
}


POOLS: list[pa.MemoryPool] = []  # kept: what an error's frames hold is given back to its pool by the collector, later


@contextmanager
def allocated() -> Iterator[Callable[[], int]]:
    """Bytes that were held at once, of Arrow's and of Python's."""
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    try:
        with traced() as peak:
            yield lambda: pool.max_memory() + peak()
    finally:
        pa.set_memory_pool(before)


@pytest.mark.parametrize("name", COSTLY)
def test_a_column_is_measured_before_it_is_spelled_out(name: str) -> None:
    column, schema = COSTLY[name]
    body = stream(pa.RecordBatch.from_arrays([column], ["v"]))
    assert len(body) < 17 << 20
    with allocated() as bytes_held, pytest.raises(TooLarge, match="bytes of values in one request"):
        from_arrow(body, schema)
    assert bytes_held() < 40 << 20, "it was spelled out"


def test_the_measuring_test_notices_that_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "expanded", lambda column, to, limit: 0)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_column_is_measured_before_it_is_spelled_out("a dictionary of lists")


SMALL = [[1.0], [], [2.0, 3.0], [1.0, 2.0]]


@pytest.mark.parametrize("kind", [pa.list_view, pa.large_list_view, pa.large_list, pa.list_])
def test_a_small_list_of_any_layout_is_taken(kind: Any) -> None:
    body = stream(pa.RecordBatch.from_arrays([pa.array(SMALL, kind(pa.float32()))], ["v"]))
    rows = from_arrow(body, LISTS)
    rows.validate(full=True)
    assert rows.column(0).to_pylist() == SMALL


def test_views_in_any_order_and_nulls_are_taken() -> None:
    starts, sizes = pa.array([2, 0, 1, 0], pa.int32()), pa.array([2, 1, 2, 0], pa.int32())
    values = pa.array([1.0, 2.0, 3.0, 4.0])
    body = stream(pa.RecordBatch.from_arrays([pa.ListViewArray.from_arrays(starts, sizes, values)], ["v"]))
    assert from_arrow(body, LISTS).column(0).to_pylist() == [[3.0, 4.0], [1.0], [2.0, 3.0], []]
    nulls = pa.array([["a"], None, []], pa.list_view(pa.string_view()))
    outer = pa.FixedSizeListArray.from_arrays(nulls, 3)
    assert from_arrow(stream(pa.RecordBatch.from_arrays([outer], ["v"])), NESTED).to_pylist() == [
        {"v": [["a"], None, []]}
    ]


def test_columns_that_the_topic_lacks_are_not_even_read() -> None:
    wide = pa.StructArray.from_arrays([pa.nulls(3)] * 10_000, [str(n) for n in range(10_000)])
    odd = pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), pa.array([1]))
    more = ROWS.append_column("wide", wide).append_column("odd", odd)
    with allocated() as bytes_held:
        assert from_arrow(stream(more), SCHEMA).equals(ROWS)
    assert bytes_held() < 40 << 20
    with pytest.raises(InvalidEvent, match="does not fit double"):
        from_arrow(replaced("delay", odd), SCHEMA)


@pytest.mark.parametrize("fields", [1, 200_000])
def test_parts_without_end_are_refused(fields: int) -> None:
    part = pa.RecordBatch.from_arrays([pa.nulls(0)] * fields, [f"column-{n}" for n in range(fields)])
    with pytest.raises(TooLarge, match=r"record batches|a schema of"):
        from_arrow(stream(*[part] * (1 if fields > 1 else 1_025)), LISTS)


def test_offsets_of_lists_that_are_not_there_end_nobody() -> None:
    """Arrow ends the process when it flattens a column without rows whose first offset lies behind its values."""
    offsets, texts = pa.py_buffer(b"\6\0\0\0"), pa.array([], pa.string())
    none = pa.Array.from_buffers(pa.list_(pa.string()), 0, [None, offsets], children=[texts])
    empty = pa.ListArray.from_arrays(pa.array([0, 0, 0], pa.int32()), none)
    assert from_arrow(stream(pa.RecordBatch.from_arrays([empty], ["v"])), NESTED).to_pylist() == [{"v": []}] * 2
    texts_alone = pa.schema([pa.field("v", pa.list_(pa.string()))])
    assert from_arrow(stream(pa.RecordBatch.from_arrays([none], ["v"])), texts_alone).num_rows == 0
    views = pa.ListViewArray.from_arrays(pa.array([0], pa.int32()), pa.array([0], pa.int32()), none)
    assert from_arrow(stream(pa.RecordBatch.from_arrays([views], ["v"])), NESTED).to_pylist() == [{"v": []}]


@st.composite
def odd_columns(draw: st.DrawFn, depth: int = 3) -> pa.Array:
    """Valid columns of every layout; many of their values are the same few, or none."""
    leaf = st.sampled_from([pa.nulls(2**20), pa.array(["a" * 50, None] * 8), pa.array([True] * 16), NUMBERS])
    if depth == 0 or draw(st.booleans()):
        return draw(leaf)
    inner = draw(odd_columns(depth=depth - 1))
    count, place = len(inner), st.integers(0, len(inner))
    match draw(st.sampled_from(["fixed", "list", "large", "view", "coded", "struct", "runs"])):
        case "fixed":
            size = draw(st.integers(1, count))
            return pa.FixedSizeListArray.from_arrays(inner.slice(0, count // size * size), size)
        case "list" | "large" as kind:
            offsets = sorted(draw(st.lists(place, min_size=2, max_size=9)))
            made = pa.ListArray if kind == "list" else pa.LargeListArray
            return made.from_arrays(pa.array(offsets, pa.int32() if kind == "list" else pa.int64()), inner)
        case "view":
            starts = draw(st.lists(place, min_size=1, max_size=99))
            sizes = [draw(st.integers(0, count - start)) for start in starts]
            return pa.ListViewArray.from_arrays(pa.array(starts, pa.int32()), pa.array(sizes, pa.int32()), inner)
        case "coded" if not pa.types.is_dictionary(inner.type):
            codes = draw(st.lists(st.none() | st.integers(0, count - 1), min_size=1, max_size=99))
            return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), inner)
        case "runs" if not pa.types.is_run_end_encoded(inner.type):
            return pa.RunEndEncodedArray.from_arrays(pa.array([50_000], pa.int32()), inner.slice(0, 1))
        case _:
            return pa.StructArray.from_arrays([inner], ["a"])


@given(odd_columns(), st.sampled_from([LISTS, NESTED, BOOLS, PARTS]))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_column_is_rows_or_an_error_of_ours_in_little_memory(column: pa.Array, schema: pa.Schema) -> None:
    body = stream(pa.RecordBatch.from_arrays([column.slice(0, 50_000)], ["v"]))
    with allocated() as bytes_held:
        try:
            from_arrow(body, schema, size_limit=1 << 20).validate(full=True)
        except PenstockError:
            pass
    assert bytes_held() < 3 * len(body) + (24 << 20)


def outcome(body: bytes) -> None:
    try:
        rows = from_arrow(body, SCHEMA)
    except PenstockError:
        return
    rows.validate(full=True)
    json.dumps(rows.to_pylist(), default=str)


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=200)
def test_any_bytes_are_rows_or_an_error_of_ours(body: bytes, ended: bool) -> None:
    outcome(body + b"\xff\xff\xff\xff\0\0\0\0" * ended)


@given(st.randoms(use_true_random=False))
@settings(max_examples=400)
def test_damaged_streams_are_rows_or_an_error_of_ours(chance: random.Random) -> None:
    damaged = bytearray(BODY)
    for _ in range(chance.randint(1, 4)):
        damaged[chance.randrange(len(damaged) - 8)] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
    outcome(bytes(damaged))


def test_a_struct_written_by_hand_is_checked_too() -> None:
    leg: dict[str, Any] = {"origin": None, "minutes": 1}
    column = pa.array([leg, leg, leg], pa.struct([("origin", pa.string()), ("minutes", pa.int64())]))
    with pytest.raises(InvalidEvent, match=r"leg\.origin"):
        from_arrow(replaced("leg", column), SCHEMA)


def test_columns_that_the_type_lacks_are_refused_where_the_topic_says_so() -> None:
    body = stream(ROWS.append_column("carier", pa.array(["UA"] * 3)))
    ignored = Ignored()
    assert from_arrow(body, SCHEMA, ignored=ignored).equals(ROWS)
    assert [(each["field"], each["count"]) for each in ignored.told(SCHEMA)] == [("carier", 3)]
    assert from_arrow(BODY, SCHEMA, reject_unknown=True).num_rows == 6
    with pytest.raises(InvalidEvent, match=r"field 'carier': the topic's type has no such field; .* 'carrier'"):
        from_arrow(body, SCHEMA, reject_unknown=True)
