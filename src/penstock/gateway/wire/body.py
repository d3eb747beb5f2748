"""A request's body, whole and decompressed, never more of it in memory than its limits allow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import pyarrow as pa
import zstandard

from ...errors import InvalidEvent, TooLarge, UnsupportedMediaType
from ...schema.ingress.depth import opened
from ...settings import Settings
from ...stages.ingest.group_commit import Ingest
from .asgi import Receive
from .errors import BadRequest, Disconnected

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte-order mark, which some programs write before JSON; it may be passed over (RFC 8259 §8.1)."""

P = ParamSpec("P")
T = TypeVar("T")

LARGE_BYTES = 1 << 20  # bytes of a body that takes so many milliseconds to read that all others would notice
MANY = 5_000  # objects and lists of one that does, however small it is
BATCHES, MANY_BYTES = 64, 64 << 10  # likewise record batches of Arrow, in a body of so many bytes
PART_BYTES = 256 << 10  # bytes decompressed at once
BREATH_S = 0.0002  # seconds in which a thread with much to do lets all others go first
WINDOW_LIMIT_BYTES = 8 << 20  # bytes of zstd's window, as RFC 8878 recommends for decoders


class Reservation:
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


class Body:
    """A request's. ``is_large``: to read it would keep the event loop from all others.

    ``parts`` are read once. Those of a large compressed body are unpacked as they are taken, and may raise what
    ``Unpacked`` raises.
    """

    def __init__(self, head: list[bytes], packed: Unpacked | None = None) -> None:
        self.is_large = len(head) > 1 or is_large(b"".join(head))
        self.parts: Iterator[bytes] = chain(head, packed or ())
        self._size, self._packed = sum(map(len, head)), packed

    @property
    def size(self) -> int:
        """Bytes that have come of it."""
        return self._size if self._packed is None else self._packed.size

    @property
    def unpacked(self) -> int:
        """Those of them that were made here, and for which no room has been taken."""
        return 0 if self._packed is None else self._packed.size


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], room: Reservation, settings: Settings) -> Body:
    """Takes the room for its bytes as they came. Raises ``TooLarge``, ``Busy``, ``UnsupportedMediaType``,
    ``InvalidEvent`` (not what its encoding says)."""
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
        return Body([body])
    packed = Unpacked(body, encoding, limit)
    head = await asyncio.to_thread(list, islice(packed, 2))  # a few bytes may promise the whole limit
    return Body(head, packed)


class Unpacked:
    """The parts of a compressed body, ``PART_BYTES`` each at most, whatever it promises. Read by one thread at a time.

    Raises ``InvalidEvent`` for what is not such a body, as soon as that shows; ``TooLarge`` for one over ``limit``
    bytes, and for a window of zstd's that takes too much memory.
    """

    def __init__(self, body: bytes, encoding: str, limit: int) -> None:
        if encoding == "zstd":
            _check_window(body)
        self._encoding, self._limit = encoding, limit
        self.size = 0  # bytes that have come
        with self._told():
            self._stream = pa.CompressedInputStream(pa.BufferReader(body), encoding)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._told():
            part: bytes = self._stream.read(PART_BYTES)
        if not part:
            raise StopIteration
        if (size := self.size + len(part)) > self._limit:
            raise TooLarge(
                f"the body is over the limit of {self._limit} bytes once decompressed: send several smaller ones"
            )
        self.size = size
        return part

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidEvent(f"the body is not whole {self._encoding}: {error}") from None


def is_large(body: bytes) -> bool:
    """Would reading it keep the event loop from all others?"""
    return (
        len(body) >= LARGE_BYTES
        or (len(body) > MANY and opened(body) > MANY)
        or (len(body) >= MANY_BYTES and _has_many_batches(body))
    )


def _has_many_batches(body: bytes) -> bool:
    first = body.find(b"\xff")  # which no text holds, and one byte is found many times faster than four
    return first >= 0 and body.count(b"\xff\xff\xff\xff", first) > BATCHES


async def beside(threads: Executor, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Do what takes long in another thread, so that the event loop goes on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(threads, partial(work, *given, **named))


def breathe() -> None:
    """Between two steps of long work beside the event loop. A step keeps Python to itself, and so would the next one:
    a thread that gives it up and wants it again at once mostly gets it."""
    time.sleep(BREATH_S)


async def _rest(receive: Receive, first: bytes, room: Reservation, settings: Settings) -> bytes:
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


def _check_window(body: bytes) -> None:
    try:
        window = zstandard.get_frame_parameters(body).window_size
    except zstandard.ZstdError as error:
        raise InvalidEvent(f"the body is not whole zstd: {error}") from None
    if window > WINDOW_LIMIT_BYTES:
        raise TooLarge(f"the zstd window has {window} bytes, and the limit is {WINDOW_LIMIT_BYTES}")
