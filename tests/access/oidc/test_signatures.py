"""What is read of a token's head. Bad tokens are in ``bad_tokens``, whole."""

from __future__ import annotations

import json

import pytest
from tests.access.oidc.issuers import key, token, with_parts

from penstock.access.oidc.faults import TokenFault
from penstock.access.oidc.signatures import HEAD_BYTES, TOKEN_BYTES, Signatures, check_size
from penstock.errors import TokenRefused

SIGNATURES = Signatures(["RS256"])


def test_a_head() -> None:
    head = SIGNATURES.read_head(token({}, key("one"), jku="https://issuer.example", x5t="AQ"))
    assert (head.alg, head.kid, head.typ) == ("RS256", "one", "JWT")


@pytest.mark.parametrize(("first", "last"), [("none", "RS256"), ("RS256", "none")])
def test_of_an_algorithm_named_twice_the_last_counts(first: str, last: str) -> None:
    """For this side as for the library (RFC 7515 §4): else one would look at the first, and the other do the last."""
    twice = f'{{"kid":"one","alg":"{first}","alg":"{last}"}}'.encode()
    shown = with_parts(twice, b"{}", key("one"), "RS256")
    if last == "none":
        with pytest.raises(TokenRefused) as refused:
            SIGNATURES.read_head(shown)
        assert refused.value.reason == TokenFault.ALGORITHM
    else:
        assert SIGNATURES.payload(shown, SIGNATURES.read_head(shown), key("one")) == b"{}"


def test_an_algorithm_that_the_issuer_does_not_use() -> None:
    with pytest.raises(TokenRefused) as refused:
        SIGNATURES.read_head(token({}, key("curve", "P-256"), "ES256"))
    assert refused.value.detail == "signed with 'ES256'; allowed are RS256"


def test_a_head_that_is_as_long_as_it_may_be() -> None:
    room = HEAD_BYTES * 3 // 4 - len(json.dumps({"alg": "RS256", "kid": "one", "more": ""}))
    head = json.dumps({"alg": "RS256", "kid": "one", "more": "x" * room}).encode()
    assert SIGNATURES.read_head(with_parts(head, b"{}", key("one"), "RS256")).kid == "one"


def test_a_token_that_is_as_long_as_it_may_be() -> None:
    check_size("x" * TOKEN_BYTES)
    with pytest.raises(TokenRefused):
        check_size("x" * (TOKEN_BYTES + 1))
