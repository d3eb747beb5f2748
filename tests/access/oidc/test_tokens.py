"""Who is admitted by a token, and every bad one that is not (RFC 8725); each check, taken away, lets one in."""

from __future__ import annotations

import hmac
import traceback
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import RSAKey
from tests.access.oidc.bad_tokens import BY_NAME
from tests.access.oidc.conftest import fetched
from tests.access.oidc.issuers import (
    NOW,
    NOW_US,
    ROLES,
    LoopbackIssuer,
    encoded,
    key,
    token,
)

from penstock.access.oidc import claims as claims_module
from penstock.access.oidc import signatures
from penstock.access.oidc import tokens as tokens_module
from penstock.access.oidc.claims import LATEST_S, Verified
from penstock.access.oidc.faults import TokenFault
from penstock.access.oidc.issuer import SIGNED_WITH
from penstock.access.oidc.key_set import PublicKey, PublicKeys
from penstock.access.oidc.signatures import TOKEN_BYTES, Signatures, TokenHead
from penstock.access.oidc.tokens import Tokens
from penstock.errors import TokenRefused

# -- who is admitted ----------------------------------------------------------


@pytest.mark.parametrize(("alg", "kind"), SIGNED_WITH.items())
def test_a_good_token_of_each_algorithm_is_admitted(alg: str, kind: str, tokens: Tokens, there: LoopbackIssuer) -> None:
    names = {"RSA": "one", "P-256": "curve", "P-384": "curve-384", "P-521": "curve-521", "Ed25519": "edwards"}
    assert tokens.verify(token(there.claims(), key(names[kind], kind), alg), NOW_US) == Verified(
        "service-7", there.url, ("operator",), (ROLES["operator"],), 0, (NOW + 300) * 1_000_000
    )


@pytest.mark.parametrize("head", [{"typ": None}, {"typ": "jwt"}, {"typ": "at+jwt"}, {"typ": "application/at+JWT"}])
def test_the_types_of_an_access_token(head: dict[str, Any], tokens: Tokens, there: LoopbackIssuer) -> None:
    assert tokens.verify(token(there.claims(), key("one"), **head), NOW_US).subject == "service-7"


@pytest.mark.parametrize("kept", ["jku", "x5u"])
def test_an_address_of_keys_in_a_token_is_not_looked_at(kept: str, tokens: Tokens, there: LoopbackIssuer) -> None:
    asked = len(there.asked)
    tokens.verify(token(there.claims(), key("one"), **{kept: f"{there.url}/theirs"}), NOW_US)
    assert len(there.asked) == asked


# -- who is not ---------------------------------------------------------------


def check_refused(tokens: Tokens, there: LoopbackIssuer, name: str) -> None:
    bad = BY_NAME[name]
    try:
        tokens.verify(bad.make(there), NOW_US)
    except TokenRefused as refused:
        assert refused.reason == bad.fault, f"{name}: refused as {refused.reason}"
        assert str(refused) == "not admitted" and refused.__cause__ is None
        return
    raise AssertionError(f"{name}: admitted")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_bad_token_is_refused_for_its_reason(name: str, tokens: Tokens, there: LoopbackIssuer) -> None:
    check_refused(tokens, there, name)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_refusal_tells_nothing_of_the_token(name: str, tokens: Tokens, there: LoopbackIssuer) -> None:
    shown = BY_NAME[name].make(there)
    with pytest.raises(TokenRefused) as refused:
        tokens.verify(shown, NOW_US)
    said = f"{refused.value!r} {refused.value} {refused.value.reason} {refused.value.detail}"
    assert not any(part in said for part in shown.split(".") if len(part) > 8)
    assert "\n" not in said and len(said) < 500


def believes_the_token(self: Signatures, shown: str, head: TokenHead, found: PublicKey) -> bytes:
    """A verifier that does what a token's head says."""
    signed, _, signature = shown.rpartition(".")
    payload = jws.extract_compact(shown.encode()).payload
    if head.alg == "HS256":
        assert isinstance(found, RSAKey)
        expected = hmac.digest(found.as_pem(private=False), signed.encode(), "sha256")
        if not hmac.compare_digest(signature, encoded(expected)):
            raise TokenRefused(TokenFault.FORGED, "")
    return payload


def brings_its_key(self: Signatures, shown: str, head: TokenHead, found: PublicKey) -> bytes:
    theirs = jws.extract_compact(shown.encode(), registry=self._allowed["RS256"]).headers()["jwk"]
    return jws.deserialize_compact(shown, RSAKey.import_key(theirs), registry=self._allowed["RS256"]).payload


def unsigned(self: Signatures, shown: str, head: TokenHead, found: PublicKey) -> bytes:
    return jws.extract_compact(shown.encode(), registry=self._allowed["RS256"]).payload


def by_name_alone(self: PublicKeys, kid: str, algorithm: str) -> PublicKey | None:
    return next((found for (name, _), found in self.keys.items() if name == kid), None)


def whichever(self: PublicKeys, kid: str, algorithm: str) -> PublicKey | None:
    return next(iter(self.keys.values()))


def nothing(*_: object) -> None:
    return None


Plant = tuple[object, str, object]
BELIEVING: list[Plant] = [(signatures, "check_algorithm", nothing), (Signatures, "payload", believes_the_token)]
MUTANTS: list[tuple[list[Plant], str, str]] = [
    (BELIEVING, "no algorithm", "admitted"),
    (BELIEVING, "HS256 with the public key as secret", "admitted"),
    ([(signatures, "check_critical", nothing)], "critical b64", "admitted"),
    ([(signatures, "check_type", nothing)], "a logout token", "admitted"),
    ([(tokens_module, "check_size", nothing)], "a huge token", "refused as forged"),
    ([(signatures, "HEAD_BYTES", TOKEN_BYTES)], "a huge head", "admitted"),
    ([(PublicKeys, "find", whichever)], "an unknown key", "admitted"),
    ([(PublicKeys, "find", by_name_alone)], "an RSA key with ES256", "refused as forged"),
    ([(PublicKeys, "find", by_name_alone)], "a key that is for another algorithm", "admitted"),
    ([(Signatures, "payload", unsigned)], "a key of somebody else's", "admitted"),
    ([(Signatures, "payload", unsigned)], "other claims than were signed", "admitted"),
    ([(Signatures, "payload", brings_its_key)], "a key that it brings along", "admitted"),
    ([(claims_module, "check_issuer", nothing)], "another issuer's", "admitted"),
    ([(claims_module, "check_audience", nothing)], "another audience", "admitted"),
    ([(claims_module, "check_unbound", nothing)], "bound to a key", "admitted"),
    ([(claims_module, "check_expiry", nothing)], "expired", "admitted"),
    ([(claims_module, "check_not_before", nothing)], "not yet valid", "admitted"),
    ([(claims_module, "read_expiry", lambda claims: claims.get("exp", LATEST_S) * 1_000_000)], "no end", "admitted"),
]  # fmt: skip


@pytest.mark.parametrize(("planted", "name", "found"), MUTANTS, ids=[f"{name}" for _, name, _ in MUTANTS])
def test_mutant_without_a_check_is_caught(
    planted: list[Plant], name: str, found: str, there: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symmetric in ("none", "HS256"):
        monkeypatch.setitem(SIGNED_WITH, symmetric, "RSA")
    for place, what, mutant in planted:
        monkeypatch.setattr(place, what, mutant)
    with pytest.raises(AssertionError, match=f"{name}: {found}"):
        check_refused(fetched(there), there, name)


def test_no_token_is_logged(
    tokens: Tokens, there: LoopbackIssuer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    shown = [bad.make(there) for bad in BY_NAME.values()] + [token(there.claims(), key("one"))]
    for one in shown:
        try:
            tokens.verify(one, NOW_US)
        except TokenRefused:
            traceback.print_exc()
    tokens.keys.refresh()
    said = caplog.text + "".join(capfd.readouterr())
    assert "not admitted" in said
    assert not [part for one in shown for part in one.split(".") if len(part) > 16 and part in said]
