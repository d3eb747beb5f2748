"""HTTP requests, many at once, by libcurl: the only module that knows it.

libcurl is told which descriptors are ready (``socket_action``), and waits for none itself: ``multi.select`` knows
descriptors below 1,024 only. Everything here belongs to one thread, but for ``wake``.
"""

from __future__ import annotations

import os
import re
import select
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from ...errors import CannotStart, install
from .addresses import refusal
from .endpoint import Endpoint
from .limits import Limits

try:
    import pycurl
except ImportError:
    raise CannotStart(f"webhooks need pycurl: {install('webhooks')}") from None

TURN_S = 60.0  # seconds that one wait lasts at most, with nothing to do
KEPT_BYTES = 4 << 10  # bytes of a body that are kept to be told
READY_IN, READY_OUT, READY_ERROR, READY_HANG_UP = 1, 4, 8, 16  # the same for epoll and poll
POST_HELD_BYTES = 64 << 10  # bytes of a request's body that a handle may hold on to when it is over
TOO_LONG = "the head of the answer is too long"
_STATUS = re.compile(rb"HTTP/1\.[01] +([1-9][0-9]{2})")

Resolver = Callable[[str], Sequence[str]]


class Opened(socket.socket):
    """Of what it is given pycurl keeps a duplicate, and lets go of this one."""

    def __del__(self) -> None:
        self.close()


class Exchange:
    """A request and its answer; used again for others. ``context`` is whoever's began it.

    Over, it has either a ``status`` (of a head that came whole, whatever became of the body) or libcurl's ``error``.
    """

    def __init__(self, limits: Limits) -> None:
        self.context: Any = None
        self.status = self.error = 0
        self.message = ""  # what libcurl says of the error
        self.retry_after = ""
        self.allowed_origin: str | None = None  # of CloudEvents' handshake, as is the rate
        self.allowed_rate: str | None = None
        self.body = b""
        self.vetoed = ""  # why an address was not connected
        self._limits = limits
        self._head = self._length = 0
        self._whole = self._private = self._large = self._reached = False
        self._endpoint: Endpoint | None = None
        self._method = "POST"
        self.handle = handle = pycurl.Curl()
        handle.exchange = self
        for option, value in (
            (pycurl.POST, 1),
            (pycurl.NOSIGNAL, 1),
            (pycurl.USERAGENT, "penstock"),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.HTTP09_ALLOWED, 0),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROXY, ""),  # else the environment's
            (pycurl.NETRC, 0),
            (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),  # and above
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.TIMEOUT_MS, round(limits.answer_s * 1e3)),
            (pycurl.CONNECTTIMEOUT_MS, round(limits.connect_s * 1e3)),
            (pycurl.OPENSOCKETFUNCTION, self._open),
            (pycurl.PREREQFUNCTION, self._connected),
            (pycurl.HEADERFUNCTION, self._header),
            (pycurl.WRITEFUNCTION, self._write),
        ):
            handle.setopt(option, value)

    def prepare(
        self, endpoint: Endpoint, lines: list[str], body: bytes, authorities: str, resolve: list[str], method: str
    ) -> None:
        handle = self.handle
        if method != self._method:
            self._method = method
            handle.setopt(pycurl.CUSTOMREQUEST, method)  # over what POST and its body would say
        if endpoint is not self._endpoint:
            self._endpoint, self._private = endpoint, endpoint.allow_private
            handle.setopt(pycurl.URL, endpoint.url)
            handle.setopt(pycurl.CAINFO, endpoint.authorities or authorities)
        if resolve:
            handle.setopt(pycurl.RESOLVE, resolve)
        handle.setopt(pycurl.HTTPHEADER, lines)
        handle.setopt(pycurl.POSTFIELDS, body)
        self._large = len(body) > POST_HELD_BYTES
        self.status = self.error = self._head = self._length = 0
        self.message = self.retry_after = self.vetoed = ""
        self.allowed_origin = self.allowed_rate = None
        self.body = b""
        self._whole = self._reached = False

    def finish(self, error: int, message: str) -> None:
        """A head that came whole is the endpoint's answer; what becomes of the body changes nothing in it."""
        if not self._whole:
            self.status, self.error = 0, error or pycurl.E_GOT_NOTHING
            self.message = TOO_LONG if self._head > self._limits.head_bytes else message
            looked_up = self._reached or self.handle.getinfo(pycurl.NAMELOOKUP_TIME)  # 0 also on a kept connection
            if error == pycurl.E_OPERATION_TIMEDOUT and not looked_up:
                self.error = pycurl.E_COULDNT_RESOLVE_HOST
        if self._large:
            self.handle.setopt(pycurl.POSTFIELDS, b"")

    # -- called by libcurl, which prints what they raise: nothing -------------

    def _open(self, _purpose: int, target: Any) -> Any:
        """The one place where a connection begins: the address is what the name led to just now."""
        family, kind, protocol, address = target
        if family not in (socket.AF_INET, socket.AF_INET6):
            self.vetoed = "no address of the Internet"
        elif not (reason := refusal(address[0], self._private)):
            return Opened(family, kind, protocol)
        else:
            self.vetoed = reason
        return pycurl.SOCKET_BAD

    def _connected(self, address: str, *_others: object) -> int:
        """Also of a kept connection: one to the same host may have been opened for who is allowed more."""
        self._reached = True
        if reason := refusal(address, self._private):
            self.vetoed = reason
            return int(pycurl.PREREQFUNC_ABORT)
        return int(pycurl.PREREQFUNC_OK)

    def _header(self, line: bytes) -> int | None:
        self._head += len(line)
        if self._head > self._limits.head_bytes:
            return -1
        if self._whole:  # a trailer
            return None
        if (found := _STATUS.match(line)) is not None:
            self.status = int(found[1])
            self.allowed_origin = self.allowed_rate = None  # of an interim answer they are no grant
        elif line in (b"\r\n", b"\n"):
            self._whole = self.status >= 200  # before it there may be heads of 1xx
        elif line[:12].lower() == b"retry-after:":
            self.retry_after = line[12:].decode("latin-1").strip()
        elif line[:16].lower() == b"webhook-allowed-":
            self._allow(line)
        return None

    def _allow(self, line: bytes) -> None:
        """The first of each counts: a second one is none that could widen it."""
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "webhook-allowed-origin" and self.allowed_origin is None:
            self.allowed_origin = value.strip()
        elif name.lower() == "webhook-allowed-rate" and self.allowed_rate is None:
            self.allowed_rate = value.strip()

    def _write(self, part: bytes) -> int | None:
        self._length += len(part)
        if len(self.body) < KEPT_BYTES:
            self.body += part[: KEPT_BYTES - len(self.body)]
        return None if self._length <= self._limits.body_bytes else -1


class Transport:
    """``ended`` is called with each exchange that is over, and may start others.

    ``resolver`` answers the addresses of a host in place of the system's.
    """

    def __init__(self, limits: Limits, ended: Callable[[Exchange], None], resolver: Resolver | None = None) -> None:
        self.limits = limits
        self._ended = ended
        self._resolver = resolver
        self._authorities = _authorities()
        self._idle: list[Exchange] = []
        self._timer: float | None = None  # when libcurl wants to be called though no descriptor is ready (monotonic)
        self._waking = Lock()
        self._open = True  # under the lock: once it is closed, its descriptors are another's
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._poll, self._scale = _poll()
        self._poll.register(self._wake_out, READY_IN)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, limits.connections)
        self._flying: set[Exchange] = set()
        self._watched: set[int] = set()  # descriptors

    @property
    def free(self) -> int:
        """How many exchanges may be started now."""
        return self.limits.connections - len(self._flying)

    def start(self, endpoint: Endpoint, lines: list[str], body: bytes, context: object, method: str = "POST") -> None:
        """Send a request; there must be one free. ``lines``: headers, in ASCII."""
        exchange = self._idle.pop() if self._idle else Exchange(self.limits)
        exchange.prepare(endpoint, lines, body, self._authorities, self._resolved(endpoint), method)
        exchange.context = context
        self._flying.add(exchange)
        self._multi.add_handle(exchange.handle)

    def turn(self, wait_s: float) -> None:
        """Wait for something to do, ``wait_s`` seconds at most, and do it."""
        if self._timer is not None:
            wait_s = min(wait_s, max(self._timer - monotonic(), 0.0))
        for descriptor, ready in self._poll.poll(min(wait_s, TURN_S) * self._scale):
            if descriptor == self._wake_out:
                self._drain()
                continue
            self._multi.socket_action(
                descriptor,
                (pycurl.CSELECT_IN if ready & (READY_IN | READY_HANG_UP) else 0)
                | (pycurl.CSELECT_OUT if ready & READY_OUT else 0)
                | (pycurl.CSELECT_ERR if ready & READY_ERROR else 0),
            )
        if self._timer is not None and monotonic() >= self._timer:
            self._timer = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()

    def wake(self) -> None:
        """End a wait, from any thread."""
        with self._waking:
            if self._open:
                try:
                    os.write(self._wake_in, b".")
                except BlockingIOError:  # it will wake anyway
                    pass

    def close(self) -> None:
        """End everything that is under way. ``ended`` is called for none of it."""
        with self._waking:
            self._open = False
        for exchange in self._flying:
            self._multi.remove_handle(exchange.handle)
            exchange.handle.close()
        for exchange in self._idle:
            exchange.handle.close()
        self._multi.close()
        if sys.platform == "linux":
            self._poll.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _collect(self) -> None:
        while True:
            left, good, bad = self._multi.info_read()
            for handle in good:
                self._over(handle, 0, "")
            for handle, error, message in bad:
                self._over(handle, error, message)
            if not left:
                return

    def _over(self, handle: Any, error: int, message: str) -> None:
        exchange: Exchange = handle.exchange
        exchange.finish(error, message)
        self._multi.remove_handle(handle)
        self._flying.discard(exchange)
        self._ended(exchange)
        exchange.context, exchange.body = None, b""  # nothing of it is kept in memory
        self._idle.append(exchange)

    def _resolved(self, endpoint: Endpoint) -> list[str]:
        if self._resolver is None:
            return []
        parts = urlsplit(endpoint.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        addresses = ",".join(self._resolver(host))
        return [f"-{host}:{port}", *([f"+{host}:{port}:{addresses}"] if addresses else [])]

    def _drain(self) -> None:
        try:
            os.read(self._wake_out, 4_096)
        except BlockingIOError:
            pass

    # -- called by libcurl ----------------------------------------------------

    def _watch(self, what: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(descriptor)
            try:
                self._poll.unregister(descriptor)
            except (KeyError, OSError):  # closed before
                pass
            return
        mask = (READY_IN if what & pycurl.POLL_IN else 0) | (READY_OUT if what & pycurl.POLL_OUT else 0)
        if descriptor in self._watched:
            self._poll.modify(descriptor, mask)
        else:
            self._poll.register(descriptor, mask)
            self._watched.add(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        self._timer = None if milliseconds < 0 else monotonic() + milliseconds / 1e3


def _poll() -> tuple[Any, float]:
    """What waits for descriptors, and its unit in seconds."""
    if sys.platform == "linux":
        poll, scale = select.epoll(), 1.0
    else:
        poll, scale = select.poll(), 1e3
    return poll, scale


def _authorities() -> str:
    """The system's, or what SSL_CERT_FILE names. libcurl's wheel looks in one place only, which is one system's."""
    import certifi

    return ssl.get_default_verify_paths().cafile or certifi.where()
