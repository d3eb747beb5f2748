"""The commands against a real run, whose courier delivers to a real receiver on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.run.server import Server, wait_for, write_app
from typer.testing import CliRunner, Result

from penstock.cli import subscriptions
from penstock.cli.main import app

cli = CliRunner()
NAME = "doubles-to-receiver"
SUBSCRIBED = """
app.subscribe(
    doubles, "http://127.0.0.1:{port}/hush", name="doubles-to-receiver", where="y > 1", start="earliest",
    allow_http=True, allow_private=True,
)
app.subscribe(readings, app.topic("copies"), name="copied")
app.subscribe(
    readings, "http://127.0.0.1:{port}/asked", name="asked", format="eventgrid", handshake="eventgrid",
    start="earliest", allow_http=True, allow_private=True,
)
"""
PUBLIC = "https://events.example.com/penstock"


class Receiver(ThreadingHTTPServer):
    """Answers ``status``, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.got = 204, list[Any]()
        self.asked, self.consented = list[str](), list[Any]()  # callbacks, and what came after a handshake


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        event, status = json.loads(self.rfile.read(int(self.headers["content-length"]))), self.server.status
        if self.path != "/asked":
            self.server.got.append(event)
        elif self.headers["aeg-event-type"] == "SubscriptionValidation":
            self.server.asked.append(event[0]["data"]["validationUrl"])
            status = 200
        else:
            self.server.consented.append(event)
            status = 200
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        thread = Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("subscriptions")
    file = write_app(folder)
    file.write_text(file.read_text() + SUBSCRIBED.format(port=receiver.server_port))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PENSTOCK_PUBLIC_URL", PUBLIC)
        run = Server(file, folder / "data")
    with run as running:
        yield running.ready()


def run(server: Server, *arguments: str) -> Result:
    return cli.invoke(app, ["subscriptions", *arguments, "--url", server.url])


def said(server: Server, *arguments: str) -> dict[str, Any]:
    done = run(server, *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return found


def publish(server: Server, n: int) -> None:
    with server.client() as client:
        client.publish("readings", {"n": n, "x": 1.5})


def metrics(server: Server) -> str:
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        return str(answer.read().decode())


def test_they_are_listed_shown_paused_and_resumed(server: Server, receiver: Receiver) -> None:
    publish(server, 1)
    wait_for(lambda: len(receiver.got) == 1)
    found = wait_for(lambda: (each := said(server, "show", NAME))["endpoint"].get("delivered") and each)
    assert (found["state"], found["endpoint"]["success_rate"]) == ("live", 1.0)
    assert (found["endpoint"]["last"]["outcome"], found["endpoint"]["last"]["status"]) == ("Delivered", 204)
    wait_for(lambda: said(server, "show", NAME)["backlog"] == {"events": 0, "seconds": 0.0})

    table = run(server, "list").stdout
    assert re.search(rf"{NAME} +file +doubles +127.0.0.1 +live +0 +0.000 +Delivered 204 +100.0%", table), table
    assert re.search(r"copied +file +readings +copies +live +0 +0.000 +- +-", table), table
    shown = run(server, "show", NAME).stdout
    assert "doubles to 127.0.0.1" in shown and "as cloudevents, where y > 1" in shown and "hush" not in shown
    assert "\nlive\n0 events of the topic wait" in shown and "1 requests delivered, 0 failed" in shown
    assert "Delivered 204" in shown

    assert f"{NAME}: " in (paused := run(server, "pause", NAME).stdout) and "paused since 20" in paused
    assert "penstock_subscriptions{" in wait_for(lambda: 'state="paused"} 1.0' in (m := metrics(server)) and m)
    publish(server, 2)
    wait_for(lambda: (said(server, "show", NAME)["backlog"] or {}).get("events"))
    assert len(receiver.got) == 1
    assert said(server, "resume", NAME)["since"] is None
    wait_for(lambda: len(receiver.got) == 2)
    wait_for(lambda: (each := said(server, "show", NAME))["state"] == "live" and not each["backlog"]["events"])
    counted = f'penstock_deliveries_total{{outcome="Delivered",subscription="{NAME}"}} 2.0'
    wait_for(lambda: counted in metrics(server))  # the courier publishes what it counts once a second


def test_one_that_has_to_be_asked_gets_nothing_before_somebody_consents(server: Server, receiver: Receiver) -> None:
    found = wait_for(lambda: (each := said(server, "show", "asked"))["state"] == "awaiting" and each)
    assert found["reason"] == "it answered HTTP 200 without a validationResponse"
    shown = run(server, "show", "asked").stdout
    assert "\nawaiting since 20" in shown and "\nhandshake (eventgrid): awaiting, by hand until 20" in shown
    assert re.search(r"asked +file +readings +127.0.0.1 +awaiting ", run(server, "list").stdout)

    def warned() -> bool:
        with urllib.request.urlopen(f"{server.url}/readyz") as answer:
            return b"the handshake of subscription 'asked' waits for somebody to open the URL" in answer.read()

    wait_for(warned)
    publish(server, 7)
    wait_for(lambda: (said(server, "show", "asked")["backlog"] or {}).get("events"))
    assert not receiver.consented
    (callback,) = receiver.asked
    assert callback.startswith(f"{PUBLIC}/handshakes/")
    with urllib.request.urlopen(callback.replace(PUBLIC, server.url)) as answer:
        assert answer.read() == b"granted: events will be sent\n"
    wait_for(lambda: any(event["data"]["n"] == 7 for (event,) in receiver.consented))
    wait_for(lambda: (each := said(server, "show", "asked"))["state"] == "live" and not each["backlog"]["events"])
    assert "handshake (eventgrid): granted" in run(server, "show", "asked").stdout
    wait_for(lambda: not warned())
    os.kill(server.pid("courier"), signal.SIGKILL)
    publish(server, 8)
    wait_for(lambda: any(event["data"]["n"] == 8 for (event,) in receiver.consented))
    assert len(receiver.asked) == 1, "the courier after it has asked again"


def test_what_an_endpoint_refuses_is_shown(server: Server, receiver: Receiver) -> None:
    receiver.status = 400
    publish(server, 3)
    found = wait_for(lambda: (each := said(server, "show", NAME))["endpoint"].get("failed") and each)
    assert (found["endpoint"]["last"]["outcome"], found["endpoint"]["last"]["status"]) == ("BadRequest", 400)
    wait_for(lambda: "penstock_deliveries_given_up_total{" in metrics(server))
    shown = run(server, "show", NAME).stdout
    assert "1 failed" in shown and "BadRequest 400: HTTP 400" in shown


def test_lanes_that_are_blocked_are_shown_with_what_blocks_them() -> None:
    lane = {
        "lane": "0/17",
        "first": "accounts/0/1044",
        "events": 3,
        "attempts": 2,
        "outcome": "Busy",
        "reason": "HTTP 503",
        "tried": None,
        "due": "2026-01-31 12:01:00",
    }
    found = subscriptions._lanes({"count": 128, "blocked": 102, "shown": [lane]})
    assert found == [
        "ordered: 102 of 128 lanes blocked",
        "  lane 0/17 by accounts/0/1044 and 2 more, attempts 2, Busy: HTTP 503, again at 2026-01-31 12:01:00",
        "  and 101 more",
    ]
    assert subscriptions._lanes(None) == []


def test_what_cannot_be_is_said(server: Server) -> None:
    wrong = run(server, "show", "doubles-to-receivers")
    assert wrong.exit_code == 1 and f"did you mean '{NAME}'?" in wrong.stderr
    wrong = run(server, "pause", "copied")
    assert wrong.exit_code == 1 and "only what goes outside can be paused" in wrong.stderr
    assert Path(server.data / "run" / "status" / "courier.deliveries").exists()


def test_one_made_up_event_is_sent_and_its_answer_shown(receiver: Receiver, tmp_path: Path) -> None:
    file = write_app(tmp_path)
    file.write_text(file.read_text() + SUBSCRIBED.format(port=receiver.server_port))
    receiver.status, before = 204, len(receiver.got)
    done = cli.invoke(app, ["subscriptions", "test", str(file), NAME])
    assert done.exit_code == 0, done.output
    assert f"POST to http://127.0.0.1:{receiver.server_port}\n" in done.stdout and "hush" not in done.stdout
    assert "ce-type: doubles" in done.stdout and re.search(r"Delivered 204, after \d\.\d{3} s", done.stdout)
    assert len(receiver.got) == before + 1
    receiver.status = 500
    done = cli.invoke(app, ["subscriptions", "test", str(file), NAME, "--json"])
    assert done.exit_code == 1 and json.loads(done.stdout)["answer"]["status"] == 500
