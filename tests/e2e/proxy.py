"""A TCP proxy that drops acknowledgements: the request goes through, and the connection breaks around its answer."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, as a broken connection does
PATIENCE = 30.0


@dataclass
class Proxy:
    """Carries one request a connection. ``drop`` of the answers are lost: unread, unheard, or in the middle."""

    upstream: tuple[str, int]
    drop: float
    rng: random.Random
    dropped: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket = field(default_factory=socket.socket)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        """An error on one side is a broken connection on the other, whatever it was."""
        with client, socket.socket() as upstream, suppress(OSError):
            client.settimeout(PATIENCE)
            upstream.settimeout(PATIENCE)
            request = whole_request(client)
            upstream.connect(self.upstream)
            upstream.sendall(request)
            cut = self._cut()
            answer = b"" if cut == 0 else upstream.recv(65_536)
            if cut is None:
                while answer:
                    client.sendall(answer)
                    answer = upstream.recv(65_536)
                return
            client.sendall(answer[: cut - 1])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)

    def _cut(self) -> int | None:
        """None: the answer comes through. 0: nobody waits for it. 1: it has begun. More: some of it comes through."""
        with self._lock:
            if self.rng.random() >= self.drop:
                return None
            self.dropped += 1
            return self.rng.choice((0, 1, 2, 20, 90))


def whole_request(client: socket.socket) -> bytes:
    """Head and body of a request with a Content-Length. Raises ``OSError`` when it does not come."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += more(client)
    head, _, body = request.partition(b"\r\n\r\n")
    (length,) = (
        int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"
    )
    while len(body) < length:
        got = more(client)
        request += got
        body += got
    return request


def more(client: socket.socket) -> bytes:
    if not (got := client.recv(65_536)):
        raise ConnectionError("the client went away")
    return got


@contextmanager
def dropping(url: str, drop: float, seed: int) -> Iterator[Proxy]:
    at = urlsplit(url)
    assert at.hostname is not None and at.port is not None
    proxy = Proxy((at.hostname, at.port), drop, random.Random(seed))
    with proxy._listener as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        serving = threading.Thread(target=proxy.serve, daemon=True)
        serving.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join(PATIENCE)
