"""A body's text while it is read: its bytes may come in parts, and what has been read is let go."""

from __future__ import annotations

import re
from collections.abc import Iterable


class Text:
    """Places are bytes of the whole body. ``at``, which the reader moves on, is where what it still needs begins."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._held = b""
        self._before = 0  # bytes that were let go
        self.at = 0

    @property
    def end(self) -> int:
        """Of what has come."""
        return self._before + len(self._held)

    def reach(self, place: int) -> bool:
        """Take parts until ``place`` has come; False: the body ends before it. Raises what the parts raise."""
        while self.end <= place:
            if (part := next(self._parts, None)) is None:
                return False
            self._held = self._held[self.at - self._before :] + part
            self._before = self.at
        return True

    def cut(self, start: int, stop: int) -> bytes:
        return self._held[start - self._before : stop - self._before]

    def search(self, pattern: re.Pattern[bytes], start: int, stop: int) -> int:
        """The place of the first match in what has come, or of the group in it; -1: there is none."""
        found = pattern.search(self._held, start - self._before, stop - self._before)
        return -1 if found is None else found.start(found.lastindex or 0) + self._before

    def rfind(self, byte: bytes, start: int, stop: int) -> int:
        """The last one's place; -1: there is none."""
        found = self._held.rfind(byte, start - self._before, stop - self._before)
        return found + self._before if found >= 0 else -1

    def find(self, byte: bytes, start: int) -> int:
        """The first one's place in what has come; -1: there is none."""
        found = self._held.find(byte, start - self._before)
        return found + self._before if found >= 0 else -1
