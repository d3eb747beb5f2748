"""uvicorn's HTTP/1.1 protocol with what it lacks: limits on heads, on time and on connections, and polite endings.

A refusal waits its turn behind the answers to what was asked before it on the connection. A connection ends so that
the last answer arrives (RFC 9112 §9.6): what the client still sends is read and thrown away for a while. An offer to
upgrade is passed over, and the request behind it is read as any other (RFC 9110 §7.8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ...settings import Settings
from .asgi import WHOLE, Headers, Message, Receive, Scope, Send

HEAD_LIMIT_BYTES = 64 << 10  # bytes of a request's line and headers
PROGRESS_BYTES = 64 << 10  # bytes of a body after which its connection counts as a young one again
GRACE_S = 1.0  # seconds in which nobody has to give way
LINGER_S = 10.0  # seconds for which a client may still send, after its last answer
QUIET_S = 1.0  # seconds of silence after which it is done, where it cannot be told that nothing more comes (TLS)
LINGER_BODIES = 8  # times the limit of a body that it may still send
OFFER = (b"upgrade", b"http2-settings")


class GuardedProtocol(HttpToolsProtocol):
    """One instance a connection; ``protocol`` makes the class that has the first two.

    Types are ignored where uvicorn's own say less than it passes: of a transport, of a scope's keys.
    """

    limits: ClassVar[Settings]
    waiting: ClassVar[dict[GuardedProtocol, None]]  # from which something is to come, those first that keep us longest

    _head_bytes = 0  # that came for the head which is not whole yet
    _in_head = True  # or between two requests
    _open = 0  # requests whose head was whole and that are not answered
    _offered = False  # the head at hand offers an upgrade
    _timer: asyncio.TimerHandle | None = None  # for the rest of a head or of a body
    _write_timer: asyncio.TimerHandle | None = None  # for the client to take what is written
    _since = 0.0  # the loop's time when it began to wait for the client, or its body last made progress
    _heard = 0.0  # the loop's time when anything came last
    _moved = 0  # bytes of a body since ``_since``
    _fault: tuple[int, bytes, bytes] | None = None  # found in a head by a callback of the parser
    _refusal: bytes | None = None  # what is said after all answers, before the connection ends
    _discard: int | None = None  # bytes that may still come and are thrown away
    extensions: Mapping[str, Any] | None = None  # of ASGI, for each scope: what TLS says of the connection

    # -- the connection -------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._closing = _Closing(self)
        if len(self.connections) > self.limits.connection_limit and not self._made_room(self.loop.time()):
            self._refuse(503, b"connection_limit", b"too many connections", b"retry-after: 1\r\n")
            self.transport.close()  # at once: the files that are left are for others
            return
        self._wait()
        self._timer = self.loop.call_later(self.limits.header_timeout, self._is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        self._cancel_timer()
        self._written()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has said all it wants may still listen for its answers."""
        if self._discard is not None or not (self._open and self._in_head and not self._head_bytes):
            return False
        if not self.transport.can_write_eof():
            return False  # with TLS a farewell is one of both sides
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """The client takes nothing, and what is written for it waits here."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        self._written()
        super().resume_writing()

    def _written(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def data_received(self, data: bytes) -> None:
        if self._discard is not None:
            self._throw_away(len(data))
            return
        if self.transport.is_closing() or self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(*(self._fault or (400, b"bad_request", b"this is not HTTP/1.1")))
            return
        if self._in_head and self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(*TOO_LONG)
        else:
            self._watch(len(data))

    def _parse(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                self.parser.feed_data(left)
                return
            except httptools.HttpParserUpgrade as offer:
                left = left[offer.args[0] :]
                self._decline()

    def _decline(self) -> None:
        """The parser has stopped behind the head: another one begins with the same head without its offer."""
        self._offered = False
        headers = [(n, _without_offer(v) if n == b"connection" else v) for n, v in self.headers if n not in OFFER]
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self.parser.feed_data(b"\r\n".join((line, *(b"%b: %b" % header for header in headers), b"", b"")))

    @classmethod
    def _made_room(cls, now: float) -> bool:
        """Has the connection that kept us waiting longest been let go?"""
        longest = next(iter(cls.waiting), None)
        if longest is None or now - longest._since < GRACE_S:
            return False
        del cls.waiting[longest]
        longest.give_way()
        return True

    # -- what the parser tells ------------------------------------------------

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._fault = (405, b"method_not_allowed", b"this is no proxy")
                raise ValueError
            self._offered = True
            return
        if _size(self.url, self.headers) > HEAD_LIMIT_BYTES:  # many bytes in one packet are counted only now
            self._fault = TOO_LONG
            raise ValueError
        self._in_head = False
        self._head_bytes = 0
        self._cancel_timer()
        self._open += 1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._in_head = True
        self._cancel_timer()
        if self._open:
            self.waiting.pop(self, None)
        super().on_message_complete()

    # -- waiting for the client -----------------------------------------------

    def _wait(self) -> None:
        self._since, self._moved = self.loop.time(), 0
        self.waiting.pop(self, None)
        self.waiting[self] = None

    def _watch(self, size: int) -> None:
        """After every packet: what is not whole yet has a time."""
        if not self._in_head:
            self._heard = self.loop.time()
            self._moved += size
            if self._moved > PROGRESS_BYTES and self in self.waiting:
                self._wait()
            if self._timer is None:
                self._timer = self.loop.call_later(self.limits.body_timeout, self._is_late)
        elif self._head_bytes and self._timer is None:  # most heads come whole and need no timer
            self._timer = self.loop.call_later(self.limits.header_timeout, self._is_late)

    def _is_late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._hurry_up(b"the request's head did not arrive in time")
            return
        left = self.limits.body_timeout - (self.loop.time() - self._heard)
        if left > 0 or self.flow.read_paused:  # it came along, or it is we who do not read
            self._timer = self.loop.call_later(max(left, 1.0), self._is_late)
        else:
            self._hurry_up(b"nothing more of the request's body arrived in time")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def give_way(self) -> None:
        """Others need the connection, and this one keeps it for nothing."""
        if self._discard is not None or self.transport.is_closing():
            self.transport.abort()
        elif self._in_head and not self._head_bytes:
            self.transport.close()
        else:
            self._hurry_up(b"others need the connection, and this request was slow to arrive")

    def _hurry_up(self, message: bytes) -> None:
        self._refuse(408, b"timeout", message)
        if not self._open:
            self.transport.close()  # who sends so slowly has nothing under way that could hide the answer

    # -- answers --------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.scope[WHOLE] = partial(self._send_whole, cycle)  # type: ignore[literal-required]
        cycle.transport = self._closing  # type: ignore[assignment]
        if self.extensions is not None:
            cycle.scope["extensions"] = self.extensions  # type: ignore[typeddict-item]
        super()._start_asgi_task(cycle, partial(_answered, cycle, app))

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

    def on_response_complete(self) -> None:
        self._open -= 1
        super().on_response_complete()
        if self._refusal is not None and not self._open:
            self._say_refusal()
        elif self._open <= (not self._in_head):
            self._wait()

    # -- endings --------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, b"bad_request", b"this is not HTTP/1.1: " + msg.encode("ascii", "replace"))

    def _refuse(self, status: int, code: bytes, message: bytes, more: bytes = b"") -> None:
        """Read nothing more of this connection, answer what was asked before, and say this last."""
        self._cancel_timer()
        body = b'{"error":{"code":"%b","message":"%b"}}' % (code, message)
        head = b"HTTP/1.1 %d \r\ncontent-type: application/json\r\nconnection: close\r\n" % status
        self._refusal = head + more + b"content-length: %d\r\n\r\n" % len(body) + body
        if not self._in_head:
            self._abandon()
        if not self._open:
            self._say_refusal()

    def _abandon(self) -> None:
        """The request whose body is under way will never be whole."""
        cycle = self.cycle
        if cycle.response_started:
            self._refusal = b""  # it has had its answer
        if cycle.response_complete:
            return
        if not cycle.response_started:
            self._open -= 1
            cycle.disconnected = True
            cycle.on_response = lambda: None
            self.pipeline = type(self.pipeline)(entry for entry in self.pipeline if entry[0] is not cycle)
        cycle.message_event.set()

    def _say_refusal(self) -> None:
        if self._refusal:
            self.transport.write(self._refusal)
        self._linger()

    def end(self) -> None:
        """After the last answer."""
        if self._in_head and self._refusal is None:
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        if self._discard is not None or self.transport.is_closing():
            return
        self._discard = LINGER_BODIES * self.limits.body_limit
        self._cancel_timer()
        self._wait()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self._listen_on()

    def _listen_on(self) -> None:
        now = self.loop.time()
        if now - self._since < LINGER_S and (self._timer is None or now - self._heard < QUIET_S):
            self._timer = self.loop.call_later(QUIET_S, self._listen_on)
        else:
            self.transport.close()

    def _throw_away(self, size: int) -> None:
        assert self._discard is not None
        self._heard = self.loop.time()
        self._discard -= size
        if self._discard < 0:
            self.transport.close()


def protocol(settings: Settings) -> type[GuardedProtocol]:
    """The class for these settings: uvicorn makes one instance a connection and passes no arguments of ours."""

    class Configured(GuardedProtocol):
        limits = settings
        waiting: ClassVar[dict[GuardedProtocol, None]] = {}

    return Configured


TOO_LONG = (431, b"headers_too_large", b"the request's head is over %d bytes" % HEAD_LIMIT_BYTES)


class _Closing:
    """A connection's transport, as far as a request needs it, whose ``close`` lets the last answer arrive."""

    def __init__(self, protocol: Any) -> None:
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing
        self.close = protocol.end


async def _answered(
    cycle: RequestResponseCycle, app: ASGI3Application, scope: Scope, receive: Receive, send: Send
) -> None:
    """An answer that comes before the whole body ends the connection: nobody wants to read the rest."""

    async def say(message: Message) -> None:
        if cycle.more_body and message["type"] == "http.response.start":
            cycle.keep_alive = False
        await send(message)

    await app(scope, receive, say)  # type: ignore[arg-type]


def _without_offer(connection: bytes) -> bytes:
    options = (option.strip() for option in connection.split(b","))
    return b", ".join(option for option in options if option.lower() not in OFFER)


def _size(url: bytes, headers: Headers) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def config(app: Any, settings: Settings, http: Any) -> dict[str, Any]:
    """What uvicorn is told: nothing is logged a request, and no header says what serves. ``http`` is called for each
    connection: what ``protocol`` makes, or what hands connections on to it."""
    return {
        "app": app,
        "http": http,
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
