"""JSON that says what is asked, and is never large."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from ...errors import InvalidEvent, TooLarge

LIMIT_BYTES = 64 << 10

T = TypeVar("T")


async def read_small(request: Request, kind: type[T], limit_bytes: int = LIMIT_BYTES) -> T:
    """Raises ``TooLarge``, and ``InvalidEvent`` for a body that is none of this kind, of which it repeats nothing that
    could be secret."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > limit_bytes:
            raise TooLarge(f"the body is over {limit_bytes} bytes: send less at once")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEvent(str(error)) from None
    except ValueError:
        raise InvalidEvent("the body holds a value that cannot be") from None
