"""Who waits for the issuer, and who does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, wait
from threading import Thread
from types import SimpleNamespace

import pytest
from tests.access.oidc.issuers import (
    NOW_US,
    LoopbackIssuer,
    key,
    token,
)

from penstock.access.oidc import issuer_keys
from penstock.access.oidc import tokens as tokens_module
from penstock.access.oidc.claims import Verified
from penstock.access.oidc.faults import TokenFault
from penstock.access.oidc.issuer_keys import IssuerKeys
from penstock.access.oidc.tokens import Tokens
from penstock.clock import ManualClock
from penstock.errors import TokenRefused


@pytest.fixture
def started(issuer: LoopbackIssuer, clock: ManualClock) -> Iterator[Tokens]:
    tokens = Tokens(issuer.settings(), clock)
    tokens.start()
    yield tokens
    tokens.close()


def test_the_first_requests_wait_for_the_first_keys(issuer: LoopbackIssuer, started: Tokens) -> None:
    async def all_at_once() -> list[Verified]:
        shown = [token(issuer.claims(sub=f"s{n}"), key("one")) for n in range(20)]
        return await asyncio.gather(*(started.verify_waiting(one, NOW_US) for one in shown))

    assert len(asyncio.run(all_at_once())) == 20
    assert issuer.fetches() == 1


def test_a_new_key_is_fetched_at_once_and_once_for_all(
    issuer: LoopbackIssuer, clock: ManualClock, started: Tokens
) -> None:
    async def all_at_once(name: str) -> list[Verified]:
        shown = [token(issuer.claims(sub=f"s{n}"), key(name)) for n in range(20)]
        return await asyncio.gather(*(started.verify_waiting(one, NOW_US) for one in shown))

    asyncio.run(all_at_once("one"))
    issuer.publishes(key("two"))
    clock.advance(issuer_keys.GAP_S)
    assert len(asyncio.run(all_at_once("two"))) == 20
    assert issuer.fetches() == 2


def check_others_go_on(issuer: LoopbackIssuer, clock: ManualClock, tokens: Tokens) -> None:
    """While a request waits for an issuer that does not answer, others are served on the same event loop."""
    known, unknown = (token(issuer.claims(), key(name)) for name in ("one", "two"))
    asyncio.run(tokens.verify_waiting(known, NOW_US))
    issuer.open.clear()
    clock.advance(issuer_keys.GAP_S)

    async def both() -> tuple[int, TokenRefused]:
        waiting = asyncio.create_task(tokens.verify_waiting(unknown, NOW_US))
        served = 0
        while not waiting.done():
            served += bool(tokens.verify(known, NOW_US))
            await asyncio.sleep(0)
        with pytest.raises(TokenRefused) as refused:
            await waiting
        return served, refused.value

    served, refused = asyncio.run(both())
    assert served > 5, "the event loop is held"
    assert refused.reason == TokenFault.UNKNOWN_KEY


def test_nobody_else_waits_while_the_issuer_does_not_answer(
    issuer: LoopbackIssuer, clock: ManualClock, started: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "WAIT_S", 2.0)
    check_others_go_on(issuer, clock, started)


def test_mutant_that_waits_on_the_event_loop_is_caught(
    issuer: LoopbackIssuer, clock: ManualClock, started: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(started.verify_waiting(token(issuer.claims(), key("one")), NOW_US))

    async def holding(futures: set[Future[None]], *, timeout: float) -> None:
        wait(futures, 0.2)

    monkeypatch.setattr(tokens_module, "asyncio", SimpleNamespace(wait=holding, wrap_future=lambda fetch: fetch))
    with pytest.raises(AssertionError, match="the event loop is held"):
        check_others_go_on(issuer, clock, started)


def test_whoever_goes_away_takes_nobody_along(issuer: LoopbackIssuer, started: Tokens) -> None:
    issuer.open.clear()
    shown = token(issuer.claims(), key("one"))

    async def two() -> Verified:
        gone, stays = (asyncio.create_task(started.verify_waiting(shown, NOW_US)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait({gone})
        issuer.open.set()
        return await stays

    assert asyncio.run(two()).subject == "service-7"


def test_closing_lets_go_of_who_waits(issuer: LoopbackIssuer, started: Tokens) -> None:
    issuer.open.clear()

    async def closed() -> None:
        waiting = asyncio.create_task(started.verify_waiting(token(issuer.claims(), key("one")), NOW_US))
        await asyncio.sleep(0)
        started.close()
        with pytest.raises(TokenRefused):
            await waiting

    asyncio.run(closed())


def test_a_fetch_that_has_ended_by_then_counts(
    issuer: LoopbackIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the refusal and the question when the keys come, they have come."""

    def came(self: IssuerKeys) -> None:
        fetching = Thread(target=self.refresh)
        fetching.start()
        fetching.join()

    monkeypatch.setattr(IssuerKeys, "ask", came)
    tokens = Tokens(issuer.settings(), clock)
    assert asyncio.run(tokens.verify_waiting(token(issuer.claims(), key("one")), NOW_US)).subject == "service-7"
