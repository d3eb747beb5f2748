"""Numbers of a JSON text that is kept as it is: are they such that a reader of it can hold them?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

DIGITS = 4_300  # of one number, its sign and exponent included: so many Python turns into an integer unasked

# Digits all look alike, and so do the letter of an exponent and its plus: then two plain searches, which are as fast as
# memory, tell of most texts that they have neither an exponent of three digits nor as many digits as no double has.
_DIGITS, _PARTS = b"0123456789", b"0123456789.-+eE"
_FOLDED = bytes(0x30 if byte in _DIGITS else 0x65 if byte in b"eE+" else 0x20 for byte in range(256))
_EXPONENT, _LONG = b"e000", b"0" * 309


def unreadable(text: bytes) -> str | None:
    """Why a number in these valid JSON values is refused: beyond a double, or with too many digits. None: none is."""
    folded = text.translate(_FOLDED)
    if _EXPONENT not in folded and _LONG not in folded:
        return None
    bare = text.replace(rb"\\", b"__").replace(rb"\"", b"__")  # now every quote begins or ends a string
    quotes = np.flatnonzero(np.frombuffer(bare, np.uint8) == ord('"'))
    places = np.fromiter((at for needle in (_EXPONENT, _LONG) for at in _places(folded, needle)), np.int64)
    for place in places[np.searchsorted(quotes, places) % 2 == 0].tolist():  # of those that are in no string
        number = _number_at(bare, place)
        if len(number) > DIGITS or (not number.lstrip(b"-").isdigit() and math.isinf(float(number))):
            return f"the number {number[:20].decode()}… is beyond a double, or has more than {DIGITS} digits"
    return None


def _places(folded: bytes, needle: bytes) -> Iterator[int]:
    at = folded.find(needle)
    while at >= 0:
        yield at
        at = folded.find(needle, at + len(needle))


def _number_at(bare: bytes, place: int) -> bytes:
    """The number around a place, or so much of it that it is too long."""
    before, after = bare[max(0, place - DIGITS) : place], bare[place : place + DIGITS + 1]
    start, stop = len(before.rstrip(_PARTS)), len(after) - len(after.lstrip(_PARTS))
    return before[start:] + after[:stop]
