from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from penstock.clock import SystemClock
from penstock.run.supervisor import probes
from penstock.run.supervisor.probes import CONNECTIONS, HEAD_BYTES, ProbeAnswer, Probes

LARGE = b"x" * 8_000_000  # bytes: more than a socket takes at once


def broken() -> ProbeAnswer:
    raise RuntimeError("broken")


PATHS = {
    "/healthz": lambda: ProbeAnswer(b"{}"),
    "/readyz": lambda: ProbeAnswer(b"no", status=503),
    "/large": lambda: ProbeAnswer(LARGE, "text/plain"),
    "/broken": broken,
}


@pytest.fixture
def at() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    serving = Probes(listener, PATHS, SystemClock())
    serving.start()
    yield listener.getsockname()[:2]
    serving.close()
    assert listener.fileno() == -1


def said(at: tuple[str, int], request: bytes) -> bytes:
    """All that comes back, until it is closed."""
    with socket.create_connection(at, timeout=20) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(1 << 20), b""))


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/healthz", 200, b"{}"),
        ("GET", "/healthz?x=1", 200, b"{}"),
        ("HEAD", "/healthz", 200, b""),
        ("GET", "/readyz", 503, b"no"),
        ("GET", "/large", 200, LARGE),
        ("GET", "/", 404, b"there are /healthz, /readyz, /large, /broken\n"),
        ("GET", "/topics", 404, b"there are /healthz, /readyz, /large, /broken\n"),
        ("POST", "/healthz", 405, b"GET reads it, and nothing changes it\n"),
        ("GET", "/broken", 500, b"see the log of this run\n"),
    ],
)
def test_what_is_asked_is_answered(at: tuple[str, int], method: str, path: str, status: int, body: bytes) -> None:
    answer = httpx.request(method, f"http://127.0.0.1:{at[1]}{path}", timeout=20)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nx: " + b"x" * HEAD_BYTES, b"431"),
        (b"GET /healthz\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"\xff\x00\x16\x03\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_what_is_no_request_is_refused(at: tuple[str, int], request_: bytes, status: bytes) -> None:
    assert said(at, request_).split()[1] == status
    assert httpx.get(f"http://127.0.0.1:{at[1]}/healthz").status_code == 200, "who comes next is served"


@contextmanager
def held(at: tuple[str, int], many: int, sent: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        found = []
        for _ in range(many):
            sock = stack.enter_context(socket.create_connection(at, timeout=20))
            sock.sendall(sent)
            found.append(sock)
        yield found


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /large HTTP/1.1\r\n\r\n"])
def test_nobody_who_is_slow_keeps_others_waiting(
    at: tuple[str, int], sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "TIME_S", 3_600.0)  # nobody's time is up meanwhile
    with held(at, 2 * CONNECTIONS, sent):
        assert httpx.get(f"http://127.0.0.1:{at[1]}/healthz", timeout=60).status_code == 200


def test_the_oldest_gives_way(at: tuple[str, int]) -> None:
    with held(at, CONNECTIONS + 1, b"GET /healthz HTTP/1.1\r\n") as (first, *others):
        assert first.recv(1) == b"", "it is closed"
        others[-1].sendall(b"\r\n")
        assert others[-1].recv(12) == b"HTTP/1.1 200"


def check_late(monkeypatch: pytest.MonkeyPatch, patience_s: float) -> None:
    monkeypatch.setattr(probes, "TIME_S", patience_s)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = Probes(listener, PATHS, SystemClock())
    serving.start()
    with socket.create_connection(listener.getsockname()[:2], timeout=3 * probes.LOOK_S) as sock:
        sock.sendall(b"GET /hea")
        try:
            assert sock.recv(1) == b""
        except TimeoutError:
            raise AssertionError("it is kept for ever") from None
        finally:
            serving.close()


def test_a_request_that_does_not_end_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    check_late(monkeypatch, 0.01)


def test_mutant_one_that_is_never_dropped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="kept for ever"):
        check_late(monkeypatch, 60.0)


def test_a_flood_ends_with_its_close(at: tuple[str, int]) -> None:
    with held(at, CONNECTIONS // 2, b"GET /large HTTP/1.1\r\n\r\n"):
        pass
    assert httpx.get(f"http://127.0.0.1:{at[1]}/healthz", timeout=20).status_code == 200
