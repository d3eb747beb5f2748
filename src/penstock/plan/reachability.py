"""What leads where, in any number of steps."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def reached(starts: Iterable[T], ways: Mapping[T, Iterable[T]]) -> list[T]:
    """All that the starts lead to, the nearest first; a start is among it where something leads back to it."""
    found: dict[T, None] = {}
    ahead = list(starts)
    for here in ahead:
        for there in ways.get(here, ()):
            if there not in found:
                found[there] = None
                ahead.append(there)
    return list(found)
