"""A request's body, whole and decompressed, never more of it in memory than its limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import pyarrow as pa
import zstandard

from ...errors import InvalidEvent, TooLarge, UnsupportedMediaType
from ...settings import Settings
from ...stages.ingest.group_commit import Ingest
from .answers import BadRequest, Disconnected
from .asgi import Receive

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte-order mark, which some programs write before JSON; it may be passed over (RFC 8259 §8.1)."""

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 1 << 20  # bytes of a body that takes so many milliseconds to read that all others would notice
WINDOW_LIMIT = 8 << 20  # bytes of zstd's window, as RFC 8878 recommends for decoders


class Room:
    """What one request holds of ingest's room, as its bytes arrive; given back when the request is answered."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest, self._size = ingest, 0

    def take(self, size: int) -> None:
        self._ingest.hold(size)
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ingest.release(self._size)


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], room: Room, settings: Settings) -> bytes:
    """Raises ``TooLarge``, ``Busy``, ``UnsupportedMediaType``, ``InvalidEvent`` (not what its encoding says)."""
    limit = settings.body_limit
    if (announced := headers.get(b"content-length")) is not None and int(announced) > limit:
        raise TooLarge(f"the body has {int(announced)} bytes, and the limit is {limit}: send several smaller requests")
    encoding = headers.get(b"content-encoding", b"identity").strip().lower().decode("latin-1")
    encoding = "gzip" if encoding == "x-gzip" else encoding  # RFC 9110 §8.4.1.3
    if encoding not in ("identity", "gzip", "zstd"):
        raise UnsupportedMediaType(f"content encoding '{encoding}' is not one of gzip, zstd")
    message = await receive()
    body: bytes = message.get("body", b"")
    room.take(len(body))
    if message["type"] == "http.disconnect":
        raise Disconnected("the publisher went away")
    if message.get("more_body", False):
        body = await _rest(receive, body, room, settings)
    if len(body) > limit:
        raise TooLarge(f"the body is over the limit of {limit} bytes: send several smaller requests")
    if encoding == "identity":
        return body
    plain = await asyncio.to_thread(decompress, body, encoding, limit)  # a few bytes may promise the whole limit
    room.take(len(plain))
    return plain


async def beside(size: int, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Do what takes long for its size in another thread, so that the event loop goes on meanwhile."""
    return work(*given, **named) if size < LARGE else await asyncio.to_thread(work, *given, **named)


async def _rest(receive: Receive, first: bytes, room: Room, settings: Settings) -> bytes:
    body = bytearray(first)
    more = True
    try:
        async with asyncio.timeout(settings.body_timeout):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected("the publisher went away")
                part: bytes = message.get("body", b"")
                room.take(len(part))
                body += part
                more = message.get("more_body", False) and len(body) <= settings.body_limit
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {settings.body_timeout:g} s") from None
    return bytes(body)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """At most one byte over ``limit`` is ever made, whatever the body promises."""
    if encoding == "zstd":
        _check_window(body)
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), encoding) as stream:
            plain: bytes = stream.read(limit + 1)
    except OSError as error:
        raise InvalidEvent(f"the body is not whole {encoding}: {error}") from None
    if len(plain) > limit:
        raise TooLarge(f"the body is over the limit of {limit} bytes once decompressed: send several smaller requests")
    return plain


def _check_window(body: bytes) -> None:
    try:
        window = zstandard.get_frame_parameters(body).window_size
    except zstandard.ZstdError as error:
        raise InvalidEvent(f"the body is not whole zstd: {error}") from None
    if window > WINDOW_LIMIT:
        raise TooLarge(f"the zstd window has {window} bytes, and the limit is {WINDOW_LIMIT}")
