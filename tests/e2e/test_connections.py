"""At real scale: more connections than are served at once, of which nothing comes, beside a client that works."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from penstock.settings import Settings
from tests.e2e import rig

APP = Path(__file__).parents[2] / "examples" / "quickstart" / "app.py"
MANY = Settings().connection_limit + 52
HEAD = (
    b"POST /topics/payments/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: 50\r\n\r\n"
)
EVENT = {"id": "p1", "card": "c7", "amount": 120, "country": "US"}


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Enough for both ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 500:
        pytest.skip("this user may not open so many connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
def test_connections_of_which_nothing_comes_shut_nobody_out(tmp_path: Path) -> None:
    with rig.running(APP, tmp_path / "data", workers=1) as running, ExitStack() as connections:
        port = int(running.url.rpartition(":")[2])
        for part in (HEAD, b"", HEAD + b"{", HEAD[:30]) * (MANY // 4):
            wire = connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=rig.PATIENCE))
            wire.sendall(part)
        time.sleep(1.5)  # the youngest need not give way yet
        for _ in range(50):
            said = httpx.post(f"{running.url}/topics/payments/events", json=EVENT, timeout=rig.PATIENCE)
            assert said.status_code == 200, said.text
        assert running.stop() == 0
