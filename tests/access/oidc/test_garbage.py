"""Whatever somebody sends is refused or verified, and raises nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.oidc.issuers import (
    NOW_US,
    ROLES,
    LoopbackIssuer,
    key,
    token,
)

from penstock.access.oidc.claims import Verified
from penstock.access.oidc.tokens import Tokens
from penstock.errors import TokenRefused

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
HEAD_NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "zip", "enc"])
CLAIM_NAMES = st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "roles", "cnf"])


def refused_or_verified(tokens: Tokens, shown: str) -> Verified | None:
    try:
        return tokens.verify(shown, NOW_US)
    except TokenRefused:
        return None


@settings(max_examples=150)
@given(shown=st.text(max_size=200) | st.from_regex(r"\A[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}\Z"))
def test_garbage_is_refused(shown: str, tokens: Tokens) -> None:
    assert refused_or_verified(tokens, shown) is None


@settings(max_examples=100)
@given(at=st.integers(0, 10_000), by=st.characters(min_codepoint=33, max_codepoint=126))
def test_one_changed_character_is_refused_or_changes_nothing(
    at: int, by: str, tokens: Tokens, there: LoopbackIssuer
) -> None:
    shown = token(there.claims(), key("one"))
    at %= len(shown)
    changed = shown[:at] + by + shown[at + 1 :]
    assert (refused_or_verified(tokens, changed) is None) == (changed != shown)


@settings(max_examples=100)
@given(head=st.dictionaries(HEAD_NAMES, ANYTHING, max_size=4))
def test_whatever_a_head_says_is_refused_or_verified(
    head: dict[str, Any], tokens: Tokens, there: LoopbackIssuer
) -> None:
    refused_or_verified(tokens, token(there.claims(), key("edwards", "Ed25519"), "EdDSA", **head))


@settings(max_examples=100)
@given(claims=st.dictionaries(CLAIM_NAMES, ANYTHING, max_size=4))
def test_whatever_an_issuer_claims_is_refused_or_verified(
    claims: dict[str, Any], tokens: Tokens, there: LoopbackIssuer
) -> None:
    found = refused_or_verified(tokens, token({**there.claims(), **claims}, key("edwards", "Ed25519"), "EdDSA"))
    assert found is None or set(found.roles) <= set(ROLES)
