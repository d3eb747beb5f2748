from __future__ import annotations

import io
import json
import random
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.batch import JSON_SCHEMA
from penstock.errors import InvalidEvent, PenstockError, TooLarge, UnsupportedMediaType
from penstock.schema.decode import Decoder
from penstock.schema.door import arrow
from penstock.schema.door.arrow import from_arrow
from penstock.schema.types import schema_of

from ..flights import GOOD, Flight

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
        ("flight", pa.array([1, 2, 2**63], pa.uint64()), None),
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
    assert from_arrow(body, SCHEMA).equals(ROWS)
    assert from_arrow(BODY, SCHEMA, reject_unknown=True).num_rows == 6
    with pytest.raises(InvalidEvent, match=r"field 'carier': the topic's type has no such field; .* 'carrier'"):
        from_arrow(body, SCHEMA, reject_unknown=True)
