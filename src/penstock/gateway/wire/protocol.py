"""uvicorn's HTTP/1.1 protocol with the limits that it lacks: on heads, on their time, and on connections."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ...settings import Settings
from .asgi import WHOLE, Headers

HEAD_LIMIT = 64 << 10  # bytes of a request's line and headers


def protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """The class for these settings: uvicorn makes one instance a connection and passes no arguments of ours."""

    class Guarded(HttpToolsProtocol):
        _head_bytes = 0
        _in_head = True
        _head_timer: asyncio.TimerHandle | None = None
        _write_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > settings.connection_limit:
                self._refuse(503, b"connection_limit", b"too many connections", b"retry-after: 1\r\n")
                return
            self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_arrived()
            self._written()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            """The client takes nothing, and what is written for it waits here."""
            super().pause_writing()
            self._write_timer = self.loop.call_later(settings.write_timeout, self.transport.abort)

        def resume_writing(self) -> None:
            self._written()
            super().resume_writing()

        def _written(self) -> None:
            if self._write_timer is not None:
                self._write_timer.cancel()
                self._write_timer = None

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            if self._in_head:
                self._head_bytes += len(data)
            super().data_received(data)
            if self._in_head and self._head_bytes > HEAD_LIMIT:
                self._refuse(431, b"headers_too_large", b"the request's head is over %d bytes" % HEAD_LIMIT)
            elif self._in_head and self._head_bytes and self._head_timer is None:
                self._expect_head()  # most heads come whole and need no timer

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head = True

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._head_bytes = 0
            self._head_arrived()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_head = True
            super().on_message_complete()

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
            cycle.scope[WHOLE] = partial(self._send_whole, cycle)  # type: ignore[literal-required]
            super()._start_asgi_task(cycle, app)

        def _send_whole(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
            """A third of a small request's time goes into a second packet, and into checks of headers of our own."""
            if status != 200 or cycle.flow.write_paused or not cycle.keep_alive or cycle.scope["method"] == "HEAD":
                return False
            if not cycle.disconnected:
                lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
                self.transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
                cycle.response_started = cycle.response_complete = True
                del cycle.scope[WHOLE]  # type: ignore[misc]  # a circle that the collector need not find
                cycle.on_response()
            return True

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, b"bad_request", b"this is not HTTP/1.1: " + msg.encode("ascii", "replace"))

        def _expect_head(self) -> None:
            self._head_timer = self.loop.call_later(settings.header_timeout, self._head_is_late)

        def _head_arrived(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _head_is_late(self) -> None:
            if not self.transport.is_closing():
                self._refuse(408, b"timeout", b"the request's head did not arrive in time")

        def _refuse(self, status: int, code: bytes, message: bytes, more: bytes = b"") -> None:
            self._head_arrived()
            body = b'{"error":{"code":"%b","message":"%b"}}' % (code, message)
            head = b"HTTP/1.1 %d \r\ncontent-type: application/json\r\nconnection: close\r\n" % status
            self.transport.write(head + more + b"content-length: %d\r\n\r\n" % len(body) + body)
            self.transport.close()

    return Guarded


def config(app: Any, settings: Settings) -> dict[str, Any]:
    """What uvicorn is told: nothing is logged a request, and no header says what serves."""
    return {
        "app": app,
        "http": protocol(settings),
        "ws": "none",
        "loop": "uvloop",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": max(1, int(settings.drain_timeout)),
        "backlog": 2_048,
    }
