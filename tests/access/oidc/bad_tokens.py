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

from penstock.access.oidc.faults import Fault
from penstock.access.oidc.signatures import TOKEN_BYTES


@dataclass(frozen=True)
class Bad:
    name: str
    fault: Fault
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
    Bad("no algorithm", Fault.ALGORITHM, none_at_all),
    Bad("NONE in capitals", Fault.ALGORITHM, lambda there: token(
        there.claims(), lambda _: b"", "NoNe", kid="one")),
    Bad("HS256 with the public key as secret", Fault.ALGORITHM, public_key_as_secret),
    Bad("an algorithm that nobody knows", Fault.ALGORITHM, lambda there: token(
        there.claims(), lambda _: b"x", "XS256", kid="one")),
    Bad("critical b64", Fault.CRITICAL, headed(crit=["b64"], b64=True)),
    Bad("critical unknown", Fault.CRITICAL, headed(crit=["tenant"], tenant="a")),
    Bad("critical empty", Fault.CRITICAL, headed(crit=[])),
    Bad("critical null", Fault.CRITICAL, lambda there: with_parts(
        b'{"alg":"RS256","kid":"one","crit":null}', json.dumps(there.claims()).encode(), key("one"), "RS256")),
    Bad("critical garbage", Fault.CRITICAL, headed(crit={"a": [1]})),
    Bad("a logout token", Fault.TYPE, headed(typ="logout+jwt")),
    Bad("a proof of possession", Fault.TYPE, headed(typ="dpop+jwt")),
    Bad("an unknown key", Fault.UNKNOWN_KEY, headed(kid="two")),
    Bad("no key named", Fault.MALFORMED, headed(kid=None)),
    Bad("a key with an endless name", Fault.MALFORMED, headed(kid="k" * 300)),
    Bad("a key that is a number", Fault.MALFORMED, headed(kid=1)),
    Bad("an RSA key with ES256", Fault.UNFIT_KEY, headed(key("curve", "P-256"), "ES256", kid="one")),
    Bad("a curve's key with RS256", Fault.UNFIT_KEY, headed(kid="curve")),
    Bad("another curve's algorithm", Fault.UNFIT_KEY, headed(key("curve-384", "P-384"), "ES384", kid="curve")),
    Bad("a key that is for another algorithm", Fault.UNFIT_KEY, headed(key("pinned"), "PS256")),
    Bad("a key of somebody else's", Fault.FORGED, headed(key("theirs"), kid="one")),
    Bad("a key that it brings along", Fault.FORGED, own_key_embedded),
    Bad("other claims than were signed", Fault.FORGED, parts_exchanged),
    Bad("no signature", Fault.FORGED, lambda there: token(there.claims(), lambda _: b"", kid="one")),
    Bad("ES256 of zeros", Fault.FORGED, lambda there: token(
        there.claims(), lambda _: bytes(64), "ES256", kid="curve")),
    Bad("a huge token", Fault.OVERSIZED, claimed(more="x" * TOKEN_BYTES)),
    Bad("a huge head", Fault.OVERSIZED, headed(more="x" * 4_096)),
    Bad("another issuer's", Fault.ISSUER, claimed(iss="https://issuer.example")),
    Bad("an issuer with a slash more", Fault.ISSUER, lambda there: token(
        there.claims(iss=there.url + "/"), key("one"))),
    Bad("no issuer", Fault.ISSUER, claimed(iss=None)),
    Bad("issuers in a list", Fault.ISSUER, lambda there: token(there.claims(iss=[there.url]), key("one"))),
    Bad("another audience", Fault.AUDIENCE, claimed(aud="account")),
    Bad("other audiences", Fault.AUDIENCE, claimed(aud=["account", "api://penstock2", 7, None])),
    Bad("no audience", Fault.AUDIENCE, claimed(aud=None)),
    Bad("an audience within another", Fault.AUDIENCE, claimed(aud=[[AUDIENCE]])),
    Bad("an audience's beginning", Fault.AUDIENCE, claimed(aud=f"{AUDIENCE}/more")),
    Bad("bound to a key", Fault.BOUND, claimed(cnf={"jkt": "x"})),
    Bad("expired", Fault.EXPIRED, claimed(exp=NOW - LEEWAY_S)),
    Bad("expired long ago", Fault.EXPIRED, claimed(exp=0)),
    Bad("not yet valid", Fault.EARLY, claimed(nbf=NOW + LEEWAY_S + 0.001)),
    Bad("no end", Fault.CLAIMS, claimed(exp=None)),
    Bad("an end that is a text", Fault.CLAIMS, claimed(exp=str(NOW + 300))),
    Bad("an end that is true", Fault.CLAIMS, claimed(exp=True)),
    Bad("an end before time", Fault.CLAIMS, claimed(exp=-1)),
    Bad("an end after all time", Fault.CLAIMS, claimed(exp=10**300)),
    Bad("a begin that is none", Fault.CLAIMS, claimed(nbf=[])),
    Bad("nobody", Fault.CLAIMS, claimed(sub=None)),
    Bad("an empty subject", Fault.CLAIMS, claimed(sub="")),
    Bad("an endless subject", Fault.CLAIMS, claimed(sub="s" * 256)),
    Bad("a subject of two lines", Fault.CLAIMS, claimed(sub="a\nb")),
    Bad("roles that are numbers", Fault.CLAIMS, claimed(roles=[1, 2])),
    Bad("roles that are an object", Fault.CLAIMS, claimed(roles={"operator": True})),
    Bad("a list as claims", Fault.CLAIMS, lambda there: token(b"[1]", key("one"))),
    Bad("claims that are no JSON", Fault.CLAIMS, lambda there: token(b"\xff{", key("one"))),
    Bad("claims without an end of levels", Fault.CLAIMS, lambda there: token(DEEP[:9_000], key("one"))),
    Bad("a head without an end of levels", Fault.MALFORMED, lambda there: with_parts(
        DEEP[:3_000], b"{}", lambda _: b"x", "RS256")),
    Bad("a head that is a list", Fault.MALFORMED, lambda there: with_parts(b"[]", b"{}", lambda _: b"x", "RS256")),
    Bad("a head without an algorithm", Fault.MALFORMED, lambda there: with_parts(
        b'{"kid":"one"}', b"{}", lambda _: b"x", "RS256")),
    Bad("nothing", Fault.MALFORMED, text("")),
    Bad("dots", Fault.MALFORMED, text("..")),
    Bad("two parts", Fault.MALFORMED, lambda there: token(there.claims(), key("one")).rpartition(".")[0]),
    Bad("an encrypted token", Fault.MALFORMED, lambda there: token(there.claims(), key("one")) + ".a.b"),
    Bad("padding", Fault.MALFORMED, lambda there: token(there.claims(), key("one")) + "="),
    Bad("a blank behind", Fault.MALFORMED, lambda there: token(there.claims(), key("one")) + "\n"),
    Bad("other letters", Fault.MALFORMED, text("ä.ö.ü")),
    Bad("half a character", Fault.MALFORMED, text("\ud800.a.b")),
]  # fmt: skip
BY_NAME = {bad.name: bad for bad in BAD}
