"""A load generator: N keep-alive connections send prebuilt requests and time the answers.

It is a process of its own, so that its CPU is counted apart from the server's, and it parses no more of an answer than
its status and length. As a program it sends one body again and again; as a module what it is given:

    python -m penstock.bench.load --url http://127.0.0.1:8000/topics/t/events --body event.json --connections 200
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

REFUSED = b"503"  # back-pressure


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Rates are per second of wall clock, times in milliseconds, ``cpu`` seconds of this process."""

    requests: int
    failures: int
    seconds: float
    rate: float
    p50: float
    p99: float
    max: float
    cpu: float


def request(url: str, body: bytes, content_type: str = "application/json", headers: Sequence[str] = ()) -> bytes:
    """The bytes of one POST."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    head = [
        f"POST {path} HTTP/1.1",
        f"host: {parts.netloc}",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class LoadConnection(asyncio.Protocol):
    """Sends the next request when the answer to the last has come, until there are no more."""

    def __init__(self, requests: Iterator[bytes], until: float, times: list[float], failures: list[bytes]) -> None:
        self._requests, self._until, self._times, self._failures = requests, until, times, failures
        self._buffer = b""
        self._missing = -1  # bytes of the answer's body still to come; -1: its head is not here yet
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._send()

    def _send(self) -> None:
        wanted = next(self._requests, None) if time.perf_counter() < self._until else None
        if wanted is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(wanted)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._buffer += data
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._buffer = b""
            if head[9:10] != b"2":
                self._failures.append(head + b"\r\n\r\n" + rest)
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._missing = int(length) - len(rest)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._missing = -1
            self._times.append(time.perf_counter() - self._sent)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _drive(
    host: str, port: int, connections: int, seconds: float, requests: Iterator[bytes]
) -> tuple[list[float], list[bytes]]:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    failures: list[bytes] = []
    until = time.perf_counter() + seconds
    made = [
        await loop.create_connection(lambda: LoadConnection(requests, until, times, failures), host, port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    return times, failures


def run(url: str, requests: Iterator[bytes], *, connections: int, seconds: float) -> LoadReport:
    """Send ``requests`` over ``connections`` until they end or ``seconds`` have passed."""
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    began, cpu = time.perf_counter(), time.process_time()
    times, failures = uvloop.run(_drive(parts.hostname, parts.port, connections, seconds, requests))
    took = time.perf_counter() - began
    ordered = sorted(times) or [float("nan")]
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1e3 for q in (0.5, 0.99)]
    return LoadReport(
        requests=len(times),
        failures=len(failures),
        seconds=round(took, 3),
        rate=round(len(times) / took, 1),
        p50=round(at[0], 2),
        p99=round(at[1], 2),
        max=round(ordered[-1] * 1e3, 2),
        cpu=round(time.process_time() - cpu, 3),
    )


async def _paced(host: str, port: int, requests: Sequence[bytes], rate: float, connections: int) -> list[int | None]:
    """Each request leaves at its own time, on a connection that is free; more are opened when none is."""
    loop = asyncio.get_running_loop()
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    sent: list[int | None] = [None] * len(requests)

    async def one(place: int) -> None:
        stream = free.pop() if free else await asyncio.open_connection(host, port)
        reader, writer = stream
        left = time.time_ns() // 1_000
        writer.write(requests[place])
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        if head[9:10] == b"2":
            sent[place] = left
            free.append(stream)
            return
        writer.close()
        if head[9:12] != REFUSED:
            raise RuntimeError(head.decode())

    free += [await asyncio.open_connection(host, port) for _ in range(connections)]
    began, tasks = loop.time(), []
    for place in range(len(requests)):
        await asyncio.sleep(began + place / rate - loop.time())
        tasks.append(asyncio.create_task(one(place)))
    try:
        await asyncio.gather(*tasks)
    finally:
        for _, writer in free:
            writer.close()
    return sent


def pace(url: str, requests: Sequence[bytes], *, rate: float, connections: int = 8) -> list[int | None]:
    """Send each request once, ``rate`` a second, whatever the answers take.

    When each left, microseconds since 1970; None for one that back-pressure refused. RuntimeError for other refusals.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    return uvloop.run(_paced(parts.hostname, parts.port, requests, rate, connections))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--body", required=True, type=Path, action="append", help="a file; may be given several times")
    parser.add_argument("--content-type", default="application/json")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, given.connections + 64)), hard))
    requests = cycle([request(given.url, path.read_bytes(), given.content_type) for path in given.body])
    print(json.dumps(asdict(run(given.url, requests, connections=given.connections, seconds=given.seconds))))


if __name__ == "__main__":
    main()
