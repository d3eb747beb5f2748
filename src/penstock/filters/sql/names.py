"""What a name in a condition stands for: an attribute of the envelope, a column, a field within one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from ..columns import DOMAIN_TOPIC
from .kinds import kind_of_column
from .lexemes import Unfit, shortened
from .tree import Kind, Reference, write_name

NEAR = 3  # names that are suggested in place of one that is not there
LISTED = 12  # names that are listed where none is near

_ENVELOPE = {
    "_type": Kind.TEXT,
    "_subject": Kind.TEXT,
    "_source": Kind.TEXT,
    "_id": Kind.TEXT,
    "_time": Kind.TIME,
    "_topic": Kind.TEXT,
}
_ATTRIBUTES = {"_topic": DOMAIN_TOPIC}  # those that are not called as the attribute with a line in front


def find(parts: Sequence[str], schema: pa.Schema | None) -> Reference:
    """What the name, by its parts between dots, stands for on a topic with this schema; None: its data are JSON.

    Raises ``Unfit`` where there is no such thing, with those that are near.
    """
    if len(parts) == 1 and parts[0] in _ENVELOPE:
        return Reference(_ENVELOPE[parts[0]], tuple(parts), (_ATTRIBUTES.get(parts[0], parts[0][1:]),))
    if schema is None:
        if parts[0] == "data" and len(parts) > 1:
            return Reference(Kind.ANY, tuple(parts), tuple(parts))
        raise _unknown(parts, [write_name(["data", *parts])] if parts[0] != "data" else ["data.…"])
    if (column := _column_type(schema, parts)) is None:
        raise _unknown(parts, _names(schema))
    return Reference(kind_of_column(column), tuple(parts), ("data", *parts))


def _unknown(parts: Sequence[str], known: list[str]) -> Unfit:
    name = write_name(parts)
    within = name.removeprefix("data.")
    near = [within] if within in known else get_close_matches(name, [*known, *_ENVELOPE], NEAR)
    if near := near or (known if len(known) == 1 else []):
        instead = f"did you mean {' or '.join(map(shortened, near))}?"
    else:
        listed = [*known[:LISTED], *(["…"] if len(known) > LISTED else []), *_ENVELOPE]
        instead = f"there are {', '.join(map(shortened, listed))}"
    return Unfit(f"no column {shortened(name)}", instead)


def _column_type(schema: pa.Schema, parts: Sequence[str]) -> Any:
    """Its Arrow type; None: there is none."""
    within: Any = schema
    for i, name in enumerate(parts):
        if (i and not pa.types.is_struct(within)) or within.get_field_index(name) < 0:
            return None
        within = within.field(name).type
    return within


def _names(schema: pa.Schema) -> list[str]:
    """Of all columns, in their order, and of the fields within structs."""
    found: list[tuple[str, ...]] = [(field.name,) for field in schema]
    for path in found:  # which grows meanwhile
        kind = _column_type(schema, path)
        found += [(*path, field.name) for field in (kind if pa.types.is_struct(kind) else ())]
    return [write_name(path) for path in found]
