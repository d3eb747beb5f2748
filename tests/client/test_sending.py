"""What is sent again and what is not, against a server that answers as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock.client.sending import Sender
from penstock.errors import Busy, LogFull, PenstockError, Uncertain, Unreachable


def refusal(status: str, code: str, *headers: str) -> bytes:
    body = b'{"error": {"code": "%b", "message": "said so"}}' % code.encode()
    head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers])
    return head.encode() + b"\r\n\r\n" + body


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
BUSY = refusal("503 Busy", "busy", "retry-after: 0")


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[Sender, list[bytes]]]:
    """One connection for each answer; an empty answer closes it after the request was read."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65_536))
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    sender = Sender(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5.0, patience=5.0)
    try:
        yield sender, heard
    finally:
        sender.close()
        listener.close()
        thread.join()


def test_what_the_server_was_too_busy_for_is_sent_again() -> None:
    with answering(BUSY, BUSY, OK) as (sender, heard):
        assert sender.post("/x", {}) == {}
    assert len(heard) == 3


def test_patience_ends() -> None:
    late = refusal("503 Busy", "busy", "retry-after: 60")
    with answering(late) as (sender, heard), pytest.raises(Busy) as caught:
        sender.post("/x", {})
    assert caught.value.retry_after == 60 and len(heard) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_broken_connection_is_uncertain_and_nothing_is_sent_again(method: str) -> None:
    with answering(b"") as (sender, heard), pytest.raises(Uncertain) as caught:
        sender.send(method, "/x")
    assert len(heard) == 1 and ("look before repeating it" in str(caught.value)) is (method == "POST")


def test_other_refusals_are_not_repeated() -> None:
    with answering(refusal("507 Full", "log_full")) as (sender, heard), pytest.raises(LogFull, match="said so"):
        sender.post("/x", {})
    with answering(refusal("500 Oops", "internal")) as (sender, heard), pytest.raises(PenstockError, match="said so"):
        sender.post("/x", {})
    assert len(heard) == 1


def test_something_else_answers() -> None:
    page = b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\nconnection: close\r\n\r\n<htm>"
    with answering(page) as (sender, _), pytest.raises(PenstockError, match="is this a Penstock"):
        sender.get("/x")


def test_nobody_answers() -> None:
    with pytest.raises(Unreachable, match="nothing answers"):
        Sender("http://127.0.0.1:1", timeout=1.0, patience=1.0).get("/x")
    with pytest.raises(Unreachable, match="write http://HOST:PORT"):
        Sender("127.0.0.1:8000", timeout=1.0, patience=1.0)


def test_no_proxy_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    with answering(OK) as (sender, heard):
        sender.get("/x")
    assert heard[0].startswith(b"GET /x ")
