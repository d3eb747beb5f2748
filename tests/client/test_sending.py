"""What is sent again and what is not, against a server that answers as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from penstock.client.sending import Sender, door, to_error
from penstock.errors import (
    BadRequest,
    Busy,
    LogFull,
    NotPenstock,
    PenstockError,
    TaskFailed,
    TimedOut,
    TooLarge,
    Uncertain,
    Unreachable,
)
from penstock.gateway.wire import errors as answers


def refusal(status: str, code: str, *headers: str) -> bytes:
    body = b'{"error": {"code": "%b", "message": "said so"}}' % code.encode()
    head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers])
    return head.encode() + b"\r\n\r\n" + body


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
BUSY = refusal("503 Busy", "busy", "retry-after: 0")


def refused(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": "said so"}})


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


def test_each_refusal_of_the_server_is_the_error_that_it_was_there() -> None:
    kinds = {code: kind for kind, _, code in answers.STATUS}
    assert kinds.pop("timeout") is TimeoutError
    said = {code: type(to_error(refused(status, code))) for kind, status, code in answers.STATUS}
    assert said.pop("timeout") is TimedOut and said == kinds
    others = {"method_not_allowed": BadRequest, "headers_too_large": TooLarge, "connection_limit": Busy}
    assert {code: type(to_error(refused(400, code))) for code in others} == others


def test_a_code_that_nobody_knows_is_an_error_all_the_same() -> None:
    assert type(to_error(refused(418, "teapot"))) is PenstockError


def test_what_a_model_raised_is_told_as_it_was() -> None:
    _, _, body = answers.problem(TaskFailed("ValueError", "too cold: -3", "a traceback"))
    assert str(to_error(httpx.Response(502, content=body))) == "ValueError: too cold: -3"


def test_a_time_out_says_for_how_long_it_waited() -> None:
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers
    sender = Sender(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2, patience=1.0)
    with pytest.raises(Uncertain, match=r"no answer came within 0\.2 s; it may have been done"):
        sender.post("/x", {})
    sender.close()
    listener.close()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"'])
def test_a_stranger_that_says_200(body: bytes) -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
    with answering(page) as (sender, _), pytest.raises(NotPenstock, match="is this a Penstock"):
        sender.get("/x")


def test_a_date_in_retry_after_is_a_second() -> None:
    answer = refused(503, "busy")
    answer.headers["retry-after"] = "Wed, 21 Oct 2026 07:28:00 GMT"
    error = to_error(answer)
    assert isinstance(error, Busy) and error.retry_after == 1.0


def test_a_name_stays_one_part_of_the_path() -> None:
    assert door("topics", "a/b?limit=1", "events") == "/topics/a%2Fb%3Flimit%3D1/events"


def test_addresses_that_are_none() -> None:
    for url in ("http://[bad", "http://127.0.0.1:99999", "localhost"):
        with pytest.raises(Unreachable):
            Sender(url, timeout=1.0, patience=1.0).get("/x")
