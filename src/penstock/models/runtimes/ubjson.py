"""UBJSON (draft 12), as far as one must read it to know that a native parser may be given it: sizes, depth, names.

Every size is held against the bytes that are there, before anything is made of that size.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from ...errors import ModelRefused

DEPTH: Final = 64
KEPT = 64
"""Arrays of more numbers are stepped over: what a file says of itself is short."""

FIXED: dict[int, struct.Struct] = {
    ord(marker): struct.Struct(f">{code}")
    for marker, code in {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d", "C": "c"}.items()
}
PLAIN = {ord("Z"): None, ord("T"): True, ord("F"): False}
INTEGERS = frozenset(map(ord, "iUIlL"))


def read(data: bytes) -> Any:
    """The document; long arrays of numbers are None. Raises ``ModelRefused`` for what is not a whole one."""
    reader = _Reader(data)
    document = reader.value(reader.marker(), 0)
    if reader.at != len(data):
        raise ModelRefused(f"{len(data) - reader.at} bytes are left after the end of the UBJSON document")
    return document


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def marker(self) -> int:
        self._need(1)
        self.at += 1
        return self._data[self.at - 1]

    def value(self, marker: int, depth: int) -> Any:
        if depth > DEPTH:
            raise ModelRefused(f"a UBJSON document more than {DEPTH} deep")
        if (fixed := FIXED.get(marker)) is not None:
            self._need(fixed.size)
            self.at += fixed.size
            return fixed.unpack_from(self._data, self.at - fixed.size)[0]
        if marker in PLAIN:
            return PLAIN[marker]
        match chr(marker):
            case "S":
                return self._text()
            case "[":
                return self._array(depth)
            case "{":
                return self._object(depth)
        raise ModelRefused(f"not a UBJSON document: {bytes([marker])!r} at byte {self.at - 1} begins no value")

    def _array(self, depth: int) -> Any:
        kind, count = self._header()
        if kind is not None:
            return self._typed(kind, count)
        if count is not None:
            return [self.value(self.marker(), depth + 1) for _ in range(count)]
        found: list[Any] = []
        while (marker := self.marker()) != ord("]"):
            found.append(self.value(marker, depth + 1))
        return found

    def _typed(self, kind: int, count: int | None) -> list[Any] | None:
        if kind not in FIXED or count is None:
            raise ModelRefused(f"a UBJSON array of {bytes([kind])!r} at byte {self.at}: only numbers are read so")
        size = FIXED[kind].size * count
        self._need(size)
        self.at += size
        if count > KEPT:
            return None
        return [v for (v,) in FIXED[kind].iter_unpack(self._data[self.at - size : self.at])]

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._header()
        if kind is not None:
            raise ModelRefused(f"a UBJSON object of one type at byte {self.at}, which no model has")
        found: dict[str, Any] = {}
        while count is None or len(found) < count:
            if count is None and self._data[self.at : self.at + 1] == b"}":
                self.at += 1
                break
            name = self._text()
            if name in found:
                raise ModelRefused(f"a UBJSON object has '{name:.40}' twice")
            found[name] = self.value(self.marker(), depth + 1)
        return found

    def _header(self) -> tuple[int | None, int | None]:
        """The type and the count that may stand at the head of an array or object."""
        kind = None
        if self._data[self.at : self.at + 1] == b"$":
            self.at += 1
            kind = self.marker()
        if self._data[self.at : self.at + 1] != b"#":
            return kind, None
        self.at += 1
        return kind, self._length()

    def _text(self) -> str:
        length = self._length()
        self.at += length
        try:
            return self._data[self.at - length : self.at].decode()
        except UnicodeDecodeError as error:
            raise ModelRefused(f"a text in the UBJSON document is no UTF-8: {error}") from None

    def _length(self) -> int:
        marker = self.marker()
        if marker not in INTEGERS:
            raise ModelRefused(f"not a UBJSON document: {bytes([marker])!r} at byte {self.at - 1} is no length")
        length: int = self.value(marker, 0)
        if length < 0:
            raise ModelRefused(f"a UBJSON length of {length} at byte {self.at}")
        self._need(length)  # everything counted takes a byte at least
        return length

    def _need(self, size: int) -> None:
        if size > len(self._data) - self.at:
            raise ModelRefused(f"the UBJSON document ends at byte {len(self._data)}, in the middle of a value")
