"""Patterns of LIKE: ``%`` stands for any text, ``_`` for any one character (a code point)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from .lexemes import Unfit

WILDCARDS_LIMIT = 128  # of one pattern; with more of them a long text would take long
_WILD = "%_"
_INSTEAD = "write % for any text, _ for any character, and ESCAPE '!' with !% for the sign itself"


def pieces_of(pattern: str, escape: str | None) -> tuple[str, ...]:
    """Texts and, between each two of them, wildcards: ``a%_b`` is ``("a", "%_", "b")``, ``%`` is ``("", "%", "")``.

    ``escape``: the character that takes its meaning from ``%``, ``_`` and itself. Raises ``Unfit`` where it stands
    before anything else, and for a pattern that is too large.
    """
    pieces = [""]
    characters = iter(pattern)
    for c in characters:
        if c == escape:
            c = next(characters, "")
            if not c or c not in _WILD + escape:
                raise Unfit(f"'{escape}' stands before {c or 'nothing'}, which needs no ESCAPE", _INSTEAD)
        elif c in _WILD:
            if len(pieces) % 2:
                pieces.append("")
            pieces[-1] += c
            continue
        if len(pieces) % 2 == 0:
            pieces.append("")
        pieces[-1] += c
    if len(pieces) % 2 == 0:
        pieces.append("")
    found = tuple(p if i % 2 == 0 else _one_percent(p) for i, p in enumerate(pieces))
    if sum(map(len, found[1::2])) > WILDCARDS_LIMIT:
        raise Unfit("a pattern with too many wildcards", f"a pattern has {WILDCARDS_LIMIT} at most")
    try:
        pc.match_substring_regex(pa.array([""]), regex_of(found))
    except pa.ArrowInvalid as error:  # RE2 bounds the memory that a pattern takes
        raise Unfit(f"a pattern that is too large: {error}", _INSTEAD) from None
    return found


def regex_of(pieces: Sequence[str]) -> str:
    """The pattern as RE2 reads it, which takes time in proportion to the text whatever the pattern is."""
    parts = [re.escape(p) if i % 2 == 0 else p.replace("_", ".").replace("%", ".*") for i, p in enumerate(pieces)]
    return rf"(?s)\A{''.join(parts)}\z"


def _one_percent(wildcards: str) -> str:
    """The same with at most one ``%``, at the end."""
    return "_" * wildcards.count("_") + "%" * ("%" in wildcards)
