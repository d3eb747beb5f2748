"""Published fields that the topic's type lacks, and how many events had each. Looked for only once there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, TypedDict

import msgspec
import pyarrow as pa

from ..rows import children
from .faults import unknown_field

NAMES = 20  # that are told of one request; of the others only how many there were
LENGTH_CHARS = 100  # characters of a name that are told

_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw] | None])
_LISTS = msgspec.json.Decoder(list[list[msgspec.Raw] | None])


class IgnoredField(TypedDict):
    """``field``: its path, None for all beyond the first names; ``count``: events, or objects inside of them."""

    field: str | None
    count: int
    reason: str


class Ignored:
    """The fields of one request: filled piece by piece, and never larger than what is told of it."""

    __slots__ = ("_counts", "_others")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._others = 0

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, counts: Mapping[str, int]) -> None:
        for path, count in counts.items():
            name = path if len(path) <= LENGTH_CHARS else path[: LENGTH_CHARS - 1] + "…"
            if name in self._counts or len(self._counts) < NAMES:
                self._counts[name] = self._counts.get(name, 0) + count
            else:
                self._others += count

    def told(self, schema: pa.Schema) -> list[IgnoredField]:
        """As the door answers it, the most frequent one first."""
        found = [_told(path, count, schema) for path, count in Counter(self._counts).most_common()]
        if self._others:
            found.append({"field": None, "count": self._others, "reason": "values of more fields that are not named"})
        return found


def _told(path: str, count: int, schema: pa.Schema) -> IgnoredField:
    return {"field": path, "count": count, "reason": unknown_field(path.rpartition(".")[2], schema)}


def unknown_fields(events: Iterable[bytes], fields: Iterable[pa.Field], path: str = "") -> Counter[str]:
    """The paths of fields that the type lacks, in events that fit it, with how many objects had each."""
    objects = [found for found in _OBJECTS.decode(_array(events)) if found is not None]
    known = {field.name: field for field in fields}
    counts = Counter(chain.from_iterable(objects))
    found = Counter({path + name: count for name, count in counts.items() if name not in known})
    for name, field in known.items():
        if counts[name] and children(field):
            found += _inside([each[name] for each in objects if name in each], field, f"{path}{name}")
    return found


def _inside(values: Iterable[bytes], field: pa.Field, path: str) -> Counter[str]:
    if pa.types.is_struct(field.type):
        return unknown_fields(values, children(field), f"{path}.")
    (item,) = children(field)
    if not children(item):
        return Counter()
    lists: Iterable[Any] = (found for found in _LISTS.decode(_array(values)) if found is not None)
    return _inside(chain.from_iterable(lists), item, f"{path}[]")


def _array(values: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(values) + b"]"
