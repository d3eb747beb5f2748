from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import pyarrow as pa
import pydantic
import pytest
from tests.schema.flights import Cabin, Flight, Leg

from penstock.batch import JSON_SCHEMA
from penstock.errors import InvalidEvent
from penstock.schema.objects import from_objects, to_objects
from penstock.schema.types import schema_of


def test_dataclasses_go_there_and_back() -> None:
    leg = Leg("JFK", 3)
    flights = [
        Flight(1, "UA", 1.5, leg, cabin=Cabin.FIRST, raw=b"\xff", legs=[leg], at=datetime(2020, 1, 1, tzinfo=UTC)),
        Flight(2, "AA", 2, leg, tailnum="N1", gate="A", marks=[1, 2]),
    ]
    rows = from_objects(flights, schema_of(Flight))
    rows.validate(full=True)
    assert to_objects(rows.append_column("_id", pa.array(["a", "b"])), Flight) == flights
    assert to_objects(rows.slice(1), Flight) == flights[1:]
    assert to_objects(rows.slice(0, 0), Flight) == []


@dataclass
class Measured:
    x: float
    at: datetime
    maybe: float | None = None


def test_what_could_not_be_read_again_is_not_made() -> None:
    schema, now = schema_of(Measured), datetime(2024, 1, 1, tzinfo=UTC)
    end = datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))
    with pytest.raises(InvalidEvent, match="row 1: field 'at': outside the years 1 to 9999"):
        from_objects([Measured(1.0, now), Measured(1.0, end)], schema)
    with pytest.raises(InvalidEvent, match="row 0: field 'x': NaN or infinity, and it is not optional"):
        from_objects([Measured(float("nan"), now)], schema)
    assert from_objects([Measured(1.0, now, float("nan"))], schema).num_rows == 1


class Struct(msgspec.Struct):
    n: int
    text: str | None = None


class Typed(TypedDict):
    n: int
    text: NotRequired[str]


class Model(pydantic.BaseModel):
    n: int
    text: str | None = None


class Picky(pydantic.BaseModel):
    n: int

    @pydantic.field_validator("n")
    @classmethod
    def even(cls, n: int) -> int:
        if n % 2:
            raise ValueError("odd")
        return n


@pytest.mark.parametrize("kind", [Struct, Typed, Model])
def test_every_kind_of_class_goes_there_and_back(kind: Any) -> None:
    objects = [kind(n=1), kind(n=2, text="x")]
    assert to_objects(from_objects(objects, schema_of(kind)), kind) == objects


def test_a_type_of_its_own_mind_names_the_row() -> None:
    rows = pa.RecordBatch.from_pydict({"n": [2, 3]})
    with pytest.raises(InvalidEvent, match=r"(?s)row 1.*odd"):
        to_objects(rows, Picky)


@dataclass
class Loose:
    n: Any
    text: Any = None


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (Loose("1"), "n"),
        (Loose(1.5), "n"),
        (Loose(True), "n"),
        (Loose(2**63), "n"),
        (Loose(1, 5), "text"),
        (Loose(None), "n"),
    ],
)
def test_what_a_function_returns_is_checked(bad: Loose, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        from_objects([Loose(1), bad], schema_of(Struct))
    assert (caught.value.row, caught.value.field) == (1, field)


@pytest.mark.parametrize("bad", [object(), 5, Loose(object()), Loose(1, "\ud800"), None])
def test_what_is_no_event_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidEvent):
        from_objects([Loose(1), bad], schema_of(Struct))


def test_equal_columns_with_other_rules_do_not_share_a_check() -> None:
    plain, ruled = schema_of(Bare), schema_of(Ruled)
    assert plain.equals(ruled)
    assert from_objects([{"n": -1}], plain).num_rows == 1
    with pytest.raises(InvalidEvent):
        from_objects([{"n": -1}], ruled)


class Bare(msgspec.Struct):
    n: int


class Ruled(msgspec.Struct):
    n: Annotated[int, msgspec.Meta(ge=0)]


def test_json_topics_hold_anything() -> None:
    values: list[Any] = [{"a": [1, None]}, "x", 5]
    assert to_objects(from_objects(values, JSON_SCHEMA), None) == values
    cycle: list[Any] = []
    cycle.append(cycle)
    for bad in (object(), cycle, "\ud800"):
        with pytest.raises(InvalidEvent, match="row 1"):
            from_objects([1, bad], JSON_SCHEMA)
