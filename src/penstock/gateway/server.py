"""The gateway process's server: one event loop, HTTP/1.1 on one address of this machine, in plain or within TLS."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import uvicorn
import uvloop

from ..access.state import KeyState
from ..settings import Settings
from .access import AccessAdmission
from .app import Gateway
from .hosts import check_bind
from .principal import Admission
from .routes import CATCHER_ROUTES, ROUTES
from .services import GatewayServices
from .tls.handshakes import TLSHandshakes
from .tls.renewal import Certificates
from .wire.protocol import config, protocol

SWITCH_S = 0.0005  # seconds after which a thread that computes gives way: the loop asks for its turn again and again
YOUNG = 20_000  # objects made before the collector looks: requests leave no circles, so there is little to find
PATIENCE = 0.5  # of the time to drain, in which who waits for a stage may still get an answer of it


def serve(
    services: GatewayServices,
    listening: socket.socket,
    stop: threading.Event,
    ready: Callable[[], None],
    certificates: Certificates | None = None,
) -> None:
    """Serve until ``stop`` is set, then drain: no new connections, requests under way are answered, ingest is empty.

    ``ready`` is called once requests are answered. The caller owns signals; this installs none. With ``certificates``
    nothing but TLS is spoken; who renews them calls ``run`` of theirs.
    """
    check_bind(listening.getsockname()[0], access=services.audit is not None)
    gc.freeze()  # plan, doors and libraries stay; a collector that looks at them took a sixth of a small request
    gc.set_threshold(YOUNG, 10, 10)
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(_serve(services, listening, stop, ready, certificates))


class _Server(uvicorn.Server):
    """uvicorn's, told when to end instead of looking ten times a second."""

    def __init__(
        self, settings: Settings, gateway: Gateway, stopped: asyncio.Event, certificates: Certificates | None
    ) -> None:
        made = protocol(settings)
        self._handshakes = None if certificates is None else TLSHandshakes(certificates, settings, made)
        super().__init__(uvicorn.Config(**config(gateway, settings, self._handshakes or made)))
        self._stopped = stopped

    async def main_loop(self) -> None:
        while not self._stopped.is_set():
            await self.on_tick(0)  # the Date of the answers
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._handshakes is not None:
            self._handshakes.end()
        await super().shutdown(sockets)
        for left in list(self.server_state.connections):  # the loop ends when the last is closed, and not before
            left.transport.abort()


async def _serve(
    services: GatewayServices,
    listening: socket.socket,
    stop: threading.Event,
    ready: Callable[[], None],
    certificates: Certificates | None,
) -> None:
    routes = ROUTES if services.catcher is None else (*ROUTES, *CATCHER_ROUTES)
    gateway, stopped = Gateway(services, routes, _admission(services)), asyncio.Event()
    threading.Thread(target=_tell, args=(stop, asyncio.get_running_loop(), stopped), name="stop", daemon=True).start()
    server = _Server(services.settings, gateway, stopped, certificates)
    serving = asyncio.create_task(server._serve([listening]))  # serve() would take the process's signals
    while not server.started and not serving.done():
        await asyncio.sleep(0.001)
    if server.started:
        ready()
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait((stopping, serving), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if services.catcher is not None:
        services.catcher.released.set()
    hurry = asyncio.get_running_loop().call_later(services.settings.drain_timeout * PATIENCE, gateway.hurry)
    await serving
    hurry.cancel()
    await gateway.close()


def _admission(services: GatewayServices) -> Admission | None:
    if services.audit is None:
        return None
    state = services.registry.view.areas.only(KeyState)
    return AccessAdmission(state, services.clock, services.tokens, services.sas_secret)


def _tell(stop: threading.Event, loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    stop.wait()
    with suppress(RuntimeError):  # the loop has ended before
        loop.call_soon_threadsafe(stopped.set)
