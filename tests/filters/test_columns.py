"""What filters see of a batch, of either kind of topic."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import ENVELOPE, JSON_SCHEMA, Batch, TopicSpec
from penstock.filters.columns import EventColumns, Key, moment

PLACE = pa.struct([pa.field("city", pa.string()), pa.field("at", pa.struct([pa.field("lat", pa.float64())]))])
TYPED = TopicSpec(
    "orders",
    pa.schema([("n", pa.int64()), ("name", pa.string()), ("ok", pa.bool_()), ("day", pa.date32()), ("place", PLACE)]),
)
UNTYPED = TopicSpec("notes", source="//notes")


def batch_of(topic: TopicSpec, rows: list[dict[str, Any]]) -> Batch:
    kinds = {f.name: f.type for f in topic.schema} | ENVELOPE
    names = [n for n in kinds if any(n in row for row in rows)]
    columns = [pa.array([row.get(n) for row in rows], kinds[n]) for n in names]
    positions = np.arange(10, 10 + len(rows), dtype=np.int64)
    return Batch(topic.name, 0, positions, positions * 1_000_000, pa.RecordBatch.from_arrays(columns, names))


def columns_of(topic: TopicSpec, *rows: dict[str, Any]) -> EventColumns:
    return EventColumns(batch_of(topic, list(rows)), topic, "shop")


def listed(found: Any) -> list[Any]:
    return [] if found is None else found.tolist() if isinstance(found, np.ndarray) else found.to_pylist()


def test_attributes_are_as_readers_see_them() -> None:
    given = {"_id": "a", "_source": "/s", "_type": "t", "_subject": "x/y", "_key": "k", "_time": datetime(2024, 1, 1)}
    events = columns_of(TYPED, {"n": 1} | given, {"n": 2})
    found = {name: listed(events.get((name,))) for name in ("id", "source", "type", "subject", "partitionkey")}
    assert found == {
        "id": ["a", "orders/0/11"],
        "source": ["/s", "/shop/orders"],
        "type": ["t", "orders"],
        "subject": ["x/y", None],
        "partitionkey": ["k", None],
    }
    assert listed(events.get(("time",))) == [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 11, tzinfo=UTC),
    ]
    assert listed(events.get(("specversion",))) == ["1.0", "1.0"]
    assert listed(columns_of(UNTYPED, {"json": "1"}).get(("source",))) == ["//notes"]


@pytest.mark.parametrize(
    "key", [("subject",), ("tenant",), ("data", "gone"), ("data", "n", "x"), ("data", "_id"), ("data",)]
)
def test_what_no_event_has_is_none_in_every_view(key: Key) -> None:
    events = columns_of(TYPED, {"n": 1, "_id": "a"})
    assert events.get(key) is None
    assert events.objects(key) is None
    assert events.texts(key) is events.numbers(key) is events.booleans(key) is events.times(key) is None
    assert listed(events.present(key)) == [False]


def test_columns_and_the_fields_of_structs() -> None:
    events = columns_of(
        TYPED,
        {"n": 1, "place": {"city": "Ede", "at": {"lat": 52.0}}},
        {"n": None, "place": {"city": "Oss", "at": None}},
        {},
    )
    assert listed(events.get(("data", "n"))) == [1, None, None]
    assert listed(events.texts(("data", "place", "city"))) == ["Ede", "Oss", None]
    assert listed(events.numbers(("data", "place", "at", "lat"))) == [52.0, None, None]
    assert listed(events.present(("data", "place", "at"))) == [True, False, False]
    assert events.texts(("data", "n")) is None


def test_json_has_values_of_any_type() -> None:
    values = ['"a"', "1", "2.5", "true", "null", "[1]", '{"b": 3}', '"2024-01-01T01:00:00+01:00"', '"2024-01-01"']
    events = columns_of(UNTYPED, *({"json": f'{{"v": {v}}}'} for v in values), {"json": "[]"}, {"json": "{}"})
    key = ("data", "v")
    assert events.get(key) is None
    midnight, later = datetime(2024, 1, 1, tzinfo=UTC), [None] * 2
    texts = ["2024-01-01T01:00:00+01:00", "2024-01-01"]
    assert listed(events.objects(key)) == ["a", 1, 2.5, True, None, [1], {"b": 3}, *texts, *later]
    assert listed(events.texts(key)) == ["a", *[None] * 6, *texts, *later]
    assert listed(events.numbers(key)) == [None, 1.0, 2.5, *[None] * 8]
    assert listed(events.booleans(key)) == [None, None, None, True, *[None] * 7]
    assert listed(events.times(key)) == [*[None] * 7, midnight, midnight, *later]
    assert listed(events.present(key)) == [True] * 4 + [False] + [True] * 4 + [False] * 2
    assert listed(events.numbers((*key, "b"))) == [*[None] * 6, 3.0, *[None] * 4]


def test_rows_that_are_all_lists_stay_one_object_each() -> None:
    events = columns_of(UNTYPED, {"json": "[1, 2]"}, {"json": "[3, 4]"})
    assert listed(events.objects(("data",))) == [[1, 2], [3, 4]]


def test_json_that_cannot_be_read_is_null() -> None:
    events = columns_of(UNTYPED, {"json": "{"}, {"json": "[" * 100_000}, {"json": '{"v": 1}'})
    assert listed(events.numbers(("data", "v"))) == [None, None, 1.0]


def test_numbers_that_no_float_comes_near_are_infinite() -> None:
    events = columns_of(UNTYPED, {"json": "1" + "0" * 400}, {"json": "-1" + "0" * 400})
    assert listed(events.numbers(("data",))) == [float("inf"), float("-inf")]


def test_extensions_keep_the_types_that_they_have_in_json() -> None:
    events = columns_of(TYPED, {"n": 1, "_extensions": '{"tenant": "acme", "level": 3, "vip": true}'}, {"n": 2})
    assert listed(events.texts(("tenant",))) == ["acme", None]
    assert listed(events.numbers(("level",))) == [3.0, None]
    assert listed(events.booleans(("vip",))) == [True, None]
    assert listed(events.texts(("tenant", "x"))) == []


def test_numbers_of_every_width() -> None:
    kinds = [pa.int8(), pa.uint32(), pa.int64(), pa.uint64(), pa.float32(), pa.decimal128(5, 2)]
    topic = TopicSpec("wide", pa.schema([(str(kind), kind) for kind in kinds]))
    events = columns_of(topic, {str(kind): 3 for kind in kinds})
    found = [events.numbers(("data", str(kind))) for kind in kinds]
    assert [listed(f) for f in found] == [[3]] * len(kinds)
    assert {f.type for f in found if f is not None} == {pa.int64(), pa.float64()}


def test_nan_is_null() -> None:
    topic = TopicSpec("floats", pa.schema([("x", pa.float32())]))
    events = columns_of(topic, {"x": float("nan")}, {"x": float("inf")}, {"x": None})
    assert listed(events.numbers(("data", "x"))) == [None, float("inf"), None]
    assert listed(events.present(("data", "x"))) == [False, True, False]


def test_some_rows_are_those_of_the_whole() -> None:
    rows = [{"n": i, "name": f"x{i}", "_extensions": f'{{"tenant": "{i}"}}'} for i in range(6)]
    events = columns_of(TYPED, *rows).take(np.array([4, 1, 1], np.int64)).take(np.array([2, 0], np.int64))
    assert len(events) == 2
    assert listed(events.get(("data", "n"))) == [1, 4]
    assert listed(events.texts(("tenant",))) == ["1", "4"]
    assert listed(events.objects(("tenant",))) == ["1", "4"]
    assert listed(events.present(("data", "name"))) == [True, True]
    assert listed(events.get(("id",))) == ["orders/0/11", "orders/0/14"]


def test_a_batch_without_rows() -> None:
    events = columns_of(UNTYPED)
    assert listed(events.present(("data", "v"))) == listed(events.get(("id",))) == []


def test_a_column_is_made_once() -> None:
    events = columns_of(UNTYPED, {"json": '{"v": 1}'})
    assert events.objects(("data",)) is events.objects(("data",))
    assert events.numbers(("data", "v")) is events.numbers(("data", "v"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "2024-13-01",
        "now",
        "0001-01-01T00:00:00+23:00",
        "2024-01-01T25:00:00Z",
        "2024-01-01T00:00:00." + "0" * 99,
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|too long"):
        moment(text)


def test_the_schema_of_an_untyped_topic_is_told_from_one_with_a_column_json() -> None:
    assert not columns_of(UNTYPED, {"json": "1"}).typed
    alike = TopicSpec("alike", pa.schema(list(JSON_SCHEMA)))
    assert columns_of(alike, {"json": "1"}).typed
