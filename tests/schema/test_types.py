from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import annotated_types
import msgspec
import pyarrow as pa
import pydantic
import pytest
from tests.schema.flights import Flight

from penstock.errors import DeclarationError
from penstock.schema.rows import default_scalar, rules_of
from penstock.schema.types import schema_of


def test_every_annotation_has_its_column() -> None:
    schema = schema_of(Flight)
    leg = pa.struct([pa.field("origin", pa.string(), nullable=False), pa.field("minutes", pa.int64())])
    assert schema.field("flight").type == pa.int64() and not schema.field("flight").nullable
    assert schema.field("tailnum").type == pa.string() and schema.field("tailnum").nullable
    assert schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("leg").type == leg
    assert schema.field("legs").type == pa.list_(pa.field("item", leg, nullable=False))
    assert schema.field("day").type == pa.date32() and schema.field("raw").type == pa.binary()
    assert rules_of(schema.field("cabin")) == {"enum": ["first", "coach"], "default": "coach"}
    assert rules_of(schema.field("seats")) == {"ge": 0, "le": 900, "default": 180}
    assert "default" not in rules_of(schema.field("flight"))


class Struct(msgspec.Struct):
    n: int
    text: str | None = None


class Typed(TypedDict):
    n: int
    text: NotRequired[str]


class Model(pydantic.BaseModel):
    n: int
    text: str | None = None


@dataclass
class Data:
    n: int
    text: str | None = None


@pytest.mark.parametrize("kind", [Struct, Typed, Model, Data])
def test_four_kinds_of_class_say_the_same(kind: type) -> None:
    fields = [pa.field("n", pa.int64(), nullable=False), pa.field("text", pa.string())]
    assert schema_of(kind) == pa.schema(fields)
    assert rules_of(schema_of(kind).field("text")) == {"default": None}


class Bounded(pydantic.BaseModel):
    n: int = pydantic.Field(ge=1, lt=9)


@dataclass
class Annotating:
    n: Annotated[int, annotated_types.Ge(1), annotated_types.Lt(9)]


@pytest.mark.parametrize("kind", [Bounded, Annotating])
def test_bounds_of_pydantic_and_annotated_types_count(kind: type) -> None:
    assert rules_of(schema_of(kind).field("n")) == {"ge": 1, "lt": 9}


@dataclass
class Itself:
    inner: Itself | None = None


@dataclass
class Nothing: ...


@dataclass
class Underscored:
    _id: int


@dataclass
class Unresolved:
    x: NoSuchName  # type: ignore[name-defined]  # noqa: F821


@dataclass
class Uninitialised:
    x: int = field(init=False)


ticks = count()


@dataclass
class Restless:
    x: int = field(default_factory=lambda: next(ticks))


class Tagged(msgspec.Struct, tag=True):
    x: int


class Aliased(pydantic.BaseModel):
    x: int = pydantic.Field(alias="y")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Itself, "Itself contains itself"),
        (Nothing, "Nothing has no fields"),
        (Underscored, "Underscored._id"),
        (Unresolved, "Unresolved: its annotations"),
        (Uninitialised, "Uninitialised.x: .*init=False"),
        (Restless, "Restless.x: its default differs"),
        (Tagged, "Tagged"),
        (Aliased, "Aliased.x: an alias"),
        (int, "is not an event type"),
        (dict, "is not an event type"),
    ],
)
def test_a_class_that_cannot_be_a_row_is_refused(kind: type, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        schema_of(kind)


@pytest.mark.parametrize(
    ("annotation", "instead"),
    [
        (dict[str, int], "topic without a type"),
        (Any, "topic without a type"),
        (tuple[int, ...], r"list\[X\]"),
        (set[int], r"list\[X\]"),
        (list, r"list\[X\], which says"),
        (int | str, r"X or X \| None"),
        (complex, "int, float, str"),
        (Literal["a", 1], "strings only or integers only"),
    ],
)
def test_an_annotation_without_a_column_names_class_field_and_mend(annotation: Any, instead: str) -> None:
    kind = type("Event", (), {"__annotations__": {"ok": int, "bad": annotation}})
    with pytest.raises(DeclarationError, match=rf"Event\.bad: .*{instead}"):
        schema_of(dataclass(kind))


@pytest.mark.parametrize(
    ("annotation", "default"),
    [(int, "x"), (str, None), (Annotated[int, msgspec.Meta(ge=0)], -1), (Literal["a"], "b"), (int, 2**63)],
)
def test_a_default_must_fit_its_field(annotation: Any, default: Any) -> None:
    kind = type("Event", (), {"__annotations__": {"bad": annotation}, "bad": default})
    with pytest.raises(DeclarationError, match=r"Event\.bad"):
        schema_of(dataclass(kind))


def test_a_naive_default_is_utc() -> None:
    @dataclass
    class Event:
        at: datetime = datetime(2020, 1, 1)

    assert default_scalar(schema_of(Event).field("at")).as_py().isoformat() == "2020-01-01T00:00:00+00:00"
