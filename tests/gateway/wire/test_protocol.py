"""Connections at their edges: offers, packets cut anywhere, bodies that never come, and endings that arrive."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tests.gateway.test_server import EVENT, HEAD, Running, answer, publish, running
from uvicorn.server import ServerState

from penstock.gateway.wire import protocol
from penstock.settings import Settings

LIMITS = Settings(body_limit=1 << 20, header_timeout=0.5, body_timeout=0.5, connection_limit=50)
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(EVENT) + EVENT
OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, LIMITS) as r:
        yield r


def everything(wire: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    found = b""
    while part := wire.recv(65_536):
        found += part
    return found


def statuses(found: bytes) -> list[int]:
    return [int(part[:3]) for part in found.split(b"HTTP/1.1 ")[1:]]


# -- offers to upgrade --------------------------------------------------------


@pytest.mark.parametrize(
    "offer", [OFFER, b"connection: upgrade\r\nupgrade: websocket\r\n", OFFER.replace(b", HTTP2-Settings", b"")]
)
@pytest.mark.parametrize(
    "body",
    [
        b"content-length: %d\r\n\r\n" % len(EVENT) + EVENT,
        b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(EVENT) + EVENT + b"\r\n0\r\n\r\n",
    ],
)
def test_an_offer_to_upgrade_is_passed_over(server: Running, offer: bytes, body: bytes) -> None:
    with server.connect() as wire:
        for _ in range(2):
            wire.sendall(HEAD + offer + body)
            assert answer(wire).startswith(b"HTTP/1.1 200"), "the body behind the offer is lost"
        wire.sendall(WHOLE)
        assert answer(wire).startswith(b"HTTP/1.1 200")
    assert server.house.count() == 3  # type: ignore[attr-defined]


def test_a_body_behind_an_offer_is_no_request(server: Running) -> None:
    inner = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    with server.connect() as wire:
        wire.sendall(HEAD + OFFER + b"content-length: %d\r\n\r\n" % len(inner))
        wire.sendall(inner)
        wire.shutdown(socket.SHUT_WR)
        assert statuses(everything(wire)) == [400]


def test_many_offers_in_one_packet(server: Running) -> None:
    one = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n" + OFFER + b"\r\n"
    with server.connect() as wire:
        wire.sendall(one * 300)
        wire.shutdown(socket.SHUT_WR)
        assert statuses(everything(wire)) == [200] * 300


def test_this_is_no_proxy(server: Running) -> None:
    with server.connect() as wire:
        wire.sendall(b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert statuses(everything(wire)) == [405]


# -- what comes late, or never ------------------------------------------------


@pytest.mark.parametrize("path", ["/topics/flights/events", "/models/delay/promote", "/v2/models/delay/infer"])
def test_a_body_that_never_starts_has_a_time(server: Running, path: str) -> None:
    head = HEAD.replace(b"/topics/flights/events", path.encode())
    with server.connect() as wire:
        wire.sendall(head + b"content-length: 50\r\n\r\n")
        assert statuses(everything(wire)) in ([408], [404]), "a body that never starts is waited for"
    with server.connect() as wire:
        wire.sendall(WHOLE + HEAD + b"content-length: 50\r\n\r\n")
        assert statuses(everything(wire)) == [200, 408]


def test_what_keeps_a_connection_for_nothing_gives_way(tmp_path: Path) -> None:
    patient = Settings(connection_limit=50, header_timeout=60, body_timeout=60)
    beginnings = [b"", HEAD, HEAD + b"content-length: 50\r\n\r\n", HEAD + b"content-length: 50\r\n\r\n{", WHOLE]
    with running(tmp_path, patient) as server, ExitStack() as connections:
        held = [connections.enter_context(server.connect()) for _ in range(50)]
        for place, wire in enumerate(held):
            wire.sendall(beginnings[place % len(beginnings)])
        until = time.monotonic() + 5
        while not (said := publish(server)).startswith(b"HTTP/1.1 200"):
            assert said.startswith(b"HTTP/1.1 503") and b"retry-after" in said
            assert time.monotonic() < until, "idle connections shut the others out"
        for _ in range(30):
            assert publish(server).startswith(b"HTTP/1.1 200")


def test_who_is_being_answered_does_not_give_way(tmp_path: Path) -> None:
    one = WHOLE.replace(b"/events", b"/events?wait=delays&timeout=4s")
    with running(tmp_path, Settings(connection_limit=10)) as server, ExitStack() as connections:
        held = [connections.enter_context(server.connect()) for _ in range(10)]
        for wire in held:
            wire.sendall(one)
        until = time.monotonic() + 2 * protocol.GRACE_S
        while time.monotonic() < until:
            assert publish(server).startswith(b"HTTP/1.1 503")
            time.sleep(0.1)
        for wire in held:
            assert answer(wire).startswith(b"HTTP/1.1 200"), "who was being answered had to give way"


# -- endings ------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_told_to_stock_clients(server: Running, chunked: bool) -> None:
    large = b" " * (3 << 20)
    body = iter([large[:1_000_000]] * 3) if chunked else large
    kind = {"content-type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as wire:
        wire.request("POST", "/topics/flights/events", body, kind, encode_chunked=chunked)
        said = wire.getresponse()
        assert said.status == 413 and b"limit" in said.read()
    address = f"http://127.0.0.1:{server.port}/topics/flights/events"
    asked = urllib.request.Request(address, large, {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError, match="413"):
        urllib.request.urlopen(asked, timeout=20)


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/topics/nothing/events", {}, 404),
        ("/topics/flights/events", {"origin": "http://evil.example"}, 403),
        ("/models/delay/versions?trust=sha256:0", {}, 403),
        ("/models/delay/promote", {}, 400),
    ],
)
def test_a_refusal_before_the_body_arrives(server: Running, path: str, more: dict[str, str], status: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as wire:
        wire.request("POST", path, b" " * (3 << 20), {"content-type": "application/json"} | more)
        said = wire.getresponse()
        assert said.status == status and said.read()


def test_an_ending_has_an_end(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.3)
    with server.connect() as wire:
        wire.sendall(HEAD + b"content-length: 1000000000\r\n\r\n")
        assert answer(wire).startswith(b"HTTP/1.1 413")
        with pytest.raises(OSError, match=r"reset|pipe"):
            while True:
                wire.sendall(b" " * 1_000)
                time.sleep(0.05)


# -- several in one packet ----------------------------------------------------


@pytest.mark.parametrize(
    "garbage", [b"garbage\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"G E T\r\n"]
)
def test_what_is_valid_has_its_answer_before_what_is_not(server: Running, garbage: bytes) -> None:
    for count in (1, 3):
        before = server.house.count()  # type: ignore[attr-defined]
        with server.connect() as wire:
            wire.sendall(WHOLE * count + garbage + b"x" * 100_000)
            found = everything(wire)
        assert statuses(found) == [200] * count + [400], "a stored event is answered like the garbage behind it"
        assert found.count(b"positions") == count
        assert server.house.count() == before + count  # type: ignore[attr-defined]


def test_a_body_that_breaks_off_in_garbage(server: Running) -> None:
    with server.connect() as wire:
        wire.sendall(WHOLE + HEAD + b'transfer-encoding: chunked\r\n\r\n5\r\n{"fli\r\nzz\r\n' + WHOLE)
        assert statuses(everything(wire)) == [200, 400]
    assert server.house.count() == 1  # type: ignore[attr-defined]


def test_who_has_said_all_is_answered(server: Running) -> None:
    for count in (1, 3):
        with server.connect() as wire:
            wire.sendall(WHOLE * count)
            wire.shutdown(socket.SHUT_WR)
            assert statuses(everything(wire)) == [200] * count
    with server.connect() as wire:
        wire.sendall(WHOLE[:-1])
        wire.shutdown(socket.SHUT_WR)
        assert everything(wire) == b""


# -- heads --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (b"", 400),
        (b"host: 127.0.0.1\r\nhost: 127.0.0.1\r\n", 400),
        (b"host: 127.0.0.1\r\nhost: evil.example\r\n", 400),
        (b"host: [::1]evil.com\r\n", 400),
        (b"host: [::1\r\n", 400),
        (b"host: 127.0.0.1:80:90\r\n", 400),
        (b"host: 127.0.0.1:x\r\n", 400),
        (b"host: 127.0.0.1 evil.com\r\n", 400),
        (b"host: user@127.0.0.1\r\n", 400),
        (b"host: 127.0.0.1/evil\r\n", 400),
        (b"host: 127.0.0.1, evil.com\r\n", 400),
        (b"host:\r\n", 400),
        (b"host: localhost.evil.com\r\n", 403),
        (b"host: 127.0.0.1.evil.com\r\n", 403),
        (b"host: evil.com:8000\r\n", 403),
        (b"host: localhost:\r\n", 200),
        (b"host: [::1]:8000\r\n", 200),
    ],
)
def test_one_whole_host(server: Running, hosts: bytes, status: int) -> None:
    assert statuses(server.ask(b"GET /topics HTTP/1.1\r\n" + hosts + b"\r\n")) == [status]


def test_a_request_of_the_old_version_needs_no_host(server: Running) -> None:
    assert statuses(server.ask(b"GET /topics HTTP/1.0\r\n\r\n")) == [200]


@pytest.mark.parametrize("before", [b"", WHOLE])
@pytest.mark.parametrize("large", [b"x: " + b"a" * 100_000 + b"\r\n", b"x: a\r\n" * 20_000])
def test_a_head_over_its_limit_in_any_packets(server: Running, large: bytes, before: bytes) -> None:
    one = before + b"GET /topics HTTP/1.1\r\nhost: 127.0.0.1\r\n" + large + b"\r\n"
    for size in (len(one), 70_000, 1_000):
        with server.connect() as wire:
            for start in range(0, len(one), size):
                wire.sendall(one[start : start + size])
            assert statuses(everything(wire)) == ([200] if before else []) + [431], "a head over its limit is taken"


# -- packets cut anywhere -----------------------------------------------------


class Wire(asyncio.Transport):
    """What is written, and whether the end was told."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.said += b"" if self.closed else bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


async def lengths(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the method, the path and the body's own text."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    said = f"{scope['method']} {scope['path']} ".encode() + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


async def told(pieces: list[bytes]) -> bytes:
    made = uvicorn.Config(**protocol.config(lengths, Settings(), protocol.protocol(Settings())))
    wire = Wire()
    if not made.loaded:
        made.load()
    connection = made.http_protocol_class(  # type: ignore[call-arg]  # told as any asyncio.Protocol
        config=made, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop()
    )
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    return wire.said


PARTS = st.lists(
    st.sampled_from(
        [
            b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
            b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
            b"POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            b"POST /d HTTP/1.1\r\nhost: x\r\n" + OFFER + b"content-length: 26\r\n\r\nGET /e HTTP/1.1\r\nhost:x\r\n\r\n",
            b"POST /f HTTP/1.1\r\nhost: x\r\n" + OFFER + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"GET /g HTTP/1.1\r\nhost: x\r\nconnection: upgrade, keep-alive\r\nupgrade: websocket\r\n\r\n",
            b"GET /h HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
            b"nonsense\r\n\r\n",
        ]
    ),
    min_size=1,
    max_size=5,
)


@given(parts=PARTS, cuts=st.lists(st.integers(0, 400), max_size=12))
@examples(max_examples=150)
def test_where_packets_are_cut_changes_no_answer(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    places = [0, *sorted(cut % len(stream) for cut in cuts), len(stream)]
    pieces = [piece for start, end in pairwise(places) if (piece := stream[start:end])]
    assert asyncio.run(told(pieces)) == (whole := asyncio.run(told([stream])))
    good = 0
    while good < len(parts) and len(parts[good]) < 1_000 and parts[good] != b"nonsense\r\n\r\n":
        good += 1
    assert statuses(whole) == [200] * good + ([] if good == len(parts) else [431 if len(parts[good]) > 1_000 else 400])
