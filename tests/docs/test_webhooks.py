"""The receivers of docs/webhooks.md, as they are written: they take what is signed, once, and nothing else."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import httpx
import pytest
from standardwebhooks import Webhook
from tests.destinations.webhook.receivers import SECRET, deliver, parcel
from tests.docs.pages import blocks
from tests.ports import free_port

from penstock.clock import Clock, ManualClock, SystemClock
from penstock.destinations import lane
from penstock.destinations.interface import Consent, Invitation
from penstock.destinations.webhook import answers, endpoint
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.endpoint import Endpoint
from penstock.destinations.webhook.limits import Limits
from penstock.settings import Settings
from penstock.stages.deliver.handshakes import asking

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
FILES = {block.name: "\n".join(block.lines) + "\n" for block in blocks(PAGE) if block.name}
COMMANDS = {"receiver.py": [sys.executable], "receiver.mjs": ["node"], "receiver.go": ["go", "run"]}
HANDSHAKES = {"handshakes.py": [sys.executable], "handshakes.mjs": ["node"]}
OTHER = "whsec_" + "A" * 32
PATIENCE_S = 120.0  # seconds for a receiver to listen; Go compiles it first


@contextmanager
def running(name: str, folder: Path) -> Iterator[str]:
    """The receiver's URL, once it listens. What it prints goes into ``folder/said``."""
    command = (COMMANDS | HANDSHAKES)[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    (folder / name).write_text(FILES[name])
    port = free_port()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [*command, name], cwd=folder, stdout=said, stderr=said, start_new_session=True,
            env=os.environ | {"WEBHOOK_SECRET": SECRET, "PORT": str(port)},
        )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, (folder / "said").read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # `go run` has a child
        process.wait()


def delivered(url: str, *secrets: str, id: str = "orders/0/1.7", clock: Clock | None = None) -> int:
    """The status of the answer."""
    courier = Courier(clock or SystemClock())
    try:
        receiver = courier.open(Endpoint(url, secrets, allow_http=True, allow_private=True))
        return deliver(receiver, [parcel(id, b'{ "amount":  7.50 }')])[0].status
    finally:
        courier.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_receiver_takes_what_is_signed_and_nothing_else(name: str, tmp_path: Path) -> None:
    yesterday = ManualClock(now=SystemClock().now() - 86_400_000_000)
    now = datetime.now(UTC)
    signature = Webhook(SECRET).sign("a", now, '{"a":1}')
    signed = {"webhook-id": "a", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    with running(name, tmp_path) as url:
        assert delivered(url, SECRET) == 204
        assert delivered(url, SECRET) == 204
        assert delivered(url, OTHER, SECRET, id="orders/0/2") == 204
        assert delivered(url, OTHER) == 401
        assert delivered(url) == 401
        assert delivered(url, SECRET, clock=yesterday) == 401
        for headers, body in (
            (signed | {"webhook-signature": signature.replace("v1,", "v2,")}, '{"a":1}'),
            (signed | {"webhook-signature": "v1,AAAA v1,"}, '{"a":1}'),
            (signed | {"webhook-id": "b"}, '{"a":1}'),
            ({"webhook-signature": signature}, '{"a":1}'),
            (signed, '{"a": 1}'),
        ):
            assert httpx.post(url, content=body, headers=headers).status_code == 401
        assert httpx.post(url, content='{"a":1}', headers=signed).status_code == 204
    said = (tmp_path / "said").read_text()
    assert sum(line.startswith("received") for line in said.splitlines()) == 3, said


def asked(url: str, handshake: Literal["cloudevents", "eventgrid"], origin: str) -> tuple[Consent, int]:
    """What comes of a handshake, and the status of an event after it."""
    courier = Courier(SystemClock())
    told: queue.Queue[Consent] = queue.Queue()
    try:
        given = Endpoint(url, allow_http=True, allow_private=True, handshake=handshake, origin=origin)
        lane = courier.open(given)
        lane.ask(Invitation("1", "s", "the-code", "https://events.example.com/handshakes/x"), told.put)
        return told.get(timeout=30), deliver(lane, [parcel("orders/0/1", b'[{"amount": 7.5}]')])[0].status
    finally:
        courier.close()


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_receiver_answers_both_handshakes(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path) as url:
        assert asked(url, "cloudevents", "shop") == (Consent("granted", per_minute=120), 204)
        assert asked(url, "eventgrid", "shop") == (Consent("granted"), 204)
        stranger, _ = asked(url, "cloudevents", "evil.example")
        assert stranger.verdict == "later"
    said = (tmp_path / "said").read_text()
    assert sum(line.startswith("received") for line in said.splitlines()) == 3, said


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    given = Limits()
    assert (given.answer_s, given.body_bytes, given.head_bytes, given.connections) == (30.0, 64 << 10, 64 << 10, 512)
    assert (endpoint.HEADERS, endpoint.HEADER_BYTES) == (10, 4_096)
    assert (endpoint.CONCURRENCY, endpoint.CONCURRENCY_LIMIT) == (16, 64)
    assert (lane.FAILURES, lane.LONG_PROBATION_S) == (10, 300.0)
    assert lane.PROBATION_S == {"Busy": 10.0, "TimedOut": 10.0, "SocketError": 30.0}
    assert sorted(answers.FINAL) == [400, 401, 403, 413]
    assert answers.PAUSE_S == 86_400.0
    assert (asking.AGAIN_S, asking.TRIES, asking.AT_ONCE, given.handshakes) == (5.0, 3, 32, 32)
    assert (Settings().handshake_timeout, asking.TOKEN_BYTES * 8) == (300.0, 256)
