"""Event types (dataclass, msgspec Struct, TypedDict, Pydantic model) as Arrow schemas.

======================  ====================  ===================================
annotation              column                in JSON
======================  ====================  ===================================
int                     int64                 an integer of 64 bits
float                   float64               a number, never NaN or infinite
str, bool               string, bool          a string, true or false
bytes                   binary                base64
datetime                timestamp[us, UTC]    RFC 3339; without a zone it is UTC
date                    date32                YYYY-MM-DD
X | None                nullable              may be null
list[X]                 list                  an array
another event type      struct                an object
Enum, Literal           string or int64       one of the values
Annotated[X, Meta(…)]   as X                  checked
======================  ====================  ===================================

A field with a default may be missing, and so may a TypedDict's ``NotRequired``. A ``dict`` is refused: its keys are not
columns. What a column cannot say (values, bounds, defaults) travels as field metadata: see ``rows``.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import msgspec
import pyarrow as pa

from ..errors import DeclarationError
from .members import MISSING, DeclaredField, is_event_type, members
from .rows import BOUNDS, LENGTHS, value_type, with_rules

_COLUMNS: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us", tz="UTC"),
    date: pa.date32(),
}
_INSTEAD = {
    dict: "a class with these fields, or a topic without a type",
    set: "list[X]",
    frozenset: "list[X]",
    tuple: "list[X]",
    list: "list[X], which says what is in it",
    Any: "the type that the values have, or a topic without a type",
    object: "the type that the values have, or a topic without a type",
}


def schema_of(event_type: type) -> pa.Schema:
    """The columns of an event type, in the order of its fields.

    Raises ``DeclarationError`` naming the class and the field, and what to write instead.
    """
    if not is_event_type(event_type):
        raise DeclarationError(
            f"{event_type!r} is not an event type: use a dataclass, a msgspec Struct, a TypedDict or a Pydantic model"
        )
    return pa.schema(_fields(event_type, ()))


def _fields(owner: type, within: tuple[type, ...]) -> list[pa.Field]:
    if owner in within:
        raise DeclarationError(f"{owner.__qualname__} contains itself; columns cannot: use a topic without a type")
    found = [_field(owner, member, (*within, owner)) for member in members(owner)]
    if not found:
        raise DeclarationError(f"{owner.__qualname__} has no fields: an event needs at least one")
    return found


def _field(owner: type, member: DeclaredField, within: tuple[type, ...]) -> pa.Field:
    place = f"{owner.__qualname__}.{member.name}"
    if member.name.startswith("_"):
        raise DeclarationError(f"{place}: names that begin with '_' belong to the envelope: choose another name")
    if not member.name or any(c in member.name for c in ".[]"):
        raise DeclarationError(f"{place}: a field's name may not be empty or hold '.', '[' or ']'")
    field = _column(member.name, member.annotation, place, within)
    limits = _limits(member.metadata)
    if member.optional and member.default is MISSING:
        return with_rules(field.with_nullable(True), limits | {"default": None})
    if member.default is None and not field.nullable:
        raise DeclarationError(f"{place}: None does not fit the field: write {_shown(member.annotation)} | None")
    return with_rules(field, limits) if member.default is MISSING else _with_default(field, limits, member, place)


def _with_default(field: pa.Field, limits: dict[str, Any], member: DeclaredField, place: str) -> pa.Field:
    try:
        field = with_rules(field, limits | {"default": member.default})
        msgspec.convert(msgspec.to_builtins(member.default), value_type(field))
    except (TypeError, msgspec.ValidationError, OverflowError) as error:
        raise DeclarationError(f"{place}: the default {member.default!r} does not fit the field: {error}") from None
    return field


def _column(name: str, annotation: Any, place: str, within: tuple[type, ...]) -> pa.Field:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Required, NotRequired):
        return _column(name, args[0], place, within)
    if origin is Annotated:
        return with_rules(_column(name, args[0], place, within), _limits(args[1:]))
    if origin in (Union, types.UnionType):
        return _optional(name, args, annotation, place, within)
    if origin is Literal:
        return _one_of(name, args, place)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _one_of(name, [m.value for m in annotation], place)
    if origin is list:
        return pa.field(name, pa.list_(_column("item", args[0], f"{place}[]", within)), nullable=False)
    if is_event_type(annotation):
        return pa.field(name, pa.struct(_fields(annotation, within)), nullable=False)
    if annotation not in _COLUMNS:
        raise _unsupported(annotation, place)
    return pa.field(name, _COLUMNS[annotation], nullable=False)


def _optional(name: str, args: Sequence[Any], annotation: Any, place: str, within: tuple[type, ...]) -> pa.Field:
    kinds = [a for a in args if a is not type(None)]
    if len(kinds) != 1 or len(kinds) == len(args):
        raise DeclarationError(f"{place}: {annotation} has no column: use one type, X or X | None")
    return _column(name, kinds[0], place, within).with_nullable(True)


def _one_of(name: str, values: Sequence[Any], place: str) -> pa.Field:
    some = [v for v in values if v is not None]
    kinds = {type(v) for v in some}
    if not some or kinds not in ({str}, {int}):
        raise DeclarationError(f"{place}: the values {values!r} have no column: use strings only or integers only")
    field = pa.field(name, _COLUMNS[kinds.pop()], nullable=len(some) < len(values))
    return with_rules(field, {"enum": some})


def _limits(metadata: Sequence[Any]) -> dict[str, Any]:
    """What ``msgspec.Meta``, annotated-types or Pydantic's ``Field`` demand; they use the same names."""
    found = {}
    for source in metadata:
        for name in (*BOUNDS, *LENGTHS):
            if (limit := getattr(source, name, None)) is not None:
                found[name] = limit
    return found


def _unsupported(annotation: Any, place: str) -> DeclarationError:
    instead = _INSTEAD.get(get_origin(annotation) or annotation)
    known = "int, float, str, bool, bytes, datetime, date, list[X], X | None, Literal, an Enum or another event type"
    return DeclarationError(f"{place}: {_shown(annotation)} has no column: use {instead or known}")


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
