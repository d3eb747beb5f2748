"""Receivers of webhooks on this machine, good ones and all others, and parcels for them."""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from penstock.destinations.interface import Answer, Destination, Parcel

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
JSON = ("content-type", "application/json")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Behaviour = Callable[["Receiver", socket.socket], None]


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float  # monotonic
    names: tuple[str, ...]  # as they were sent, repeated ones too


class Receiver:
    """Listens on loopback; each connection is ``behave``'s, in a thread of its own."""

    def __init__(self, behave: Behaviour, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._behave, self._tls = behave, tls
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, 0))
        self._socket.listen(512)
        self.port: int = self._socket.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        self.closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in list(self._open):
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._behave(self, connection)
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def read(self, connection: socket.socket) -> Request | None:
        """The next request; None: the other end is done."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (part := connection.recv(65_536)):
                return None
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        line, *rest = head.decode().split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (text.partition(":") for text in rest)]
        length = int(dict(pairs).get("content-length", "0"))
        while len(body) < length:
            body += connection.recv(65_536)
        request = Request(line, dict(pairs), body, time.monotonic(), tuple(name for name, _ in pairs))
        self.requests.append(request)
        return request


@contextmanager
def receiving(behave: Behaviour, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(behave, address, tls)
    try:
        yield receiver
    finally:
        receiver.close()


def answering(*answers: bytes, after: float = 0.0) -> Behaviour:
    """Answers in turn, over all connections; the last one again and again."""
    left = list(answers)

    def behave(receiver: Receiver, connection: socket.socket) -> None:
        while receiver.read(connection) is not None:
            receiver.closing.wait(after)
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return behave


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {code} Said", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body if code not in (204, 304) else b"")


# -- the zoo ------------------------------------------------------------------


def hang(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    receiver.closing.wait()


def hang_after_head(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
    receiver.closing.wait()


def slow_head(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    for byte in OK:
        connection.sendall(bytes([byte]))
        receiver.closing.wait(0.2)


def slow_body(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 500 Oops\r\ncontent-length: 1000\r\n\r\n")
    while not receiver.closing.wait(0.05):
        connection.sendall(b"x")


def gigabyte(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 500 Oops\r\ncontent-length: 1073741824\r\n\r\n")
    for _ in range(1_024):
        connection.sendall(b"x" * (1 << 20))


def endless_head(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not receiver.closing.is_set():
        connection.sendall(b"x-more: of the same\r\n" * 100)


def early_hints_only(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.sendall(b"HTTP/1.1 103 Early Hints\r\nretry-after: 5\r\n\r\n")
    receiver.closing.wait()


def reset(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.shutdown(socket.SHUT_WR)
    receiver.closing.wait()


def garbage(receiver: Receiver, connection: socket.socket) -> None:
    receiver.read(connection)
    connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


def mute(receiver: Receiver, _connection: socket.socket) -> None:
    receiver.closing.wait()


# -- parcels ------------------------------------------------------------------


def parcel(id: str = "orders/0/17", body: bytes = b'{"a": 1}', **given: Any) -> Parcel:
    return Parcel(id, body, given.pop("headers", (JSON,)), given.pop("attempt", 1), **given)


class Settled:
    """Waits for what is told of parcels."""

    def __init__(self) -> None:
        self._told: queue.Queue[Parcel] = queue.Queue()

    def __call__(self, parcel: Parcel) -> None:
        self._told.put(parcel)

    def next(self, wait: float = 20.0) -> Parcel:
        return self._told.get(timeout=wait)

    def nothing(self, wait: float = 0.2) -> bool:
        try:
            self._told.get(timeout=wait)
        except queue.Empty:
            return True
        return False


def deliver(destination: Destination, parcels: Sequence[Parcel]) -> list[Answer]:
    """Their answers, in the order of the parcels."""
    settled = Settled()
    destination.send(parcels, settled)
    for _ in parcels:
        settled.next()
    return [answer for one in parcels if (answer := one.answer) is not None]
