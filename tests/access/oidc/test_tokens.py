"""Who is admitted by a token, and every bad one that is not (RFC 8725); each check, taken away, lets one in."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import RSAKey
from tests.access.oidc.issuers import (
    AUDIENCE,
    NOW,
    NOW_US,
    ROLES,
    LoopbackIssuer,
    SigningKey,
    encoded,
    key,
    loopback_issuer,
    token,
    with_parts,
    written,
)

from penstock.access.oidc import claims as claims_module
from penstock.access.oidc import issuer_keys, signatures
from penstock.access.oidc import tokens as tokens_module
from penstock.access.oidc.claims import LATEST_S, Verified
from penstock.access.oidc.faults import Fault
from penstock.access.oidc.issuer import SIGNED_WITH
from penstock.access.oidc.key_set import PublicKey, PublicKeys
from penstock.access.oidc.signatures import TOKEN_BYTES, Signatures, TokenHead
from penstock.access.oidc.tokens import Tokens
from penstock.clock import ManualClock
from penstock.errors import TokenRefused

LEEWAY_S = 30
PINNED = {"alg": "RS256"}  # what the key "pinned" says that it is for


@pytest.fixture(scope="module")
def there() -> Iterator[LoopbackIssuer]:
    with loopback_issuer() as found:
        found.publishes(
            key("one"), key("curve", "P-256"), key("edwards", "Ed25519"), written(key("pinned"), **PINNED),
            key("curve-384", "P-384"), key("curve-521", "P-521"),
        )  # fmt: skip
        yield found


def fetched(there: LoopbackIssuer, **more: Any) -> Tokens:
    """The fetch is on this thread."""
    found = Tokens(there.settings(leeway_s=LEEWAY_S, **more), ManualClock())
    found.keys.refresh()
    return found


@pytest.fixture(scope="module")
def tokens(there: LoopbackIssuer) -> Tokens:
    return fetched(there, algorithms=tuple(SIGNED_WITH))


@pytest.fixture
def fresh(there: LoopbackIssuer) -> Tokens:
    """They remember nothing yet."""
    return fetched(there)


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
            raise TokenRefused(Fault.FORGED, "")
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
    ([(signatures, "check_size", nothing), (tokens_module, "check_size", nothing)], "a huge token", "refused as forged"),
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


# -- one after the other ------------------------------------------------------


def check_ends(tokens: Tokens, there: LoopbackIssuer) -> None:
    """A remembered token ends when it ends, to the microsecond, with the leeway."""
    shown = token(there.claims(exp=NOW + 60, nbf=NOW), key("one"))
    end = (NOW + 60 + LEEWAY_S) * 1_000_000
    assert tokens.verify(shown, end - 1).expires == (NOW + 60) * 1_000_000
    assert tokens.verify(shown, (NOW - LEEWAY_S) * 1_000_000).not_before == NOW * 1_000_000
    for now, fault in ((end, Fault.EXPIRED), ((NOW - LEEWAY_S) * 1_000_000 - 1, Fault.EARLY)):
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
                assert shown not in admitted and refused.reason == Fault.UNKNOWN_KEY
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


# -- with the thread ----------------------------------------------------------


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


def test_nobody_else_waits_while_the_issuer_does_not_answer(
    issuer: LoopbackIssuer, clock: ManualClock, started: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = (token(issuer.claims(), key(name)) for name in ("one", "two"))
    asyncio.run(started.verify_waiting(known, NOW_US))
    issuer.open.clear()
    clock.advance(issuer_keys.GAP_S)
    monkeypatch.setattr(tokens_module, "WAIT_S", 0.1)

    async def both() -> tuple[int, TokenRefused]:
        waiting = asyncio.create_task(started.verify_waiting(unknown, NOW_US))
        served = 0
        while not waiting.done():
            served += bool(started.verify(known, NOW_US))
            await asyncio.sleep(0)
        with pytest.raises(TokenRefused) as refused:
            await waiting
        return served, refused.value

    served, refused = asyncio.run(both())
    assert served > 1 and refused.reason == Fault.UNKNOWN_KEY


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


# -- garbage ------------------------------------------------------------------

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
