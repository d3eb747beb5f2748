"""Endings within TLS: answers arrive, and nobody is waited for who says nothing more."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.certificates import Issuer, Pair
from tests.gateway.test_server import HEAD, Running, answer, running
from tests.gateway.tls.conftest import Open
from tests.gateway.tls.test_handshakes import WHO, held, still_open, waiting
from tests.gateway.wire.test_protocol import everything, statuses

from penstock.clock import SystemClock
from penstock.gateway.tls import transport
from penstock.gateway.tls.certificates import TLSFiles
from penstock.gateway.tls.renewal import Certificates
from penstock.settings import Settings


def test_a_stop_waits_for_answers_and_for_nobody_else(
    tmp_path: Path, issuer: Issuer, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(TLSFiles(pair.certificate, pair.key), SystemClock())
    with ExitStack() as stack:
        with running(tmp_path, Settings(drain_timeout=5), certificates, issuer.client()) as server:
            asking = stack.enter_context(server.connect())
            asking.sendall(waiting("1s"))
            idle = stack.enter_context(server.connect())
            idle.sendall(WHO)
            assert answer(idle).startswith(b"HTTP/1.1 200")
            silent = held(server, stack, 5)
            time.sleep(0.2)
        assert answer(asking).startswith(b"HTTP/1.1 200")
        assert still_open(silent) == 0
    assert "timeout graceful" not in caplog.text, "it waits for the farewell of who has nothing to say"


def test_mutant_that_waits_for_a_farewell_is_caught(
    tmp_path: Path, issuer: Issuer, pair: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.EncryptedTransport, "_part", lambda self: None)
    with pytest.raises(AssertionError, match="it waits for the farewell"):
        test_a_stop_waits_for_answers_and_for_nobody_else(tmp_path, issuer, pair, caplog)


def test_an_answer_arrives_though_the_body_does_not_end(server: Running) -> None:
    with server.connect() as wire:
        wire.sendall(HEAD + b"content-length: 3000000\r\n\r\n")
        sent = 0
        while sent < 3_000_000:
            wire.sendall(b" " * 65_536)
            sent += 65_536
        assert statuses(everything(wire)) == [413], "the answer is lost behind the body"


def test_who_does_not_read_is_cut_off(serve: Open) -> None:
    server = serve(Settings(write_timeout=0.3))
    text = b'{"flight": 1, "tail": "%b"}' % (b"x" * 900_000)
    for _ in range(8):
        assert server.ask(HEAD + b"content-length: %d\r\n\r\n" % len(text) + text).startswith(b"HTTP/1.1 200")
    with ExitStack() as connections:
        for _ in range(20):
            wire = connections.enter_context(server.connect())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            wire.sendall(b"GET /topics/flights/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        said = server.ask(b"GET /topics/flights/events?limit=1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200"), "it waits behind those who do not read"
