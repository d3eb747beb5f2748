"""What a webhook costs: signed requests of one event to a receiver on this machine.

    python -m bench.delivering [deliveries] [lanes]

The receiver is a process of its own. Printed: deliveries a second, and the CPU of the sending process for each, with
making the parcels.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import httptools
import uvloop

from penstock.clock import SystemClock
from penstock.destinations.interface import Parcel
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.endpoint import Endpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"flight": 1714, "carrier": "UA", "arr_delay": 71.25, "note": "x" * 240}).encode()
HEADERS = (
    ("content-type", "application/json"),
    ("ce-specversion", "1.0"),
    ("ce-source", "/flights/delays"),
    ("ce-type", "delays"),
    ("ce-time", "2013-01-01T05:15:00Z"),
)
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receives(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(OK)


def receive(told: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Receives, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(port: int, deliveries: int, lanes: int) -> None:
    courier = Courier(SystemClock())
    open_ = [
        courier.open(Endpoint(f"http://127.0.0.1:{port}/{n}", [SECRET], allow_http=True, allow_private=True))
        for n in range(lanes)
    ]
    left, over, failed = deliveries, threading.Event(), 0

    def settled(parcel: Parcel) -> None:
        nonlocal left, failed
        assert parcel.answer is not None
        failed += not parcel.answer.ok
        left -= 1
        if left == 0:
            over.set()

    began, used, sent = time.perf_counter(), cpu_s(), 0
    while sent < deliveries:
        idle = True
        for lane in open_:
            if (room := min(lane.room(), deliveries - sent)) > 0:
                numbers = range(sent, sent + room)
                lane.send([Parcel(f"score/features/3/{n}/0", BODY, HEADERS, 1) for n in numbers], settled)
                sent += room
                idle = False
        if idle:
            time.sleep(0.005)
    over.wait()
    wall, used = time.perf_counter() - began, cpu_s() - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    print(
        f"{deliveries} deliveries in {lanes} lanes: {deliveries / wall:,.0f}/s, {used / deliveries * 1e6:.1f} µs CPU "
        f"each, {failed} failed, {memory} MiB",
        flush=True,
    )
    courier.close()


def main(deliveries: str = "40000", lanes: str = "1") -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    receiver = context.Process(target=receive, args=(theirs,), daemon=True)
    receiver.start()
    try:
        port = ours.recv()
        for _ in range(3):
            measure(port, int(deliveries), int(lanes))
    finally:
        receiver.terminate()
        receiver.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
