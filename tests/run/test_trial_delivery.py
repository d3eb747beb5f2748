"""A made-up event reaches the endpoint as a real one would, and nothing of what is shown is a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest
from standardwebhooks import Webhook

from penstock.batch import SYSTEM, TopicSpec
from penstock.clock import SystemClock
from penstock.destinations.webhook import endpoint as endpoints
from penstock.errors import BadRequest, DeclarationError, NotFound
from penstock.plan.plan import BodyFormat, Plan, SubscriptionSpec
from penstock.plan.references import ReferenceSpec
from penstock.run import trial_delivery
from penstock.run.trial_delivery import TrialDelivery, deliver_trial

SCORES = TopicSpec(
    "scores", pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("score", pa.float64())]), key="id"
)
KEY = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
PATH = "/in/path-that-lets-in"
ENVIRON = {"KEY": KEY, "TOKEN": "Bearer token-that-lets-in"}


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.got = 200, list[tuple[dict[str, str], bytes]]()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Says back all that it was told."""
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((dict(self.headers), body))
        said = f"{self.path} {self.headers['authorization']}".encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        thread = Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def plan(receiver: Receiver, format: BodyFormat = "cloudevents", source: str = "scores") -> Plan:
    spec = SubscriptionSpec(
        "cases",
        source,
        f"http://127.0.0.1:{receiver.server_port}{PATH}",
        format=format,
        secrets=(ReferenceSpec("secret", "KEY"),),
        headers=(("authorization", ReferenceSpec("secret", "TOKEN")),),
        allow_http=True,
        allow_private=True,
    )
    topics = (SCORES, TopicSpec("notes"))
    return Plan("shop", "", "", topics, subscriptions=(spec, SubscriptionSpec("copied", "scores", topic="copies")))


def tried(receiver: Receiver, **given: Any) -> TrialDelivery:
    receiver.got.clear()
    return deliver_trial(plan(receiver, **given), "cases", ENVIRON, SystemClock())


@pytest.mark.parametrize("format", ["cloudevents", "cloudevents-structured", "cloudevents-batch", "eventgrid"])
@pytest.mark.parametrize("source", ["scores", "notes", SYSTEM])
def test_it_arrives_as_an_event_would(receiver: Receiver, format: BodyFormat, source: str) -> None:
    receiver.status = 200
    found = tried(receiver, format=format, source=source)
    ((headers, body),) = receiver.got
    assert found.answer.ok and found.answer.status == 200
    assert found.endpoint == f"http://127.0.0.1:{receiver.server_port}"
    assert found.body == body.decode()
    Webhook(KEY).verify(body, {name.lower(): value for name, value in headers.items()})
    shown, sent = dict(found.headers), {name.lower(): value for name, value in headers.items()}
    assert {n: sent[n] for n in shown if shown[n] != "…"} == {n: v for n, v in shown.items() if v != "…"}
    assert sent["webhook-id"].startswith("test-") and sent["penstock-attempt"] == "1"
    told = json.loads(body)
    event = told[0] if isinstance(told, list) else told
    assert sent["ce-id"] if format == "cloudevents" else event["id"] == sent["webhook-id"]


def secrets_shown(receiver: Receiver) -> int:
    """The receiver says all back that it was told; it takes it, and does not."""
    receiver.status = 200
    shown = str(asdict(tried(receiver)))
    receiver.status = 400
    refused = tried(receiver)
    assert not refused.answer.ok and "HTTP 400" in refused.answer.reason
    shown += str(asdict(refused))
    return sum(shown.count(secret) for secret in (KEY, KEY[6:], "token-that-lets-in", "path-that-lets-in"))


def test_no_secret_is_shown(receiver: Receiver) -> None:
    assert secrets_shown(receiver) == 0


def test_mutant_that_redacts_nothing_is_caught(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints.Endpoint, "hidden", lambda _: [])
    with pytest.raises(AssertionError, match=r"assert [1-9] == 0"):
        assert secrets_shown(receiver) == 0


def test_mutant_that_shows_its_own_headers_is_caught(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_delivery, "REDACTED", ENVIRON["TOKEN"])
    with pytest.raises(AssertionError, match=r"assert [1-9] == 0"):
        assert secrets_shown(receiver) == 0


def test_what_cannot_be_tried_is_said(receiver: Receiver) -> None:
    there, clock = plan(receiver), SystemClock()
    with pytest.raises(NotFound, match="there is no subscription 'case'; did you mean 'cases'"):
        deliver_trial(there, "case", ENVIRON, clock)
    with pytest.raises(BadRequest, match="goes to the topic 'copies'"):
        deliver_trial(there, "copied", ENVIRON, clock)
    with pytest.raises(DeclarationError, match="set the environment variable KEY"):
        deliver_trial(there, "cases", {}, clock)


def test_nobody_there_is_an_answer_too(receiver: Receiver) -> None:
    there = plan(receiver)
    spec = replace(there.subscriptions[0], url="http://127.0.0.1:9/")
    found = deliver_trial(replace(there, subscriptions=(spec,)), "cases", ENVIRON, SystemClock())
    assert (found.answer.ok, found.answer.status, found.answer.outcome) == (False, 0, "SocketError")
