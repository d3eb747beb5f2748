"""Whom the workflow is told by, and that its reviewer believes nobody else. ``tests/docs`` runs the whole of it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from standardwebhooks import Webhook

from penstock.declare.load import load
from penstock.declare.planning.build import plan_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "event_driven_workflow"
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
REGISTERED = "Microsoft.MachineLearningServices.ModelRegistered"
BODY = json.dumps([{"eventType": REGISTERED, "data": {"ModelName": "delay", "ModelVersion": 2}}])

Post = Callable[[dict[str, str]], int]


@pytest.fixture
def reviewer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("REVIEW_KEY", KEY)
    spec = spec_from_file_location("reviewer", EXAMPLE / "reviewer.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def post(reviewer: ModuleType) -> Iterator[Post]:
    """What it answers to a request with these headers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), reviewer.Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/models"
    try:
        yield lambda headers: httpx.post(url, content=BODY, headers=headers, timeout=60).status_code
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def signed(key: str) -> dict[str, str]:
    now = datetime.now(UTC)
    made = Webhook(key).sign("msg", now, BODY)
    return {"webhook-id": "msg", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": made}


def reviewed(reviewer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What it reviews from now on."""
    found: list[tuple[str, int]] = []
    monkeypatch.setattr(reviewer, "review", lambda name, version: found.append((name, version)))
    return found


def only_what_is_signed(post: Post, found: list[tuple[str, int]]) -> None:
    forged = signed("whsec_" + base64.b64encode(bytes(32)).decode())
    assert [post(headers) for headers in ({}, forged)] == [401, 401], "anybody is believed"
    assert post(signed(KEY)) == 204
    assert found == [("delay", 2)]


def test_the_reviewer_believes_only_what_is_signed(
    reviewer: ModuleType, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_what_is_signed(post, reviewed(reviewer, monkeypatch))


def test_mutant_that_believes_anybody_is_caught(
    reviewer: ModuleType, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviewer.Webhook, "verify", lambda _, body, headers: json.loads(body))
    with pytest.raises(AssertionError, match="anybody is believed"):
        only_what_is_signed(post, reviewed(reviewer, monkeypatch))


def test_a_review_that_fails_is_asked_for_again(
    reviewer: ModuleType, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviewer, "review", lambda name, version: 1 / 0)
    assert post(signed(KEY)) == 500


def test_the_subscription_is_the_architectures() -> None:
    """Three attempts in 1,440 minutes, one event a request of 64 KB, in Event Grid's schema."""
    (told,) = plan_of(load(str(EXAMPLE / "app.py")).app).subscriptions
    assert (told.event, told.where, told.format) == ("penstock.model.registered", "model = 'delay'", "eventgrid")
    assert (told.attempts, told.ttl, told.max_events, told.preferred_kb) == (3, 1_440 * 60, 1, 64)
    assert told.secrets
