"""Every token that admits nobody, with the reason (RFC 8725)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.access.oidc.issuers import (
    AUDIENCE,
    LEEWAY_S,
    NOW,
    LoopbackIssuer,
    SigningKey,
    encoded,
    key,
    token,
    with_parts,
    written,
)

from penstock.access.oidc.faults import TokenFault
from penstock.access.oidc.signatures import TOKEN_BYTES


@dataclass(frozen=True)
class Bad:
    name: str
    fault: TokenFault
    make: Callable[[LoopbackIssuer], str]


def claimed(**claims: Any) -> Callable[[LoopbackIssuer], str]:
    return lambda there: token(there.claims(**claims), key("one"))


def headed(signer: SigningKey | None = None, alg: str = "RS256", **head: Any) -> Callable[[LoopbackIssuer], str]:
    return lambda there: token(there.claims(), signer or key("one"), alg, **head)


def text(value: str) -> Callable[[LoopbackIssuer], str]:
    return lambda there: value


def none_at_all(there: LoopbackIssuer) -> str:
    return token(there.claims(), lambda _: b"", "none", kid="one")


def public_key_as_secret(there: LoopbackIssuer) -> str:
    secret = key("one").as_pem(private=False)
    return token(there.claims(), lambda signed: hmac.digest(secret, signed, "sha256"), "HS256", kid="one")


def own_key_embedded(there: LoopbackIssuer) -> str:
    return token(there.claims(), key("theirs"), kid="one", jwk=written(key("theirs")))


def parts_exchanged(there: LoopbackIssuer) -> str:
    head, _, signature = token(there.claims(), key("one")).split(".")
    return ".".join([head, encoded(json.dumps(there.claims(sub="root")).encode()), signature])


DEEP = b'{"a":' * 3_000 + b"1" + b"}" * 3_000
BAD = [
    Bad("no algorithm", TokenFault.ALGORITHM, none_at_all),
    Bad("NONE in capitals", TokenFault.ALGORITHM, lambda there: token(
        there.claims(), lambda _: b"", "NoNe", kid="one")),
    Bad("HS256 with the public key as secret", TokenFault.ALGORITHM, public_key_as_secret),
    Bad("an algorithm that nobody knows", TokenFault.ALGORITHM, lambda there: token(
        there.claims(), lambda _: b"x", "XS256", kid="one")),
    Bad("critical b64", TokenFault.CRITICAL, headed(crit=["b64"], b64=True)),
    Bad("critical unknown", TokenFault.CRITICAL, headed(crit=["tenant"], tenant="a")),
    Bad("critical empty", TokenFault.CRITICAL, headed(crit=[])),
    Bad("critical null", TokenFault.CRITICAL, lambda there: with_parts(
        b'{"alg":"RS256","kid":"one","crit":null}', json.dumps(there.claims()).encode(), key("one"), "RS256")),
    Bad("critical garbage", TokenFault.CRITICAL, headed(crit={"a": [1]})),
    Bad("a logout token", TokenFault.TYPE, headed(typ="logout+jwt")),
    Bad("a proof of possession", TokenFault.TYPE, headed(typ="dpop+jwt")),
    Bad("an unknown key", TokenFault.UNKNOWN_KEY, headed(kid="two")),
    Bad("no key named", TokenFault.MALFORMED, headed(kid=None)),
    Bad("a key with an endless name", TokenFault.MALFORMED, headed(kid="k" * 300)),
    Bad("a key that is a number", TokenFault.MALFORMED, headed(kid=1)),
    Bad("an RSA key with ES256", TokenFault.UNFIT_KEY, headed(key("curve", "P-256"), "ES256", kid="one")),
    Bad("a curve's key with RS256", TokenFault.UNFIT_KEY, headed(kid="curve")),
    Bad("another curve's algorithm", TokenFault.UNFIT_KEY, headed(key("curve-384", "P-384"), "ES384", kid="curve")),
    Bad("a key that is for another algorithm", TokenFault.UNFIT_KEY, headed(key("pinned"), "PS256")),
    Bad("a key of somebody else's", TokenFault.FORGED, headed(key("theirs"), kid="one")),
    Bad("a key that it brings along", TokenFault.FORGED, own_key_embedded),
    Bad("other claims than were signed", TokenFault.FORGED, parts_exchanged),
    Bad("no signature", TokenFault.FORGED, lambda there: token(there.claims(), lambda _: b"", kid="one")),
    Bad("ES256 of zeros", TokenFault.FORGED, lambda there: token(
        there.claims(), lambda _: bytes(64), "ES256", kid="curve")),
    Bad("a huge token", TokenFault.OVERSIZED, claimed(more="x" * TOKEN_BYTES)),
    Bad("a huge head", TokenFault.OVERSIZED, headed(more="x" * 4_096)),
    Bad("another issuer's", TokenFault.ISSUER, claimed(iss="https://issuer.example")),
    Bad("an issuer with a slash more", TokenFault.ISSUER, lambda there: token(
        there.claims(iss=there.url + "/"), key("one"))),
    Bad("no issuer", TokenFault.ISSUER, claimed(iss=None)),
    Bad("issuers in a list", TokenFault.ISSUER, lambda there: token(there.claims(iss=[there.url]), key("one"))),
    Bad("another audience", TokenFault.AUDIENCE, claimed(aud="account")),
    Bad("other audiences", TokenFault.AUDIENCE, claimed(aud=["account", "api://penstock2", 7, None])),
    Bad("no audience", TokenFault.AUDIENCE, claimed(aud=None)),
    Bad("an audience within another", TokenFault.AUDIENCE, claimed(aud=[[AUDIENCE]])),
    Bad("an audience's beginning", TokenFault.AUDIENCE, claimed(aud=f"{AUDIENCE}/more")),
    Bad("bound to a key", TokenFault.BOUND, claimed(cnf={"jkt": "x"})),
    Bad("expired", TokenFault.EXPIRED, claimed(exp=NOW - LEEWAY_S)),
    Bad("expired long ago", TokenFault.EXPIRED, claimed(exp=0)),
    Bad("not yet valid", TokenFault.EARLY, claimed(nbf=NOW + LEEWAY_S + 0.001)),
    Bad("no end", TokenFault.CLAIMS, claimed(exp=None)),
    Bad("an end that is a text", TokenFault.CLAIMS, claimed(exp=str(NOW + 300))),
    Bad("an end that is true", TokenFault.CLAIMS, claimed(exp=True)),
    Bad("an end before time", TokenFault.CLAIMS, claimed(exp=-1)),
    Bad("an end after all time", TokenFault.CLAIMS, claimed(exp=10**300)),
    Bad("a begin that is none", TokenFault.CLAIMS, claimed(nbf=[])),
    Bad("an end without an end of digits", TokenFault.CLAIMS, lambda there: token(
        b'{"exp":' + b"9" * 9_000 + b"}", key("one"))),
    Bad("nobody", TokenFault.CLAIMS, claimed(sub=None)),
    Bad("an empty subject", TokenFault.CLAIMS, claimed(sub="")),
    Bad("an endless subject", TokenFault.CLAIMS, claimed(sub="s" * 256)),
    Bad("a subject of two lines", TokenFault.CLAIMS, claimed(sub="a\nb")),
    Bad("roles that are numbers", TokenFault.CLAIMS, claimed(roles=[1, 2])),
    Bad("roles that are an object", TokenFault.CLAIMS, claimed(roles={"operator": True})),
    Bad("a list as claims", TokenFault.CLAIMS, lambda there: token(b"[1]", key("one"))),
    Bad("claims that are no JSON", TokenFault.CLAIMS, lambda there: token(b"\xff{", key("one"))),
    Bad("claims without an end of levels", TokenFault.CLAIMS, lambda there: token(DEEP[:9_000], key("one"))),
    Bad("a head without an end of levels", TokenFault.MALFORMED, lambda there: with_parts(
        DEEP[:3_000], b"{}", lambda _: b"x", "RS256")),
    Bad("a head without an end of digits", TokenFault.CRITICAL, lambda there: with_parts(
        b'{"alg":"RS256","kid":"one","crit":' + b"9" * 2_500 + b"}", b"{}", lambda _: b"x", "RS256")),
    Bad("a head that is a list", TokenFault.MALFORMED, lambda there: with_parts(b"[]", b"{}", lambda _: b"x", "RS256")),
    Bad("a head without an algorithm", TokenFault.MALFORMED, lambda there: with_parts(
        b'{"kid":"one"}', b"{}", lambda _: b"x", "RS256")),
    Bad("nothing", TokenFault.MALFORMED, text("")),
    Bad("dots", TokenFault.MALFORMED, text("..")),
    Bad("two parts", TokenFault.MALFORMED, lambda there: token(there.claims(), key("one")).rpartition(".")[0]),
    Bad("an encrypted token", TokenFault.MALFORMED, lambda there: token(there.claims(), key("one")) + ".a.b"),
    Bad("padding", TokenFault.MALFORMED, lambda there: token(there.claims(), key("one")) + "="),
    Bad("a blank behind", TokenFault.MALFORMED, lambda there: token(there.claims(), key("one")) + "\n"),
    Bad("other letters", TokenFault.MALFORMED, text("ä.ö.ü")),
    Bad("half a character", TokenFault.MALFORMED, text("\ud800.a.b")),
]  # fmt: skip
BY_NAME = {bad.name: bad for bad in BAD}
