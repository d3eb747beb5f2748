"""The few types and sends of ASGI that doors share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

Headers: TypeAlias = list[tuple[bytes, bytes]]
Whole: TypeAlias = Callable[[int, Headers, bytes], bool]

JSON_TYPE = (b"content-type", b"application/json")
WHOLE = "penstock.whole"
"""In a scope: a way to send a whole answer in one packet and without waiting. It says whether it could."""


async def answer(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    whole: Whole | None = scope.get(WHOLE)
    if whole is None or not whole(status, headers, body):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
