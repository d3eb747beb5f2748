"""Numbers of a JSON text that is kept as it is: are they such that a reader of it can hold them?"""

from __future__ import annotations

import math
import re

DIGITS = 4_300  # of one number: what Python turns into an integer without being asked to

# Most texts have none of these: an exponent of three digits, or more digits in a row than a double's largest has.
_FAR = re.compile(rb"[eE]\+?[0-9]{3}|(?<![0-9])[0-9]{309}")
_NUMBER = re.compile(
    rb"(?<![0-9.])-?(?:[0-9]{309,}+(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|[0-9]++(?:\.[0-9]++)?+[eE]\+?[0-9]{3,}+)"
)


def unreadable(text: bytes) -> str | None:
    """Why a number in these valid JSON values is refused: beyond a double, or with too many digits. None: none is."""
    if _FAR.search(text) is None:
        return None
    bare = text.replace(rb"\\", b"__").replace(rb"\"", b"__")  # now every quote begins or ends a string
    at = quotes = 0
    for found in _NUMBER.finditer(bare):
        number = found[0]
        if len(number) > DIGITS or (not number.lstrip(b"-").isdigit() and math.isinf(float(number))):
            quotes += bare.count(b'"', at, found.start())
            at = found.start()
            if quotes % 2 == 0:
                return f"the number {number[:20].decode()}… is beyond a double, or has more than {DIGITS} digits"
    return None
