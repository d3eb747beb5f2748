"""The gateway process's server: one event loop, HTTP/1.1 on one address of this machine."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Callable

import uvicorn
import uvloop

from .app import Gateway
from .hosts import check_bind
from .rooms import Rooms
from .wire.protocol import config

YOUNG = 20_000  # objects made before the collector looks: requests leave no circles, so there is little to find
PATIENCE = 0.5  # of the time to drain, in which who waits for a stage may still get an answer of it


def serve(rooms: Rooms, listening: socket.socket, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Serve until ``stop`` is set, then drain: no new connections, requests under way are answered, ingest is empty.

    ``ready`` is called once requests are answered. The caller owns signals; this installs none.
    """
    check_bind(listening.getsockname()[0])
    gc.freeze()  # plan, doors and libraries stay; a collector that looks at them took a sixth of a small request
    gc.set_threshold(YOUNG, 10, 10)
    uvloop.run(_serve(rooms, listening, stop, ready))


async def _serve(rooms: Rooms, listening: socket.socket, stop: threading.Event, ready: Callable[[], None]) -> None:
    gateway = Gateway(rooms)
    server = uvicorn.Server(uvicorn.Config(**config(gateway, rooms.settings)))
    serving = asyncio.create_task(server._serve([listening]))  # serve() would take the process's signals
    while not server.started and not serving.done():
        await asyncio.sleep(0.001)
    if server.started:
        ready()
    while not stop.is_set() and not serving.done():
        await asyncio.sleep(0.1)
    server.should_exit = True
    hurry = asyncio.get_running_loop().call_later(rooms.settings.drain_timeout * PATIENCE, gateway.hurry)
    await serving
    hurry.cancel()
    await gateway.close()
