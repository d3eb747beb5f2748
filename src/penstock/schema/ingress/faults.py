"""Where in a refused body the fault is: which event, which field. Runs only once something was refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InvalidEvent
from ..rows import children

_PATH = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_ROW = re.compile(r"\[(\d+)\]")
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field '(.*)'", re.DOTALL)
_BYTE = re.compile(r" ?\(byte (\d+)\)")
_LONE_HIGH = re.compile(rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)  # the last one may have no end
_TOKEN = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")\s*(:)?|"|[\[\]{},]', re.DOTALL)

LOOK_BYTES = (
    1 << 20
)  # bytes of a body that are looked through for a fault's place: the loop of the doors waits meanwhile


def explain(body: bytes, error: Exception, *, many: bool, before: int = 0) -> InvalidEvent:
    """The error of msgspec as one of ours. ``many``: the body is an array, so the path begins with the row.

    ``before``: so many bytes come before it in what was sent.
    """
    if isinstance(error, msgspec.ValidationError):
        return unfit(str(error), many=many)
    if isinstance(error, RecursionError):
        return at(body, _deepest(body[:LOOK_BYTES]), "nested too deep for any reader", many)
    if isinstance(error, UnicodeDecodeError):
        return at(body, error.start, f"not UTF-8: byte {error.start + before} of the body", many)
    if (lone := _LONE_HIGH.search(body, 0, LOOK_BYTES)) is not None:
        return at(body, lone.start(1), f"lone surrogate {lone[1].decode()} in a string", many)
    return _malformed(body, str(error), many, before)


def unfit(message: str, *, many: bool) -> InvalidEvent:
    """The message of a ``msgspec.ValidationError``, read. ``many``: its path begins with the row."""
    parts = _PATH.fullmatch(message)
    assert parts is not None  # the pattern matches every text
    reason, path = parts["reason"], parts["path"] or ""
    row = _ROW.match(path) if many else None
    field = path[row.end() :] if row else path
    if (missing := _MISSING.fullmatch(reason)) is not None:
        reason, field = "missing, and it has no default", f"{field}.{missing[1]}"
    number = None if many else 0
    return InvalidEvent(reason.replace("`", "'"), row=int(row[1]) if row else number, field=field.lstrip(".") or None)


def with_hint(error: InvalidEvent, schema: pa.Schema) -> InvalidEvent:
    """The same error; of an unknown field with its own path, and the name that may have been meant."""
    if (name := unknown_name(error)) is None:
        return error
    path = name if error.field is None else f"{error.field}.{name}"
    return InvalidEvent(unknown_field(name, schema), row=error.row, field=path)


def is_unknown_field(error: InvalidEvent) -> bool:
    return unknown_name(error) is not None


def unknown_name(error: InvalidEvent) -> str | None:
    """The field that a type lacks, if that is the error."""
    found = _UNKNOWN.fullmatch(error.reason)
    return found[1] if found else None


def unknown_field(name: str, schema: pa.Schema) -> str:
    """The reason, with the name of the type that is most like this one, at any depth."""
    meant = alike(name, schema)
    return "the topic's type has no such field" + (f"; did you mean '{meant}'?" if meant else "")


def alike(name: str, schema: pa.Schema) -> str | None:
    """The field of the type, at any depth, that may have been meant."""
    return _alike(name, tuple(_names(schema)))


@lru_cache(maxsize=1024)  # who sends such a field sends it with every request
def _alike(name: str, names: tuple[str, ...]) -> str | None:
    return next(iter(get_close_matches(name, names, 1)), None)


def _names(fields: Iterable[pa.Field]) -> Iterator[str]:
    for field in fields:
        yield field.name
        yield from _names(children(field))


def _malformed(body: bytes, message: str, many: bool, before: int) -> InvalidEvent:
    place = _BYTE.search(message)
    if place is None:
        return at(body, len(body), "not JSON: the text ends too early", many)
    reason = _BYTE.sub("", message).removeprefix("JSON is malformed: ")
    return at(body, int(place[1]), f"not JSON: {reason} at byte {int(place[1]) + before} of the body", many)


def at(body: bytes, place: int, reason: str, many: bool) -> InvalidEvent:
    """An error at a byte of the body, with the event and the field that the byte is in.

    Far into a body only the byte is told, by the reason.
    """
    if place > LOOK_BYTES:
        return InvalidEvent(reason, row=None if many else 0)
    row, start = _row_at(body[:place]) if many else (0, 0)
    return InvalidEvent(reason, row=row, field=_field_at(body[start:place]))


def _deepest(body: bytes) -> int:
    return int(_levels(body).argmax())


def _row_at(before: bytes) -> tuple[int | None, int]:
    """The element of the outer array that the end of ``before`` is in, and where that element begins."""
    level = _levels(before)
    if not level.any():
        return None, len(before)
    commas = np.flatnonzero((_bare(before) == 0x2C) & (level == 1))
    return len(commas), int(commas[-1] if len(commas) else np.flatnonzero(level)[0]) + 1


def _levels(text: bytes) -> npt.NDArray[np.int64]:
    """How deep each byte is nested."""
    kind = _bare(text) & 0xDF  # [ and { alike, ] and } alike
    return np.cumsum((kind == 0x5B).astype(np.int64) - (kind == 0x5D))


def _bare(text: bytes) -> npt.NDArray[np.uint8]:
    """The bytes with all strings blanked out."""
    return np.frombuffer(_STRING.sub(lambda found: b"_" * len(found[0]), text), np.uint8)


def _field_at(before: bytes) -> str | None:
    """The field of the event whose value the end of ``before`` is in."""
    level, field = 0, None
    for token in _TOKEN.finditer(before):
        mark = token[0]
        if token[1] is not None:
            field = _name(token[1]) if level == 1 and token[2] else field
        elif mark in (b"[", b"{"):
            level += 1
        elif mark in (b"]", b"}"):
            level -= 1
        elif mark == b"," and level == 1:
            field = None
        elif mark == b'"':  # a string without an end: what follows is in it
            break
    return field


def _name(key: bytes) -> str | None:
    try:
        return str(msgspec.json.decode(key, type=str))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
