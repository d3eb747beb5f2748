"""More connections than there may be open files: who has one is served, and the others are told to come later."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e import rig, steps

pytestmark = pytest.mark.embedded

CROWD = 400  # connections that say nothing
EVENT = [{"key": "k", "writer": 0, "seq": 0}]


@contextmanager
def crowd(url: str) -> Iterator[list[socket.socket]]:
    where = urlsplit(url)
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((where.hostname, where.port), 10)) for _ in range(CROWD)]


def asked(client: httpx.Client, path: str, body: Any = None) -> httpx.Response:
    """What is said, by a gateway that lives: one that finds no file for its log ends, with the requests under way."""
    try:
        return client.request("GET" if body is None else "POST", path, json=body)
    except httpx.TransportError as error:
        raise AssertionError(f"it ended, with no file left for what it needs: {error}") from error


def serve_a_crowd(tmp_path: Path, env: dict[str, str]) -> None:
    """``ulimit -n 256``, hard and soft."""
    with (
        rig.running(steps.APP, tmp_path / "data", workers=1, files=256, env=env) as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        assert client.get("/healthz").status_code == 200
        with crowd(running.url) as connections:
            for _ in range(5):
                assert asked(client, "/readyz").status_code == 200, "it has no file left to say how it is"
                assert asked(client, "/topics/steps/events?limit=10").status_code == 200, "it has no file left to read"
                assert asked(client, "/topics/steps/events?wait=copies&timeout=30s", EVENT).json()["complete"]
            late = connections[-1]
            late.settimeout(10)
            assert late.recv(4_096).startswith(b"HTTP/1.1 503 "), "who comes late is not answered"
        assert httpx.get(f"{running.url}/readyz").json()["warnings"], "nobody is told that fewer are served"
        assert rig.eventually(lambda: httpx.post(f"{running.url}/topics/steps/events", json=EVENT).status_code == 200)
        assert running.stop() == 0


def test_a_crowd_takes_no_file_that_others_need(tmp_path: Path) -> None:
    serve_a_crowd(tmp_path, {})


UNFITTED = "import penstock.run.descriptors as d; d.make_room = lambda connections: connections"


def test_mutant_connections_that_do_not_fit_are_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", UNFITTED)
    with pytest.raises(AssertionError, match="no file left"):
        serve_a_crowd(tmp_path, env)


def test_with_too_few_files_it_says_so_and_does_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(AssertionError, match="ended with 2"),
        rig.running(steps.APP, tmp_path / "data", files=40),
    ):
        pytest.fail("it started")
    assert "ulimit -n" in capfd.readouterr().err


def test_a_low_soft_limit_is_raised(tmp_path: Path) -> None:
    with rig.running(steps.APP, tmp_path / "data", workers=1, files=(256, 8_192)) as running:
        assert httpx.get(f"{running.url}/readyz").json()["warnings"] == []
        with crowd(running.url):
            assert httpx.get(f"{running.url}/healthz", timeout=30).status_code == 200
