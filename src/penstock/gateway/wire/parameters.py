"""Query parameters that several doors read. A wrong one is a ``BadRequest`` that says what would be right."""

from __future__ import annotations

import math
import re

from .errors import BadRequest

DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s)?", re.ASCII)
INT64_MAX = 2**63 - 1


def duration(text: str, name: str, limit: float) -> float:
    """Seconds: ``200ms``, ``1.5s`` or ``2``; at most ``limit``."""
    found = DURATION.fullmatch(text)
    seconds = float(found[1]) / (1_000 if found[2] == "ms" else 1) if found else math.nan
    if not 0 <= seconds <= limit:
        raise BadRequest(f"{name}={text!r:.60} must be a time like 200ms or 2s, at most {limit:g}s")
    return seconds


def whole(text: str, name: str, low: int, high: int) -> int:
    """A decimal number from ``low`` to ``high``."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise BadRequest(f"{name}={text!r:.60} must be a whole number from {low} to {high}")
    return int(text)
