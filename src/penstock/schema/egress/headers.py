"""Attributes as headers (CloudEvents HTTP binding §3.1.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import repeat
from typing import Any
from urllib.parse import quote

import pyarrow.compute as pc

from .attributes import Values

# What stands in a header as it is (§3.1.3.2): all from ! to ~ but " and %.
_PLAIN = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_NOT_PLAIN = "[^!#$&-~]"
_needs_encoding = re.compile(_NOT_PLAIN).search
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def percent_encode(text: str) -> str:
    """An attribute's text as the value of a header (§3.1.3.2)."""
    return quote(text, safe=_PLAIN) if _needs_encoding(text) else text


def header_column(name: str, values: Values, *, encoded: bool = True) -> Iterable[tuple[str, Any]]:
    """A header of each request, whose value may be None; without an end where it is the same in all. ``encoded``: as
    HTTP has it, else the very text."""
    if isinstance(values, str):
        return repeat((name, percent_encode(values) if encoded else values))
    texts: list[str | None] = values.to_pylist()
    if encoded and pc.any(pc.match_substring_regex(values, _NOT_PLAIN)).as_py():
        texts = [None if text is None else percent_encode(text) for text in texts]
    return zip(repeat(name), texts)


def canonical(value: str | int | bool) -> str:
    """As a text (spec, Type System)."""
    return value if isinstance(value, str) else str(value).lower()


def media_type(kind: str) -> str:
    """A ``datacontenttype`` as a header: the characters of a parameter that no header has are encoded as in others.
    Empty: of bytes that say nothing else (RFC 9110 §8.3)."""
    kind = kind or "application/octet-stream"
    return kind if kind.isascii() else _NOT_ASCII.sub(lambda found: percent_encode(found[0]), kind)
