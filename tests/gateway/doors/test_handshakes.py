"""The callback of a handshake: it grants once, while it holds, and tells nothing to who guesses (EG9, EG10)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import httpx
import pytest
from tests.gateway.doors.test_subscriptions import Shop
from tests.stages.deliver.handshakes.owner import Owner

from penstock.batch import SYSTEM, TopicSpec
from penstock.errors import NotFound
from penstock.gateway import handshakes, principal
from penstock.gateway.app import Gateway
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.stages.deliver.handshakes.asking import token_digest
from penstock.stages.deliver.handshakes.messages import BeginHandshake, EndHandshake, HandshakeChanged
from penstock.stages.deliver.handshakes.state import HandshakeState
from penstock.testing.door_contract import HERE

PATIENCE_S = 300.0
NAME = "cases"
PLAN = Plan(
    "shop",
    "",
    "c0de",
    (TopicSpec("scores"),),
    subscriptions=(
        SubscriptionSpec(
            NAME, "scores", "https://hooks.example.com/in?key=hush", handshake="eventgrid", format="eventgrid"
        ),
        SubscriptionSpec("other", "scores", "https://other.example.com"),
    ),
)


class Registry:
    """The gateway's, whose owner answers whenever it looks."""

    def __init__(self, registry: Any, owner: Owner) -> None:
        self._registry, self._owner, self.view = registry, owner, registry.view
        self._turn = Lock()  # the owner is one

    def refresh(self) -> None:
        with self._turn:
            self._owner.answer()
        self._registry.refresh()


class Hooks(Shop):
    """A handshake waits for somebody, whose callback is ``path``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, PLAN)
        self.owner = Owner(self.log, self.clock)
        object.__setattr__(self.services, "registry", Registry(self.services.registry, self.owner))
        self.path = ""
        self.begin()

    def begin(self, number: int = 0) -> None:
        token = secrets.token_urlsafe(32)
        self.path = f"/handshakes/{token}"
        self.say(
            BeginHandshake(id=token, subscription=NAME, number=number, endpoint="e", token=token_digest(token),
                           patience=PATIENCE_S),
            EndHandshake(id=f"e{token}", subscription=NAME, number=number + 1, verdict="later", reason="no code"),
        )  # fmt: skip
        self.owner.answer()

    @property
    def step(self) -> str | None:
        return self.owner.step(NAME)

    def open(self, method: str = "GET", path: str | None = None, **headers: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(Gateway(self.services))
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
                given = {name.replace("_", "-"): value for name, value in headers.items()}
                return await http.request(method, self.path if path is None else path, headers=given)

        return asyncio.run(asked())


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    found = Hooks(tmp_path)
    yield found
    found.owner.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_callback_grants_by_either_method(hooks: Hooks, method: str) -> None:
    assert hooks.get(f"/subscriptions/{NAME}")["state"] == "awaiting"
    answer = hooks.open(method)
    assert (answer.status_code, answer.text) == (200, "granted: events will be sent\n")
    assert hooks.step == "granted"
    found = hooks.get(f"/subscriptions/{NAME}")
    assert (found["state"], found["handshake"]["step"], found["handshake"]["per_minute"]) == ("live", "granted", None)


def opened_after(hooks: Hooks, seconds: float) -> tuple[int, str | None]:
    hooks.clock.advance(seconds)
    return hooks.open().status_code, hooks.step


def test_it_holds_for_five_minutes_until_4_59(hooks: Hooks) -> None:
    assert opened_after(hooks, 299.0) == (200, "granted")


def check_that_it_expires(hooks: Hooks) -> None:
    assert opened_after(hooks, 301.0) == (404, "awaiting"), "it was opened too late"


def test_it_holds_no_more_at_5_01(hooks: Hooks) -> None:
    check_that_it_expires(hooks)


def test_mutant_that_never_expires_is_caught(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = HandshakeState.open_at
    monkeypatch.setattr(HandshakeState, "open_at", lambda state, token, at: plain(state, token, 0))
    with pytest.raises(AssertionError, match="too late"):
        check_that_it_expires(hooks)


def check_guesses(hooks: Hooks) -> None:
    """All that grants nothing is answered alike, and leaves nothing in the log."""
    token = hooks.path.rpartition("/")[2]
    guesses = ["x", token[:-1], token + "x", token.swapcase(), token_digest(token), "%00", "é", "x" * 5_000]
    before = hooks.log.partitions(SYSTEM)[0].events
    answers = [hooks.open(path=f"/handshakes/{guess}") for guess in guesses]
    assert hooks.step == "awaiting", "a guess granted it"
    assert hooks.log.partitions(SYSTEM)[0].events == before, "a guess is in the log"
    assert hooks.open().status_code == 200
    again = hooks.open()
    expired = Hooks(Path(hooks.services.status).parent)
    expired.clock.advance(301.0)
    said = {(a.status_code, a.text) for a in [*answers, again, expired.open()]}
    assert len(said) == 1, "what is refused is told apart"
    assert {status for status, _ in said} == {404}
    assert NAME not in again.text and token not in again.text


def test_guesses_a_second_use_and_a_late_one_are_refused_alike(hooks: Hooks) -> None:
    check_guesses(hooks)


def test_mutant_that_takes_a_digest_for_the_token_is_caught(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "token_digest", lambda token: token if len(token) == 64 else token_digest(token))
    with pytest.raises(AssertionError, match="a guess granted it"):
        check_guesses(hooks)


def test_mutant_that_says_why_it_refuses_is_caught(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = HandshakeState.open_at

    def open_at(state: HandshakeState, token: str, at: int) -> HandshakeChanged | None:
        if (found := plain(state, token, 0)) is not None and at >= found.until:
            raise NotFound("it has expired")
        return plain(state, token, at)

    monkeypatch.setattr(HandshakeState, "open_at", open_at)
    with pytest.raises(AssertionError, match="told apart"):
        check_guesses(hooks)


def check_one_of_many_at_once(hooks: Hooks) -> None:
    """Both are let in before either is answered: the owner says whose it is."""
    with ThreadPoolExecutor(4) as threads:
        found = [each.result().status_code for each in [threads.submit(hooks.open) for _ in range(4)]]
    assert sorted(found) == [200, 404, 404, 404], "it was used twice"


def test_of_several_at_once_one_grants(hooks: Hooks) -> None:
    check_one_of_many_at_once(hooks)


def test_a_second_handshake_has_another_callback(hooks: Hooks) -> None:
    first = hooks.path
    hooks.begin(number=2)
    assert hooks.open(path=first).status_code == 404 and hooks.step == "awaiting"
    assert hooks.open().status_code == 200 and hooks.step == "granted"


def test_the_callback_may_allow_a_rate(hooks: Hooks) -> None:
    answer = hooks.open(webhook_allowed_rate="many")
    assert answer.status_code == 400 and "neither a whole number of requests a minute" in answer.text
    assert hooks.step == "awaiting"
    assert hooks.open("POST", webhook_allowed_rate="120").status_code == 200
    assert hooks.get(f"/subscriptions/{NAME}")["handshake"]["per_minute"] == 120


def check_a_look_grants_nothing(hooks: Hooks) -> None:
    assert hooks.open("HEAD").status_code == 405
    assert hooks.step == "awaiting", "a look at the link granted it"


def test_a_program_that_only_looks_at_the_link_grants_nothing(hooks: Hooks) -> None:
    check_a_look_grants_nothing(hooks)


def check_any_type(hooks: Hooks) -> None:
    answer = hooks.open("POST", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200, "a receiver's POST was refused for its type"


def test_a_receiver_may_post_what_it_likes(hooks: Hooks) -> None:
    check_any_type(hooks)


def test_mutant_that_refuses_a_form_is_caught(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principal, "is_callback", lambda *_: False)
    with pytest.raises(AssertionError, match="refused for its type"):
        check_any_type(hooks)


def test_a_page_of_another_origin_cannot_post_it(hooks: Hooks) -> None:
    assert hooks.open("POST", origin="https://evil.example").status_code == 403 and hooks.step == "awaiting"


def test_an_owner_that_does_not_answer_is_told(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks.owner, "answer", lambda: None)
    answer = hooks.open()
    assert answer.status_code == 503 and "not answered within 5 s; open it again" in answer.text
    monkeypatch.undo()
    assert hooks.open().status_code in (200, 404) and hooks.step == "granted"


# -- what is told of it, and trying again -----------------------------------------


def test_it_is_told_where_subscriptions_are(hooks: Hooks) -> None:
    found = hooks.get(f"/subscriptions/{NAME}")
    assert (found["state"], found["reason"]) == ("awaiting", "no code")
    assert found["handshake"] | {"since": None} == {
        "kind": "eventgrid", "step": "awaiting", "reason": "no code", "since": None,
        "until": "2023-11-14T22:18:20Z", "per_minute": None,
    }  # fmt: skip
    assert hooks.get("/subscriptions/other")["handshake"] is None
    assert hooks.path.rpartition("/")[2] not in json.dumps(found)


def test_one_that_was_never_asked_is_about_to_be(tmp_path: Path) -> None:
    found = Shop(tmp_path, PLAN).get(f"/subscriptions/{NAME}")
    assert (found["state"], found["handshake"]["step"], found["since"]) == ("asking", "wanted", None)


def check_resume(hooks: Hooks) -> None:
    hooks.say(EndHandshake(id="x", subscription=NAME, number=2, verdict="refused", reason="not ours"))
    hooks.owner.answer()
    found = hooks.get(f"/subscriptions/{NAME}")
    assert (found["state"], found["reason"]) == ("failed", "not ours")
    assert hooks.ask("POST", f"/subscriptions/{NAME}/resume").status_code == 200
    assert hooks.step == "wanted", "it is not tried again"


def test_one_that_has_failed_is_tried_again_by_resume(hooks: Hooks) -> None:
    check_resume(hooks)


def test_mutant_whose_resume_knows_of_pauses_alone_is_caught(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.gateway.subscriptions.AGAIN", ())
    with pytest.raises(AssertionError, match="not tried again"):
        check_resume(hooks)


def test_one_that_is_paused_is_paused_whatever_its_handshake(hooks: Hooks) -> None:
    assert hooks.ask("POST", f"/subscriptions/{NAME}/pause").json()["state"] == "paused"
    assert hooks.step == "awaiting"
