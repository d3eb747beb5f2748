"""What is kept of caught webhooks, how it is judged, and what it is answered."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.destinations.webhook.signatures import Signer, check_secret
from penstock.errors import BadRequest
from penstock.gateway.catching import catcher as catching
from penstock.gateway.catching.catcher import (
    BODY_BYTES,
    KEPT,
    KEPT_BYTES,
    SECRET,
    Catcher,
    shown_headers,
    signing_secrets,
)
from penstock.gateway.catching.paths import path_of, takes_any_type
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.plan.references import ReferenceSpec

KEY = ReferenceSpec("secret", "CASE_KEY")
OTHER = ReferenceSpec("secret", "OTHER_KEY")
SIGNED = SubscriptionSpec("signed", "scores", ReferenceSpec("env", "CASE_URL"), secrets=(KEY,))
PLAIN = SubscriptionSpec("plain", "scores", "https://hooks.example.com/all")
COPIED = SubscriptionSpec("copied", "scores", topic="copies")
PLAN = Plan("shop", "", "c0de", (), subscriptions=(SIGNED, PLAIN, COPIED))
REAL = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def made(**environ: str) -> Catcher:
    return Catcher(PLAN, environ)


def signed(secret: str, body: bytes = b"{}", at: int | None = None) -> list[tuple[str, str]]:
    seconds = int(datetime.now(UTC).timestamp()) if at is None else at
    signature = Signer([secret]).sign("scores/0/1", seconds, body)
    return [("webhook-id", "scores/0/1"), ("webhook-timestamp", str(seconds)), ("webhook-signature", signature)]


def signature_of(catcher: Catcher, headers: list[tuple[str, str]], name: str = "signed", body: bytes = b"{}") -> str:
    catcher.take(name, headers, body, 1)
    return next(caught.signature for each, caught in catcher.kept() if each == name)


def test_webhooks_alone_are_caught() -> None:
    assert list(made().subscriptions) == ["signed", "plain"]


def test_a_secret_that_is_not_set_is_the_catchers() -> None:
    check_secret(SECRET)
    assert signing_secrets(SIGNED, {}) == [SECRET]
    assert signing_secrets(SIGNED, {"CASE_KEY": REAL}) == [REAL]
    both = SubscriptionSpec("both", "scores", PLAIN.url, secrets=(KEY, OTHER))
    assert signing_secrets(both, {}) == [SECRET] and signing_secrets(both, {"OTHER_KEY": REAL}) == [SECRET, REAL]


def test_signatures_are_looked_at_as_a_receiver_does() -> None:
    assert signature_of(made(), signed(SECRET)) == "verified"
    assert signature_of(made(CASE_KEY=REAL), signed(REAL)) == "verified"
    assert signature_of(made(CASE_KEY=REAL), signed(SECRET)) == "wrong: No matching signature found"
    assert signature_of(made(), signed(SECRET, b"[]")) == "wrong: No matching signature found"
    assert signature_of(made(), signed(SECRET, at=1_000)) == "wrong: Message timestamp too old"
    assert signature_of(made(), []) == "wrong: Missing required headers"
    assert signature_of(made(), [], "plain") == "none"
    assert signature_of(made(), signed(SECRET), "plain") == "signed, and the file names no secret"
    assert signature_of(made(), signed(SECRET), body=b"\xff").startswith("wrong: 'utf-8'")


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=20)))
def test_no_header_is_a_fault_of_ours(headers: dict[str, str]) -> None:
    assert signature_of(made(), list(headers.items())).startswith("wrong: ")


def test_secrets_in_headers_are_named_and_not_looked_up() -> None:
    token, place = ReferenceSpec("secret", "TOKEN"), ReferenceSpec("env", "PLACE")
    spec = SubscriptionSpec(
        "s", "scores", PLAIN.url, headers=(("authorization", token), ("x-place", place), ("x-kind", "plain"))
    )
    given = {"TOKEN": "hush", "PLACE": "Delft"}
    assert shown_headers(spec, given) == [
        ("authorization", "ps.secret('TOKEN')"),
        ("x-place", "Delft"),
        ("x-kind", "plain"),
    ]
    assert shown_headers(spec, {})[1] == ("x-place", "ps.env('PLACE')")


def test_what_is_chosen_is_answered() -> None:
    catcher = made()
    assert catcher.take("plain", [], b"", 1) == "200"
    catcher.choose("plain", "410")
    assert catcher.take("plain", [], b"", 1) == "410" and catcher.take("signed", [], b"", 1) == "200"
    with pytest.raises(BadRequest, match=re.escape("'201' is no answer of the catcher; there are 200, 400, 410, 500")):
        catcher.choose("plain", "201")


def check_bounds(catcher: Catcher) -> None:
    for n in range(3 * KEPT):
        catcher.take("plain", [("x", "y" * 60_000)], b"a" * (2 * BODY_BYTES), n)
        catcher.take("signed", [], b"", n)
    kept = list(catcher.kept())
    assert sum(caught.held for _, caught in kept) <= KEPT_BYTES
    ours = [caught for name, caught in kept if name == "plain"]
    assert 0 < len(ours) <= KEPT and next(caught.at for caught in ours) == 3 * KEPT - 1
    assert {len(caught.body) for caught in ours} == {BODY_BYTES}
    assert {caught.size for caught in ours} == {2 * BODY_BYTES}
    assert len(kept) - len(ours) == KEPT, "one that sends much pushed another's out"
    assert catcher.count == 6 * KEPT


def test_count_and_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching, "KEPT_BYTES", KEPT_BYTES // 8)
    monkeypatch.setitem(globals(), "KEPT_BYTES", KEPT_BYTES // 8)
    check_bounds(made())


def test_mutant_that_counts_requests_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "KEPT_BYTES", KEPT_BYTES // 8)
    with pytest.raises(AssertionError, match="<= "):
        check_bounds(made())


def test_mutant_that_drops_whose_turn_it_is_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching, "KEPT_BYTES", KEPT_BYTES // 8)
    monkeypatch.setitem(globals(), "KEPT_BYTES", KEPT_BYTES // 8)
    plain = Catcher._drop
    oldest = lambda catcher, name: plain(catcher, min(catcher._kept, key=lambda n: catcher._kept[n][0].number))  # noqa: E731
    monkeypatch.setattr(Catcher, "_drop", oldest)
    with pytest.raises(AssertionError, match="pushed another's out"):
        check_bounds(made())


def test_the_next_gateway_has_what_this_one_had_but_of_subscriptions_that_are_gone() -> None:
    catcher = made()
    catcher.choose("plain", "500")
    for name in ("plain", "signed"):
        catcher.take(name, [("a", "b")], b"x", 7)
    following = Catcher(Plan("shop", "", "c0de", (), subscriptions=(PLAIN,)), {})
    following.restore(catcher.save())
    assert [caught.number for _, caught in following.kept()] == [1] and following.answer_of("plain") == "500"
    assert following.take("plain", [], b"", 1) == "500" and following.count == 3
    with pytest.raises(ValueError, match=r"truncated|Expected"):
        following.restore(b"")


def test_only_where_webhooks_are_caught_may_a_body_be_of_any_type() -> None:
    assert takes_any_type("POST", path_of("a/b"))
    for method, path in (
        ("PUT", "/caught/x"),
        ("POST", "/caught/x/answer"),
        ("POST", "/caught"),
        ("POST", "/models/x"),
    ):
        assert not takes_any_type(method, path)
