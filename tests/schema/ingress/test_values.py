"""What a stage made is looked through as columns: what its topic forbids, and what could not be read again."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from penstock.batch import JSON_SCHEMA
from penstock.schema.ingress import values
from penstock.schema.ingress.values import MadeValues
from penstock.schema.types import schema_of

NAN, INF = math.nan, math.inf
BEYOND = 253_402_300_800 * 1_000_000  # microseconds: the first of year 10,000


class Inner(TypedDict):
    x: float
    maybe: float | None


class Made(TypedDict):
    n: int
    x: float
    maybe: float | None
    risk: Annotated[float, Meta(ge=0, le=1)]
    colour: Literal["red", "green"] | None
    at: datetime
    day: date | None
    times: list[datetime]
    inner: Inner


SCHEMA = schema_of(Made)
MADE = MadeValues(SCHEMA)
GOOD: dict[str, Any] = {
    "n": 1,
    "x": 0.5,
    "maybe": None,
    "risk": 1.0,
    "colour": "red",
    "at": 0,
    "day": None,
    "times": [0, 1],
    "inner": {"x": 1.0, "maybe": NAN},
}


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Times are microseconds, as a frame may hold more of them than Python."""
    columns = [pa.array([row[field.name] for row in rows], _numbers(field.type)) for field in SCHEMA]
    viewed = [
        column if column.type == kind else column.view(kind) for column, kind in zip(columns, SCHEMA.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(viewed, schema=SCHEMA)


def _numbers(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return kind
    return {pa.timestamp("us", "UTC"): pa.int64(), pa.date32(): pa.int32()}.get(kind, kind)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("x", NAN, "field 'x': NaN or infinity, and it is not optional: .*declare it float . None, or give it a value"),
        ("x", -INF, "field 'x': NaN or infinity"),
        ("x", None, "field 'x': null, and it is not optional"),
        ("n", None, "field 'n': null, and it is not optional"),
        ("risk", 1.5, "field 'risk': > 1"),
        ("risk", NAN, "field 'risk': NaN"),
        ("colour", "blue", "field 'colour': not one of .'red', 'green'."),
        ("at", BEYOND, "field 'at': outside the years 1 to 9999"),
        ("at", -(2**63), "field 'at': outside the years 1 to 9999"),
        ("at", None, "field 'at': null"),
        ("day", 2_932_897, "field 'day': outside the years 1 to 9999"),
        ("inner", {"x": NAN, "maybe": 1.0}, r"field 'inner\.x': NaN"),
    ],
)
def test_the_row_at_fault_is_named(field: str, value: Any, reason: str, made: MadeValues = MADE) -> None:
    rows = batch([GOOD, GOOD | {field: value}, GOOD])
    for found in (made.faults(rows), {row + 1: why for row, why in made.faults(rows.slice(1)).items()}):
        assert list(found) == [1], "the row at fault is not the one that was found"
        assert re.match(reason, found[1])


def test_a_time_inside_a_list_is_found() -> None:
    beyond = pa.array([[0], [0, BEYOND], [0]], pa.list_(pa.int64())).cast(SCHEMA.field("times").type)
    rows = batch([GOOD, GOOD, GOOD])
    rows = rows.set_column(SCHEMA.get_field_index("times"), SCHEMA.field("times"), beyond)
    assert MADE.faults(rows) == {1: "field 'times[]': outside the years 1 to 9999"}


def test_a_quick_look_that_sees_nothing_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_quick_look", lambda field: None)
    with pytest.raises(AssertionError, match="the row at fault is not the one"):
        test_the_row_at_fault_is_named("x", NAN, "field 'x'", MadeValues(SCHEMA))


@settings(max_examples=200, deadline=None)
@given(
    xs=st.lists(st.tuples(st.floats() | st.none(), st.floats() | st.none()), max_size=20),
    times=st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=20),
    offset=st.integers(0, 3),
)
def test_as_a_loop_over_the_rows_would_say(xs: list[Any], times: list[int | None], offset: int) -> None:
    events = [GOOD | {"x": x, "maybe": m, "at": t} for (x, m), t in zip(xs, times, strict=False)]
    rows = batch([GOOD, GOOD, GOOD, *events]).slice(3 - offset)
    wrong = [offset + n for n, event in enumerate(events) if not (is_number(event["x"]) and is_time(event["at"]))]
    assert sorted(MADE.faults(rows)) == wrong


def is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def is_time(microseconds: int | None) -> bool:
    first = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    return microseconds is not None and first <= microseconds < BEYOND


def test_a_topic_without_a_type_takes_any_text() -> None:
    rows = pa.RecordBatch.from_arrays([pa.array(["{}"])], schema=JSON_SCHEMA)
    assert MadeValues(JSON_SCHEMA).faults(rows) == {}


def test_the_values_that_pass_can_be_written_down() -> None:
    rows = batch([GOOD | {"x": 1e308, "at": BEYOND - 1, "day": 2_932_896}])
    assert MADE.faults(rows) == {}
    msgspec.json.encode(rows.to_pylist())
