"""What is remembered of a token, for how long, and by which keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Event

import pytest
from tests.access.oidc.issuers import (
    LEEWAY_S,
    NOW,
    NOW_US,
    LoopbackIssuer,
    key,
    token,
)

from penstock.access.oidc import claims as claims_module
from penstock.access.oidc import tokens as tokens_module
from penstock.access.oidc.claims import Verified
from penstock.access.oidc.faults import TokenFault
from penstock.access.oidc.key_set import PublicKey, PublicKeys
from penstock.access.oidc.signatures import Signatures, TokenHead
from penstock.access.oidc.tokens import Tokens
from penstock.clock import ManualClock
from penstock.errors import TokenRefused


def check_ends(tokens: Tokens, there: LoopbackIssuer) -> None:
    """A remembered token ends when it ends, to the microsecond, with the leeway."""
    shown = token(there.claims(exp=NOW + 60, nbf=NOW), key("one"))
    end = (NOW + 60 + LEEWAY_S) * 1_000_000
    assert tokens.verify(shown, end - 1).expires == (NOW + 60) * 1_000_000
    assert tokens.verify(shown, (NOW - LEEWAY_S) * 1_000_000).not_before == NOW * 1_000_000
    for now, fault in ((end, TokenFault.EXPIRED), ((NOW - LEEWAY_S) * 1_000_000 - 1, TokenFault.EARLY)):
        try:
            tokens.verify(shown, now)
        except TokenRefused as refused:
            assert refused.reason == fault
        else:
            raise AssertionError(f"{fault}: it was remembered for longer than it holds")


def test_a_remembered_token_ends_when_it_ends(fresh: Tokens, there: LoopbackIssuer) -> None:
    check_ends(fresh, there)


def test_mutant_that_looks_at_the_time_once_is_caught(
    fresh: Tokens, there: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, check = set[Verified](), claims_module.check_time

    def once(verified: Verified, now: int, leeway_s: float) -> None:
        if verified not in looked:
            looked.add(verified)
            check(verified, now, leeway_s)

    monkeypatch.setattr(tokens_module, "check_time", once)
    with pytest.raises(AssertionError, match="remembered for longer"):
        check_ends(fresh, there)


def test_a_signature_is_checked_once(fresh: Tokens, there: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    checked, payload = [], Signatures.payload

    def counted(self: Signatures, shown: str, head: TokenHead, found: PublicKey) -> bytes:
        checked.append(shown)
        return payload(self, shown, head, found)

    monkeypatch.setattr(Signatures, "payload", counted)
    shown = token(there.claims(), key("one"))
    assert len({id(fresh.verify(shown, NOW_US)) for _ in range(5)}) == 1
    assert checked == [shown]


def test_what_is_remembered_is_bounded_and_holds_no_token(
    fresh: Tokens, there: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "REMEMBERED", 3)
    shown = [token(there.claims(sub=f"service-{n}"), key("curve", "P-256"), "ES256") for n in range(5)]
    for one in (*shown, shown[2]):
        fresh.verify(one, NOW_US)
    assert list(fresh._remembered) == [sha256(shown[n].encode()).digest() for n in (3, 4, 2)]


# -- rotation -----------------------------------------------------------------


def check_withdrawn(issuer: LoopbackIssuer, clock: ManualClock) -> None:
    """Keys that overlap admit both; one that is withdrawn admits nobody, whatever is remembered."""
    tokens = Tokens(issuer.settings(), clock)
    old, new = (token(issuer.claims(), key(name)) for name in ("one", "two"))
    for published, admitted in ((("one",), [old]), (("one", "two"), [old, new]), (("two",), [new])):
        issuer.publishes(*map(key, published))
        tokens.keys.refresh()
        for shown in (old, new):
            try:
                tokens.verify(shown, NOW_US)
            except TokenRefused as refused:
                assert shown not in admitted and refused.reason == TokenFault.UNKNOWN_KEY
            else:
                assert shown in admitted, "a withdrawn key is still in force"


def test_keys_change_at_once_and_one_after_the_other(issuer: LoopbackIssuer, clock: ManualClock) -> None:
    check_withdrawn(issuer, clock)


def test_mutant_that_remembers_by_withdrawn_keys_is_caught(
    issuer: LoopbackIssuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_any_keys(self: Tokens, digest: bytes, keys: PublicKeys) -> Verified | None:
        entry = self._remembered.get(digest)
        return entry[1] if entry else None

    monkeypatch.setattr(Tokens, "_recall", by_any_keys)
    with pytest.raises(AssertionError, match="withdrawn key is still in force"):
        check_withdrawn(issuer, clock)


def test_the_same_keys_again_forget_nothing(fresh: Tokens, there: LoopbackIssuer) -> None:
    first = fresh.verify(shown := token(there.claims(), key("one")), NOW_US)
    fresh.keys.refresh()
    assert fresh.verify(shown, NOW_US) is first


def test_many_threads_while_keys_change(issuer: LoopbackIssuer, clock: ManualClock) -> None:
    """Each is told what one of the two sets says, and the last one counts in the end."""
    tokens, ended = Tokens(issuer.settings(), clock), Event()
    shown = [token(issuer.claims(sub=f"s{n}"), key(name)) for name in ("one", "two") for n in range(5)]

    def verify() -> set[str]:
        said = set()
        while not ended.is_set():
            for one in shown:
                try:
                    said.add(tokens.verify(one, NOW_US).subject)
                except TokenRefused as refused:
                    said.add(refused.reason)
        return said

    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(verify) for _ in range(4)]
        try:
            for n in range(6):
                issuer.publishes(key("one" if n % 2 else "two"))
                tokens.keys.refresh()
        finally:
            ended.set()
    assert set.union(*(r.result() for r in results)) <= {TokenFault.UNKNOWN_KEY, *(f"s{n}" for n in range(5))}
    tokens.verify(shown[0], NOW_US)
    with pytest.raises(TokenRefused):
        tokens.verify(shown[-1], NOW_US)
