"""Which of an issuer's keys can check a token, and which are passed over (RFC 7517)."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from joserfc.util import int_to_base64
from tests.access.oidc.issuers import key, key_set, written

from penstock.access.oidc import key_set as module
from penstock.access.oidc.issuer import SIGNED_WITH
from penstock.access.oidc.key_set import KEYS_LIMIT, KINDS, WrittenKey, read_key_set
from penstock.errors import IssuerUnusable


def weak() -> dict[str, Any]:
    """Of 1,024 bits."""
    numbers = rsa.generate_private_key(65_537, 1_024).public_key().public_numbers()
    return written(key("weak")) | {"n": int_to_base64(numbers.n)}


def without(member: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in written(key("other"), **more).items() if name != member}


PASSED_OVER = {
    "for encryption": written(key("other"), use="enc"),
    "for signing alone": written(key("other"), key_ops=["sign"]),
    "without a name": without("kid"),
    "with an empty name": written(key("other"), kid=""),
    "with an endless name": written(key("other"), kid="k" * 300),
    "with a number as a name": written(key("other"), kid=7),
    "without a kind": without("kty"),
    "of an unknown kind": written(key("other"), kty="AKP"),
    "a secret": {"kty": "oct", "kid": "other", "k": "c2VjcmV0", "use": "sig"},
    "a secret, said to be RSA": {"kty": "RSA", "kid": "other", "k": "c2VjcmV0"},
    "without a modulus": without("n"),
    "of 1,024 bits": weak(),
    "of far too many bits": written(key("other"), n=int_to_base64((1 << 16_384) + 1)),
    "with a huge exponent": written(key("other"), e=int_to_base64((1 << 2_000) + 1)),
    "with an even exponent": written(key("other"), e=int_to_base64(2)),
    "a point beside the curve": written(key("other", "P-256"), x="AQAB"),
    "of another curve than its points": written(key("other", "P-384"), crv="P-256"),
    "of an unknown curve": written(key("other", "P-256"), crv="secp256k1"),
    "for agreeing on keys": written(key("other", "X25519")),
    "of a curve that is not taken": written(key("other", "Ed448")),
    "of too few bytes": written(key("other", "Ed25519"), x="AQAB"),
    "a number": 7,
    "nothing": None,
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_a_key_is_passed_over(name: str) -> None:
    body = json.dumps({"keys": [PASSED_OVER[name], written(key("one"))]}).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_key_set(body).names == {"one"}


def test_mutant_that_takes_weak_keys_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RSA_BITS", (0, 1 << 20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(AssertionError, match="weak"):
            assert read_key_set(key_set(key("one"), weak())).names == {"one"}


def test_a_private_key_is_read_as_a_public_one() -> None:
    body = json.dumps({"keys": [key("one").as_dict(private=True)]}).encode()
    found = read_key_set(body).find("one", "RS256")
    assert isinstance(found, RSAKey) and not found.is_private


def test_keys_of_one_name_and_several_kinds() -> None:
    found = read_key_set(key_set(key("one"), written(key("two", "P-256"), kid="one")))
    assert found.find("one", "RS256") is not found.find("one", "ES256")
    assert found.find("one", "ES384") is None and found.find("two", "ES256") is None


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_key_for_one_algorithm_is_for_no_other(algorithm: str) -> None:
    found = read_key_set(key_set(written(key("one"), alg="PS256")))
    assert (found.find("one", algorithm) is not None) == (algorithm == "PS256")


def test_what_belongs_to_other_ends_is_not_read() -> None:
    more = {"x5c": ["MII"], "x5u": 7, "x5t#S256": None, "issuer": "https://issuer.example", "d": "AQAB"}
    assert read_key_set(key_set(written(key("one"), **more))).names == {"one"}


def test_a_set_of_far_too_many_keys_is_none() -> None:
    with pytest.raises(IssuerUnusable, match=f"has {KEYS_LIMIT + 1} keys"):
        read_key_set(key_set(*[{"kty": "oct"}] * (KEYS_LIMIT + 1)))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"keys": {}}', b'{"keys": null}', b"\xff", b"[" * 200_000])
def test_what_is_no_set_is_said(body: bytes) -> None:
    with pytest.raises(IssuerUnusable, match="no JSON Web Key Set"):
        read_key_set(body)


MEMBERS = st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"]), "kid": st.text(max_size=3)},
    optional={
        **{name: st.text(max_size=9) | st.just(written(key("one"))["n"]) for name in ("n", "e", "x", "y")},
        "crv": st.sampled_from([*SIGNED_WITH.values(), "X25519", ""]),
    },
)


@settings(max_examples=100)
@given(keys=st.lists(MEMBERS, max_size=3))
def test_damaged_keys_take_no_other_along(keys: list[dict[str, Any]]) -> None:
    assert "one" in read_key_set(json.dumps({"keys": [*keys, written(key("one"))]}).encode()).names


@settings(max_examples=100)
@given(body=st.binary(max_size=60))
def test_garbage_is_no_set(body: bytes) -> None:
    with pytest.raises(IssuerUnusable):
        read_key_set(body)


MISMATCHED = [("oct", "P-256"), ("EC", "RSA"), ("EC", "Ed25519"), ("OKP", "P-256"), ("OKP", "X25519"), ("", "RSA")]


def test_a_kind_is_that_of_an_algorithm_or_nothing() -> None:
    assert WrittenKey("RSA", "a", crv="P-256").kind == "RSA"
    assert {WrittenKey(kty, "a", crv=crv).kind for kty, crv in MISMATCHED} == {""}
    assert {kind for kinds in KINDS.values() for kind in kinds} == set(SIGNED_WITH.values())
