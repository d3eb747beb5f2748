"""What msgspec compiles of a type, and what it is taught of fields that the type lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from ..rows import is_json, row_type
from .ignored import NAMES

_UNTOLD = '"\\'  # msgspec takes no such attribute


class Readers:
    """Of one event and of many. ``strict``: fields that are neither the type's nor among ``others`` are refused."""

    def __init__(self, schema: pa.Schema, *, strict: bool, others: Sequence[str] = ()) -> None:
        kind: Any = msgspec.Raw
        if not is_json(schema):
            kind = row_type("event", list(schema), strict=strict, others=others)
        self.others = others
        self.kind = list[kind]
        self.one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
        self.many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self.kind)
        self._taught = [attrgetter(f"x{i}") for i in range(len(others))]

    def ignored(self, rows: Sequence[Any]) -> Counter[str]:
        """How many of the rows had each of the ``others``."""
        present = [len(rows) - list(map(get, rows)).count(msgspec.UNSET) for get in self._taught]
        return Counter({name: count for name, count in zip(self.others, present, strict=True) if count})


def taught(others: Sequence[str], names: Iterable[str]) -> list[str]:
    """``others`` with these names of fields, the first so many: who sends them does so again and again."""
    new = [n for n in names if n not in others and n.isprintable() and not any(c in n for c in _UNTOLD)]
    return [*others, *new][:NAMES]
