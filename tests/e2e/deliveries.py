"""Receivers on loopback for a run's subscriptions, and what they got."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks import Webhook

from tests.e2e import rig

APP = Path(__file__).with_name("deliveries_app.py")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FASTER = 20.0  # times: what the ladder's rungs are divided by

RUNGS = f"""
import penstock.stages.deliver.attempts as attempts
attempts.RUNGS_S = tuple(seconds / {FASTER} for seconds in attempts.RUNGS_S)
from penstock.destinations.webhook import courier
Limits = courier.Limits
courier.Limits = lambda: Limits(answer_s=2.0)
"""
"""And a request has two seconds instead of thirty."""

HANGS = 0  # in the place of a status: no answer, however long somebody waits


@dataclass
class Receiver:
    """``answers``: the status for each request, by its number and the event."""

    answers: Callable[[int, int], int] = lambda _request, _n: 200
    got: Counter[int] = field(default_factory=Counter)  # events that were answered with 200
    ids: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    attempts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    forged: int = 0
    url: str = ""
    requests: int = 0

    def take(self, headers: dict[str, str], body: bytes) -> int:
        try:
            Webhook(SECRET).verify(body, headers)
        except Exception:
            self.forged += 1
        n = int(json.loads(body)["n"])
        self.requests += 1
        self.ids[n].add(headers["webhook-id"])
        self.attempts[n].append(int(headers["penstock-attempt"]))
        status = self.answers(self.requests, n)
        if status == 200:
            self.got[n] += 1
        return status


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                status = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
            if status == HANGS:
                over.wait()
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None: ...  # a courier was killed

    lock, over = threading.Lock(), threading.Event()
    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def environment(**receivers: Receiver) -> dict[str, str]:
    return {"SIGNING_KEY": SECRET} | {f"{name.upper()}_URL": each.url for name, each in receivers.items()}


def publish(url: str, ns: range, piece: int = 100) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        for start in range(ns.start, ns.stop, piece):
            some = [{"n": n} for n in range(start, min(start + piece, ns.stop))]
            assert rig.eventually(lambda some=some: sent(client, some))  # type: ignore[misc]


def sent(client: httpx.Client, events: list[dict[str, int]]) -> bool:
    try:
        return client.post("/topics/numbers/events", json=events).is_success
    except httpx.TransportError:
        return False


def letters(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/dead", timeout=60).json()
    return found
