"""What an HTTP status, or an error of libcurl, means for a parcel.

The names of outcomes and what is tried again are Event Grid's:
https://learn.microsoft.com/azure/event-grid/delivery-and-retry
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

DELIVERED = "Delivered"
SUCCESS = range(200, 205)
FINAL = {400, 401, 403, 413}
GONE = 410
ABOUT_THE_PARCEL = {400, 413}  # they say nothing of the endpoint's health
PAUSING = {429, 503}  # with Retry-After, until when it wants no request
PAUSE_S = 86_400.0  # seconds that an endpoint may ask for
SAID_CHARS = 300  # characters of what it says that are repeated

_STATUSES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "TimedOut",
    410: "Disabled",
    413: "PayloadTooLarge",
    429: "Busy",
    504: "TimedOut",
}
# libcurl's codes are part of its ABI: https://curl.se/libcurl/c/libcurl-errors.html
_ERRORS = {6: "ResolutionError", 28: "TimedOut"}
_SECONDS = re.compile(r"[0-9]+")


def outcome_of_status(status: int) -> str:
    if status in SUCCESS:
        return DELIVERED
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return "Busy"
    return "BadRequest" if status >= 400 else "Aborted"  # a redirect, and a success that the contract does not know


def outcome_of_error(code: int) -> str:
    """Of a request that had no answer."""
    return _ERRORS.get(code, "SocketError")


def retry_after(text: str, now: int) -> float | None:
    """The seconds that a Retry-After asks for, 0 to a day (RFC 9110, 10.2.3); None: it asks for nothing that can be
    read. ``now``: microseconds since the epoch."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text) if len(text) <= len(str(int(PAUSE_S))) else PAUSE_S
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now / 1e6
    return min(max(seconds, 0.0), PAUSE_S)


def said(body: bytes) -> str:
    """What an endpoint says, in one line that a terminal can show."""
    text = " ".join(body.decode(errors="replace").split())
    return "".join(c for c in text if c.isprintable())
