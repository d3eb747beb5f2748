"""A real server on loopback: the limits that only a socket shows."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import DeclarationError
from penstock.gateway.hosts import check_bind
from penstock.gateway.server import serve
from penstock.gateway.tls.renewal import Certificates
from penstock.run.supervisor.sockets import listen
from penstock.settings import Settings

EVENT = b'{"flight": 1, "tail": "N1"}'
HEAD = b"POST /topics/flights/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"


class Running:
    def __init__(self, port: int, house: object, trusts: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.trusts = trusts  # with what clients speak TLS
        self.house = house
        self.patience = 10.0  # seconds

    def connect(self) -> socket.socket:
        wire = self.connect_in_plain()
        return wire if self.trusts is None else self.trusts.wrap_socket(wire, server_hostname="127.0.0.1")

    def connect_in_plain(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=self.patience)

    def ask(self, *parts: bytes) -> bytes:
        """Send, and read until the server closes or the answer is whole."""
        with self.connect() as wire:
            for part in parts:
                wire.sendall(part)
            return answer(wire)


def answer(wire: socket.socket) -> bytes:
    found = b""
    while part := wire.recv(65_536):
        found += part
        head, end, body = found.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            break
    return found


@contextmanager
def running(
    folder: Path,
    settings: Settings,
    certificates: Certificates | None = None,
    trusts: ssl.SSLContext | None = None,
    **services: Any,
) -> Iterator[Running]:
    from tests.gateway.conftest import House

    house = House(folder, settings, **services)
    listening = listen("127.0.0.1", 0)
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(house.services, listening, stop, ready.set, certificates))
    thread.start()
    try:
        assert ready.wait(10)
        yield Running(listening.getsockname()[1], house, trusts)
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
        asyncio.run(house.http.aclose())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(
        tmp_path, Settings(body_limit=1 << 20, header_timeout=0.5, body_timeout=0.5, connection_limit=50)
    ) as r:
        yield r


def publish(server: Running) -> bytes:
    return server.ask(HEAD + b"content-length: %d\r\n\r\n" % len(EVENT) + EVENT)


def test_publishes(server: Running) -> None:
    assert publish(server).startswith(b"HTTP/1.1 200")


def test_a_body_announced_too_large_is_refused_before_it_comes(server: Running) -> None:
    said = server.ask(HEAD + b"content-length: 1000000000\r\n\r\n" + b" " * 1_000)
    assert said.startswith(b"HTTP/1.1 413") and b"connection: close" in said.lower()


def test_a_chunked_body_is_counted_and_not_kept(server: Running) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with server.connect() as wire:
        wire.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 1 << 30:
                wire.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                sent += 65_536
        except OSError:
            pass
        assert sent < 32 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    assert publish(server).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "framing",
    [
        b"content-length: 27\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 27\r\n\r\n0\r\n\r\n",
        b"content-length: 27\r\ncontent-length: 0\r\n\r\n",
        b"content-length: +27\r\n\r\n",
        b"content-length: -1\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"x: a\nb\r\n content-length: 0\r\n\r\n",
    ],
)
def test_ambiguous_framing_is_refused_and_the_connection_closed(server: Running, framing: bytes) -> None:
    with server.connect() as wire:
        wire.sendall(HEAD + framing + HEAD + b"content-length: %d\r\n\r\n" % len(EVENT) + EVENT)
        assert answer(wire).startswith(b"HTTP/1.1 400")
        assert wire.recv(1) == b"", "what comes after it is answered too"
    assert server.house.count() == 0  # type: ignore[attr-defined]


def test_slow_heads_and_bodies_are_cut_off_while_others_are_served(server: Running) -> None:
    with ExitStack() as connections:
        slow = [connections.enter_context(server.connect()) for _ in range(20)]
        for i, wire in enumerate(slow):
            wire.sendall(HEAD[: 5 + i] if i % 2 else HEAD + b"content-length: 50\r\n\r\n{")
        assert publish(server).startswith(b"HTTP/1.1 200")
        for wire in slow:
            assert answer(wire)[9:12] in (b"408", b"400")


def test_who_does_not_read_is_cut_off_and_holds_nothing(tmp_path: Path) -> None:
    with running(tmp_path, Settings(write_timeout=0.3)) as served:
        text = b'{"flight": 1, "tail": "%b"}' % (b"x" * 900_000)
        for _ in range(8):
            said = served.ask(HEAD + b"content-length: %d\r\n\r\n" % len(text) + text)
            assert said.startswith(b"HTTP/1.1 200")
        with ExitStack() as connections:
            for _ in range(20):  # together more than all answers may hold
                wire = connections.enter_context(served.connect())
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                wire.sendall(b"GET /topics/flights/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            said = served.ask(b"GET /topics/flights/events?limit=1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 200"), "it waits behind those who do not read"


def test_a_head_that_trickles_is_late_all_the_same(server: Running) -> None:
    began = time.monotonic()
    with server.connect() as wire:
        try:
            for byte in HEAD * 10:
                wire.sendall(bytes([byte]))
                time.sleep(0.02)
        except OSError:
            pass
    assert time.monotonic() - began < 5


def test_a_head_over_its_limit(server: Running) -> None:
    said = server.ask(HEAD + b"x: " + b"a" * 200_000)
    assert said.startswith(b"HTTP/1.1 431")


def test_connections_over_the_limit_are_told_to_come_again(server: Running) -> None:
    idle = [server.connect() for _ in range(50)]
    time.sleep(0.1)
    said = publish(server)
    assert said.startswith(b"HTTP/1.1 503") and b"retry-after" in said
    for wire in idle:
        wire.close()
    time.sleep(0.1)
    assert publish(server).startswith(b"HTTP/1.1 200")


def test_two_requests_on_one_connection_and_in_one_packet(server: Running) -> None:
    one = HEAD + b"content-length: %d\r\n\r\n" % len(EVENT) + EVENT
    with server.connect() as wire:
        wire.sendall(one)
        assert answer(wire).startswith(b"HTTP/1.1 200")
        wire.sendall(one + one)
        found = b""
        while found.count(b"positions") < 2:
            found += wire.recv(65_536)
        assert found.count(b"HTTP/1.1 200") == 2


def test_another_host_name_is_refused(server: Running) -> None:
    said = server.ask(b"GET /topics HTTP/1.1\r\nhost: evil.example:80\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 403")
    for ours in (b"localhost:1", b"127.0.0.1:8000", b"[::1]:1", b"LOCALHOST"):
        assert server.ask(b"GET /topics HTTP/1.1\r\nhost: " + ours + b"\r\n\r\n").startswith(b"HTTP/1.1 200")


ELSEWHERE = ["0.0.0.0", "::", "192.168.1.1", "example.org", ""]


@pytest.mark.parametrize("host", ELSEWHERE)
def test_only_loopback_may_be_bound(host: str) -> None:
    with pytest.raises(DeclarationError, match="authentication"):
        check_bind(host, access=False)
    check_bind(host, access=True)  # whoever comes has to show a key


class Elsewhere(socket.socket):
    """Bound to nothing; it says that others reach it."""

    def getsockname(self) -> tuple[str, int]:
        return "0.0.0.0", 8_000


def test_a_socket_that_others_reach_is_not_served(house: Any) -> None:
    async def refused() -> None:
        async with house() as made:
            with Elsewhere() as listening, pytest.raises(DeclarationError, match="authentication"):
                serve(made.services, listening, threading.Event(), lambda: None)

    asyncio.run(refused())


def test_stopping_answers_what_is_under_way(tmp_path: Path) -> None:
    with running(tmp_path, Settings()) as server:
        said: list[bytes] = []
        threads = [threading.Thread(target=lambda: said.append(publish(server))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(said) == 20 and all(s.startswith(b"HTTP/1.1 200") for s in said)
