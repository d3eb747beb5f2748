"""How a topic's type may change, and how rows of another shape are brought to it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
import pyarrow as pa

from ..errors import SchemaChanged
from .casts import cast_column
from .rows import children, default_scalar, is_json, rules_of

_LOOSER: dict[str, Callable[[Any, Any], bool]] = {
    "ge": operator.le,
    "gt": operator.le,
    "le": operator.ge,
    "lt": operator.ge,
    "min_length": operator.le,
    "max_length": operator.ge,
    "enum": lambda new, old: set(new) >= set(old),
}


def fingerprint(schema: pa.Schema) -> str:
    """16 bytes of BLAKE2b in hex over names, types, nullability and rules; the same on every machine and version."""
    lines = ["json" if is_json(schema) else "typed", *(_text(f) for f in schema)]
    return blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def fits(old: pa.Schema, new: pa.Schema) -> None:
    """May ``new`` be declared over a topic of type ``old``?

    Fields that may be missing or null may be added anywhere and left out, defaults may change, and rules may be
    loosened, so that every stored row is still of the new type. Raises ``SchemaChanged`` naming the field for anything
    else.
    """
    if is_json(old) != is_json(new):
        raise SchemaChanged("a topic cannot change between typed and JSON: use another topic")
    for field in old:
        index = new.get_field_index(field.name)
        if index >= 0:
            _same(field, new.field(index), field.name)
        elif not may_lack(field):
            raise SchemaChanged(f"field '{field.name}' was removed: keep it, or use another topic")
    for field in new:
        if field.name not in old.names and not may_lack(field):
            raise SchemaChanged(f"field '{field.name}' was added without a default: stored rows lack it, give it one")


def evolved(old: pa.Schema, new: pa.Schema) -> pa.Schema:
    """The topic's type once ``new``, which ``fits``, was declared over ``old``: fields that it leaves out stay.

    So the version of an app from before a field was added still runs, beside those that know it or in their place.
    """
    if not (unknown := left_out(old, new)):
        return new
    kept = [field if field.name in unknown else new.field(field.name) for field in old]
    added = [field for field in new if field.name not in old.names]
    return pa.schema([*kept, *added], metadata=new.metadata)


def left_out(old: pa.Schema, new: pa.Schema) -> list[str]:
    """The fields of ``old`` that ``new`` does not know."""
    return [name for name in old.names if name not in new.names]


def may_lack(field: pa.Field) -> bool:
    """May rows come without this field? They then have its default, else null."""
    return field.nullable or "default" in rules_of(field)


def conform(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows with exactly the columns of ``schema``, in its order, then the envelope columns they came with.

    Absent columns get their default, else null; types that hold the same values (int32, large_string, dictionary, …)
    are cast. Raises ``SchemaChanged`` naming the field that cannot be brought over.
    """
    envelope = [n for n in rows.schema.names if n.startswith("_")]
    if rows.schema.names == schema.names + envelope and rows.schema.types[: len(schema)] == schema.types:
        _no_nulls(rows, schema)
        columns = rows.columns[: len(schema)]
    else:
        columns = _brought(rows, schema)
    fields = [*schema, *(rows.schema.field(n) for n in envelope)]
    columns = [*columns, *(rows.column(n) for n in envelope)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=schema.metadata))


def _brought(rows: pa.RecordBatch, schema: pa.Schema) -> list[pa.Array]:
    for name in rows.schema.names:
        if not name.startswith("_") and name not in schema.names:
            raise SchemaChanged(f"field '{name}' is not in the topic's type: {', '.join(schema.names)}")
    columns = [_column(rows, field) for field in schema]
    _no_nulls(pa.RecordBatch.from_arrays(columns, names=schema.names), schema)
    return columns


def _column(rows: pa.RecordBatch, field: pa.Field) -> pa.Array:
    index = rows.schema.get_field_index(field.name)
    if index < 0:
        return pa.repeat(default_scalar(field), rows.num_rows)
    try:
        return cast_column(rows.column(index), field.type)
    except (TypeError, ValueError) as error:
        raise SchemaChanged(f"field '{field.name}': {error}") from None


def _no_nulls(rows: pa.RecordBatch, schema: pa.Schema) -> None:
    for field in schema:
        if not field.nullable and rows.column(field.name).null_count:
            raise SchemaChanged(f"field '{field.name}' has no value in some rows, and its type is not optional")


def _same(old: pa.Field, new: pa.Field, path: str) -> None:
    if old.type != new.type or old.nullable != new.nullable:
        raise SchemaChanged(f"field '{path}' changed from {_shape(old)} to {_shape(new)}")
    before, after = rules_of(old), rules_of(new)
    for name in sorted((after.keys() | before.keys()) - {"default"}):
        if not _loosened(name, before.get(name), after.get(name)):
            raise SchemaChanged(f"field '{path}': '{name}' changed from {before.get(name)} to {after.get(name)}")
    for was, now in zip(children(old), children(new), strict=True):
        _same(was, now, f"{path}.{was.name}")


def _loosened(name: str, old: Any, new: Any) -> bool:
    if old == new or new is None:
        return True
    return old is not None and name in _LOOSER and _LOOSER[name](new, old)


def _shape(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' (never null)'}"


def _text(field: pa.Field) -> str:
    rules = msgspec.json.encode(rules_of(field), order="deterministic").decode()
    inner = ",".join(_text(f) for f in children(field))
    return f"{field.name}\0{field.type}\0{field.nullable}\0{rules}({inner})"
