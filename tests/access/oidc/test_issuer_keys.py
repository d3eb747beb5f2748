"""Which keys are in force, and when the issuer is asked for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Thread

import pytest
from tests.access.oidc.issuers import PATIENCE_S, LoopbackIssuer, key

from penstock.access.oidc import issuer_keys
from penstock.access.oidc.issuer_keys import GAP_S, KEEP_S, NONE, RETRY_S, IssuerKeys
from penstock.clock import ManualClock, SystemClock
from penstock.notices import notices


@pytest.fixture
def keys(issuer: LoopbackIssuer, clock: ManualClock) -> IssuerKeys:
    """Without their thread."""
    return IssuerKeys(issuer.settings(), clock)


@pytest.fixture
def started(issuer: LoopbackIssuer, clock: ManualClock) -> Iterator[IssuerKeys]:
    """With their thread, after its first fetch."""
    found = IssuerKeys(issuer.settings(), clock)
    first = found.ask()
    found.start()
    finished(first)
    yield found
    found.close()


def finished(fetch: Future[None] | None) -> None:
    assert fetch is not None
    fetch.result(PATIENCE_S)


def told() -> str:
    return " ".join(f"{notice.reason} {notice.mend}" for notice in notices().standing())


def test_there_are_none_before_they_are_fetched(keys: IssuerKeys) -> None:
    assert keys.in_force() is NONE
    keys.refresh()
    assert keys.in_force().names == {"one"} and not told()


# -- the issuer is away -------------------------------------------------------


def check_kept(issuer: LoopbackIssuer, clock: ManualClock) -> None:
    """Keys stay in force while the issuer is away, for ``KEEP_S`` and no longer."""
    keys = IssuerKeys(issuer.settings(), clock)
    keys.refresh()
    found = keys.in_force()
    issuer.goes_away()
    clock.advance(KEEP_S)
    keys.refresh()
    assert keys.in_force() is found, "the keys are gone with the issuer"
    clock.advance(0.001)
    keys.refresh()
    assert keys.in_force() is NONE, "keys that nobody can withdraw are in force"


def test_keys_stay_while_the_issuer_is_away(issuer: LoopbackIssuer, clock: ManualClock) -> None:
    check_kept(issuer, clock)


def test_an_issuer_that_is_away_is_told(issuer: LoopbackIssuer, clock: ManualClock, keys: IssuerKeys) -> None:
    keys.refresh()
    issuer.goes_away()
    keys.refresh()
    assert f"{issuer.url} cannot be fetched, and those of before stay for 24 hours: " in told()
    clock.advance(KEEP_S + 1)
    keys.refresh()
    assert "none of its tokens is admitted" in told() and "answers 503" in told() and "PENSTOCK_OIDC_*" in told()


def test_mutant_keys_that_go_with_the_issuer_are_caught(
    issuer: LoopbackIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = IssuerKeys._keep

    def drop(self: IssuerKeys, why: str) -> None:
        self._keys = NONE
        keep(self, why)

    monkeypatch.setattr(IssuerKeys, "_keep", drop)
    with pytest.raises(AssertionError, match="gone with the issuer"):
        check_kept(issuer, clock)


def test_mutant_keys_that_stay_for_ever_are_caught(
    issuer: LoopbackIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "KEEP_S", math.inf)
    with pytest.raises(AssertionError, match="nobody can withdraw"):
        check_kept(issuer, clock)


@pytest.mark.parametrize(
    "body", [b'{"keys": []}', b"[]", b"<html>", b'{"keys": [{"kty": "oct", "kid": "a", "k": "QQ"}]}']
)
def test_a_set_without_a_key_takes_no_other_ones_place(body: bytes, issuer: LoopbackIssuer, keys: IssuerKeys) -> None:
    keys.refresh()
    issuer.answers["/realms/tests/keys"] = (200, {}, body)
    keys.refresh()
    assert keys.in_force().names == {"one"} and "its key set" in told()


def test_it_is_over_when_the_issuer_answers_again(issuer: LoopbackIssuer, keys: IssuerKeys) -> None:
    answers = dict(issuer.answers)
    issuer.goes_away()
    keys.refresh()
    assert "none of its tokens is admitted" in told()
    issuer.answers.update(answers)
    keys.refresh()
    assert not told() and keys.in_force().names == {"one"}


def test_a_bug_ends_no_thread_and_is_told(
    started: IssuerKeys, issuer: LoopbackIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(body: bytes) -> None:
        raise KeyError("planted")

    with monkeypatch.context() as planted:
        planted.setattr(issuer_keys, "read_key_set", damaged)
        clock.advance(GAP_S)
        finished(started.ask())
    assert "KeyError, see the log" in told() and "planted" not in told()
    clock.advance(GAP_S)
    finished(started.ask())
    assert started.in_force().names == {"one"} and not told()


# -- when it is asked ---------------------------------------------------------


def check_flood(issuer: LoopbackIssuer, clock: ManualClock) -> None:
    """A thousand tokens with unknown keys, over half a minute."""
    keys = IssuerKeys(issuer.settings(), clock)
    keys.start()
    try:
        issuer.wait_for(lambda: issuer.fetches() == 1)
        for _ in range(1_000):
            if (fetch := keys.ask()) is not None:
                fetch.result(PATIENCE_S)
            clock.advance(0.03)
            assert issuer.fetches() <= 5, "a flood of tokens is a flood of fetches"
    finally:
        keys.close()
    assert issuer.fetches() >= 3


def test_a_flood_of_unknown_keys_is_no_flood_of_fetches(issuer: LoopbackIssuer, clock: ManualClock) -> None:
    check_flood(issuer, clock)


def test_mutant_that_fetches_for_each_unknown_key_is_caught(
    issuer: LoopbackIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "GAP_S", 0.0)
    with pytest.raises(AssertionError, match="flood of fetches"):
        check_flood(issuer, clock)


def test_a_flood_does_not_keep_a_new_key_away(issuer: LoopbackIssuer, clock: ManualClock, started: IssuerKeys) -> None:
    issuer.publishes(key("two"))
    for _ in range(2):
        clock.advance(GAP_S)
        finished(started.ask())
        assert started.ask() is None
    assert started.in_force().names == {"two"}


def test_a_failure_is_no_reason_to_ask_more_often(issuer: LoopbackIssuer, clock: ManualClock, keys: IssuerKeys) -> None:
    issuer.goes_away()
    keys.refresh()
    clock.advance(GAP_S - 1)
    assert keys.ask() is None
    clock.advance(1)
    assert keys.ask() is not None


def test_all_who_ask_meanwhile_get_the_same_fetch(issuer: LoopbackIssuer, keys: IssuerKeys) -> None:
    issuer.open.clear()
    fetching = Thread(target=keys.refresh)
    fetching.start()
    issuer.wait_for(lambda: len(issuer.asked) == 1)
    first, second = keys.ask(), keys.ask()
    assert first is second and first is not None and not first.done() and not first.cancel()
    issuer.open.set()
    fetching.join()
    assert first.done() and keys.ask() is None


@pytest.mark.parametrize("away", [False, True])
def test_the_issuer_is_asked_again_by_itself(
    away: bool, issuer: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "RETRY_S" if away else "PERIOD_S", 0.01)
    if away:
        issuer.goes_away()
    keys = IssuerKeys(issuer.settings(), SystemClock())
    keys.start()
    try:
        issuer.wait_for(lambda: len(issuer.asked) >= 5)
    finally:
        keys.close()


def test_who_is_closed_asks_nobody(issuer: LoopbackIssuer, clock: ManualClock, started: IssuerKeys) -> None:
    started.close()
    clock.advance(RETRY_S)
    assert started.ask() is None
