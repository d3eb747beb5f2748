"""An Arrow schema as a msgspec type: what a door checks, rebuilt from plain data.

The gateway never imports the user's types. All that a type says beyond its columns (the values of an enum, bounds, a
default) therefore travels as JSON in the metadata of each ``pa.Field``, under the key ``penstock``:
``{"enum": […], "ge": 0, "default": null, …}``. A field with a default may be missing; any other must be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, cast

import msgspec
import pyarrow as pa
from msgspec import Meta

from ..batch import JSON_SCHEMA

BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")
LENGTHS = ("min_length", "max_length", "pattern")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

NATIVE = (bytes, datetime, date)  # Python values that Arrow reads as they are, not as text

_KEY = b"penstock"
_PLAIN: dict[pa.DataType, Any] = {
    pa.float64(): float,
    pa.bool_(): bool,
    pa.string(): str,
    pa.binary(): bytes,
    pa.timestamp("us", tz="UTC"): datetime,
    pa.date32(): date,
}


def is_json(schema: pa.Schema) -> bool:
    """Is this the schema of a topic without a type (``batch.JSON_SCHEMA``)?"""
    return bool((schema.metadata or {}).get(_KEY) == JSON_SCHEMA.metadata[_KEY])


def rules_of(field: pa.Field) -> dict[str, Any]:
    """What a field demands beyond its Arrow type: ``enum``, ``default``, bounds and lengths."""
    text = (field.metadata or {}).get(_KEY)
    return {} if text is None else cast("dict[str, Any]", msgspec.json.decode(text))


def with_rules(field: pa.Field, rules: dict[str, Any]) -> pa.Field:
    """Add rules to a field. Values may be anything that msgspec writes as JSON: datetimes, bytes, enums, objects."""
    if not rules:
        return field
    return field.with_metadata({_KEY: msgspec.json.encode(rules_of(field) | rules, order="deterministic")})


def children(field: pa.Field) -> list[pa.Field]:
    """The fields inside a struct, the item of a list; nothing else has any."""
    kind = field.type
    if pa.types.is_struct(kind):
        return list(kind.fields)
    return [kind.value_field] if pa.types.is_list(kind) else []


def default_scalar(field: pa.Field) -> pa.Scalar:
    """A field's default as Arrow holds it; null for a field without one."""
    text = msgspec.json.encode(rules_of(field).get("default"))
    value = msgspec.json.decode(text, type=value_type(field.with_nullable(True)))
    return pa.scalar(plain(value), field.type)


def plain(value: Any) -> Any:
    """Structs as dicts; bytes and times as they are."""
    return msgspec.to_builtins(value, builtin_types=NATIVE)


def row_type(
    name: str, fields: list[pa.Field], *, strict: bool = False, others: Sequence[str] = ()
) -> type[msgspec.Struct]:
    """A struct with one attribute a field, in order. Attributes are numbered, so any column name will do.

    ``strict``: other fields are refused, else ignored. ``others``: fields that may be there and hold anything, which
    come after those of the type and are ``UNSET`` where absent.
    """
    attributes: list[tuple[Any, ...]] = [
        (f"f{i}", value_type(f, strict=strict), *_default(f)) for i, f in enumerate(fields)
    ]
    attributes += [(f"x{i}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for i in range(len(others))]
    names = {f"f{i}": f.name for i, f in enumerate(fields)} | {f"x{i}": other for i, other in enumerate(others)}
    # Rows hold no cycles, and untracked they cost the collector nothing however many a request brings.
    return msgspec.defstruct(name, attributes, rename=names, kw_only=True, gc=False, forbid_unknown_fields=strict)


def value_type(field: pa.Field, *, strict: bool = False) -> Any:
    """The type that msgspec checks a value of this field against. Raises ``TypeError`` for a column that has none."""
    kind = _bare_type(field, rules_of(field), strict)
    return kind | None if field.nullable else kind


def _bare_type(field: pa.Field, rules: dict[str, Any], strict: bool) -> Any:
    if "enum" in rules:
        return Literal[tuple(rules["enum"])]
    kind = field.type
    limits = {name: rules[name] for name in (*BOUNDS, *LENGTHS) if name in rules}
    if kind == pa.int64():
        limits = _within_int64(limits)
    plain_type = _unlimited(kind, strict)
    return Annotated[plain_type, Meta(**limits)] if limits else plain_type


def _unlimited(kind: pa.DataType, strict: bool) -> Any:
    if kind == pa.int64():
        return int
    if pa.types.is_list(kind):
        return list[value_type(kind.value_field, strict=strict)]  # type: ignore[misc]  # a type made at run time
    if pa.types.is_struct(kind):
        return row_type("object", list(kind.fields), strict=strict)
    if kind in _PLAIN:
        return _PLAIN[kind]
    raise TypeError(f"no JSON form for a column of {kind}")


def _within_int64(limits: dict[str, Any]) -> dict[str, Any]:
    """msgspec lets integers of any size through; an Arrow column does not hold them."""
    low = {} if "ge" in limits or "gt" in limits else {"ge": INT64_MIN}
    high = {} if "le" in limits or "lt" in limits else {"le": INT64_MAX}
    return limits | low | high


def _default(field: pa.Field) -> tuple[Any, ...]:
    rules = rules_of(field)
    if "default" not in rules:
        return ()
    text = msgspec.json.encode(rules["default"])
    kind = value_type(field)
    value = msgspec.json.decode(text, type=kind)
    if isinstance(value, list | msgspec.Struct):  # mutable: a new one a row
        return (msgspec.field(default_factory=lambda: msgspec.json.decode(text, type=kind)),)
    return (value,)
