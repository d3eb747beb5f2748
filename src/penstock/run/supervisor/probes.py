"""What asks whether a run lives and works, and how much: liveness and readiness probes, and whoever collects metrics.

It has a listener of its own, which may be reached from other machines as the doors may not: there are three paths,
nothing is changed, and no event is handed out. One thread serves every connection as its bytes come, so that nobody who
is slow keeps a probe waiting.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Thread
from typing import NamedTuple

from ...clock import Clock
from ...telemetry import logger

CONNECTIONS = 64  # at once; one more, and the oldest gives way
HEAD_BYTES = 8_192  # bytes of a request before its empty line
TIME_S = 5.0  # seconds that a connection may take, from its first byte to the last of the answer
LOOK_S = 0.5  # seconds between two looks at who has taken too long
PAUSE_S = 0.05  # seconds after a connection that could not be taken
END = b"\r\n\r\n"
TEXT = "text/plain; charset=utf-8"

log = logger(__name__)


class ProbeAnswer(NamedTuple):
    body: bytes
    kind: str = "application/json"
    status: int = 200


@dataclass(slots=True)
class _Connection:
    until: float
    head: bytes = b""
    left: memoryview = field(default_factory=lambda: memoryview(b""))  # of the answer; empty: it is not asked yet


class Probes:
    """``paths``: what each answers. Serves on ``listener``, which is closed with it, from ``start`` to ``close``."""

    def __init__(self, listener: socket.socket, paths: Mapping[str, Callable[[], ProbeAnswer]], clock: Clock) -> None:
        self._listener, self._paths, self._clock = listener, paths, clock
        self._open: dict[socket.socket, _Connection] = {}  # the oldest first
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._serve, name="probes", daemon=True)

    def start(self) -> None:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        self._wake.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select(LOOK_S):
                if key.fileobj is self._woken:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._open:
                    self._go_on(key.fileobj, self._open[key.fileobj])
            self._drop_late()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # gone again, or no more files may be open, which else would be asked for without a pause
            self._clock.sleep(PAUSE_S)
            return
        sock.setblocking(False)
        if len(self._open) >= CONNECTIONS:
            self._drop(next(iter(self._open)))
        self._open[sock] = _Connection(self._clock.monotonic() + TIME_S)
        self._selector.register(sock, selectors.EVENT_READ)

    def _go_on(self, sock: socket.socket, at: _Connection) -> None:
        try:
            if at.left:
                at.left = at.left[sock.send(at.left) :]
                if not at.left:
                    self._drop(sock)
                return
            heard = sock.recv(HEAD_BYTES)
            at.head += heard
            if END in at.head or len(at.head) > HEAD_BYTES:
                at.left = memoryview(self._answer(at.head))
                self._selector.modify(sock, selectors.EVENT_WRITE)
            elif not heard:
                self._drop(sock)
        except BlockingIOError:
            return
        except OSError:
            self._drop(sock)

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path, _, version = rest.partition(" ")
        found = self._paths.get(path.partition("?")[0])
        if END not in head:
            return _written(ProbeAnswer(b"the head is too large\n", TEXT, 431))
        if not version.startswith("HTTP/1."):
            return _written(ProbeAnswer(b"this is no request of HTTP/1\n", TEXT, 400))
        if found is None:
            return _written(ProbeAnswer(f"there are {', '.join(self._paths)}\n".encode(), TEXT, 404))
        if method not in ("GET", "HEAD"):
            return _written(ProbeAnswer(b"GET reads it, and nothing changes it\n", TEXT, 405), b"allow: GET, HEAD\r\n")
        try:
            answer = found()
        except Exception as error:
            log.error("a probe cannot be answered", path=path[:80], error=repr(error))
            answer = ProbeAnswer(b"see the log of this run\n", TEXT, 500)
        return _written(answer, bodiless=method == "HEAD")

    def _drop_late(self) -> None:
        now = self._clock.monotonic()
        for sock in [sock for sock, at in self._open.items() if now > at.until]:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        del self._open[sock]
        self._selector.unregister(sock)
        with suppress(OSError):  # who has sent more than was read is not to lose the answer by a reset
            sock.shutdown(socket.SHUT_WR)
        sock.close()

    def _end(self) -> None:
        for sock in list(self._open):
            self._drop(sock)
        self._selector.close()
        self._woken.close()
        self._listener.close()


def _written(answer: ProbeAnswer, more: bytes = b"", *, bodiless: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\ncontent-type: {answer.kind}\r\n"
        f"content-length: {len(answer.body)}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
        "connection: close\r\n"
    )
    return head.encode() + more + b"\r\n" + (b"" if bodiless else answer.body)
