"""The areas that a process knows, and whose a message is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from .interface import Area
from .messages import SHARED, Malformed, Message, Refused, by_type

A = TypeVar("A", bound=Area)


class Areas:
    """Several, each with its own messages. ``kinds``: all that can be read, by ``TYPE``."""

    def __init__(self, areas: Sequence[Area]) -> None:
        self._by_name = {area.name: area for area in areas}
        self._by_type = {kind.TYPE: area for area in areas for kind in area.messages}
        own = [kind for area in areas for kind in area.messages]
        self.kinds: Mapping[str, type[Message]] = by_type([*SHARED, *own])

    def __iter__(self) -> Iterator[Area]:
        return iter(self._by_name.values())

    def only(self, kind: type[A]) -> A:
        """The one of this class. Raises ``KeyError``."""
        found = self._by_name[kind.name]
        assert isinstance(found, kind)
        return found

    def of(self, message: Message) -> Area | None:
        """None: it is the system's own, or of an area that is not known here."""
        if isinstance(message, Refused):
            return self._by_name.get(message.area)
        return self._by_type.get(message.of if isinstance(message, Malformed) else message.TYPE)
