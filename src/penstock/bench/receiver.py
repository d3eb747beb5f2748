"""A receiver of webhooks for the bench: a process of its own, that counts and answers 204."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, cast

import uvloop

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
EVENT = b'"specversion"'  # of which each event in a body of several has one


@dataclass(slots=True)
class Received:
    """``times``: of each request with one event, when it came, microseconds since 1970, and its event's time."""

    events: int = 0
    times: list[tuple[int, bytes]] = field(default_factory=list)


class ReceivedRequests(asyncio.Protocol):
    """One connection, that adds what it received to what all did."""

    def __init__(self, received: Received) -> None:
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """One request at a time: the sender waits for its answer."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < int(_header(head, b"content-length")):
            return
        self._buffer = b""
        self._received.events += body.count(EVENT) or 1
        if appended := _header(head, b"ce-time"):
            self._received.times.append((time.time_ns() // 1_000, appended))
        self._transport.write(OK)


def _header(head: bytes, name: bytes) -> bytes:
    """Empty where there is none."""
    start = head.lower().find(b"\r\n" + name + b":")
    return b"" if start < 0 else head[start + len(name) + 3 :].partition(b"\r\n")[0].strip()


def serve(asked: Connection) -> None:
    """Says its port, and to whatever it is sent what it received since it was last asked."""

    async def run() -> None:
        loop, received = asyncio.get_running_loop(), Received()
        server = await loop.create_server(lambda: ReceivedRequests(received), "127.0.0.1", 0)
        asked.send(server.sockets[0].getsockname()[1])

        def answer() -> None:
            asked.recv()
            asked.send(received)
            received.events = 0
            received.times.clear()

        loop.add_reader(asked.fileno(), answer)
        await server.serve_forever()

    uvloop.run(run())


@dataclass(frozen=True, slots=True)
class Receiver:
    url: str
    _ask: Connection

    def take(self) -> Received:
        """What came since the last call."""
        self._ask.send(None)
        return cast(Received, self._ask.recv())

    def wait_for(self, events: int, *, timeout: float = 120.0) -> list[tuple[int, bytes]]:
        """The times of the requests up to the one that makes it ``events``. Raises ``TimeoutError``."""
        until, found, times = time.monotonic() + timeout, 0, list[tuple[int, bytes]]()
        while found < events:
            if time.monotonic() > until:
                raise TimeoutError(f"{found} of {events} events were delivered within {timeout:g} s")
            time.sleep(0.005)
            received = self.take()
            found += received.events
            times += received.times
        return times


@contextmanager
def receiving() -> Iterator[Receiver]:
    context: Any = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Receiver(f"http://127.0.0.1:{ours.recv()}/events", ours)
    finally:
        process.terminate()
        process.join()
