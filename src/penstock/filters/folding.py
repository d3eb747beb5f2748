"""Texts without their case: each character for itself becomes its lower one, where Unicode has one of one character.

So ``STRASSE`` is not ``straße``, and no rule of a language is followed: as in .NET's ordinal comparison, but for a few
characters that share a lower letter and no upper one (the Kelvin sign is a k here). A text keeps its number of
characters.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def fold(texts: pa.Array) -> pa.Array:
    """A column of texts without case; null stays null. Raises nothing."""
    return pc.utf8_lower(texts)


def folded(text: str) -> str:
    """One text without case, as ``fold`` has it. Raises nothing."""
    return text.lower() if text.isascii() else str(fold(pa.scalar(text)).as_py())
