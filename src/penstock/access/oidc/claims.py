"""What a token says (RFC 7519 §4.1), once it is known that its issuer has signed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ...errors import TokenRefused
from .faults import TokenFault, shown
from .issuer import Issuer

SUBJECT_CHARS = 255  # characters, OpenID Connect Core 1.0 §2
LATEST_S = 253_402_300_800  # seconds since the epoch: the end of the year 9999
US = 1_000_000  # microseconds of a second


@dataclass(frozen=True, slots=True)
class Verified:
    """Who shows a token. ``roles`` are those of the token that give something, each once, and ``rights`` the texts of
    what they give, in the same order; both may be empty. ``not_before`` and ``expires``: microseconds since the epoch,
    as the issuer has them, without the leeway."""

    subject: str
    issuer: str
    roles: tuple[str, ...]
    rights: tuple[str, ...]
    not_before: int
    expires: int


def read_claims(payload: bytes, issuer: Issuer) -> Verified:
    """All but whether it is in time. Raises ``TokenRefused``."""
    try:
        claims = msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise TokenRefused(TokenFault.CLAIMS, "what is signed is no JSON object") from None
    check_issuer(claims, issuer)
    check_audience(claims, issuer)
    check_unbound(claims)
    roles = tuple(role for role in dict.fromkeys(read_roles(claims, issuer.claim_path)) if role in issuer.roles)
    return Verified(
        subject=_subject(claims),
        issuer=issuer.url,
        roles=roles,
        rights=tuple(issuer.roles[role] for role in roles),
        not_before=read_not_before(claims),
        expires=read_expiry(claims),
    )


def check_issuer(claims: Mapping[str, Any], issuer: Issuer) -> None:
    if claims.get("iss") != issuer.url:
        raise TokenRefused(TokenFault.ISSUER, f"iss is {shown(claims.get('iss'))}, not {issuer.url}")


def check_audience(claims: Mapping[str, Any], issuer: Issuer) -> None:
    """One, or a list; another form is none of ours."""
    given = claims.get("aud")
    named = given if isinstance(given, list) else [given]
    if not any(audience in named for audience in issuer.audiences):
        texts = " ".join(name for name in named if isinstance(name, str))
        raise TokenRefused(TokenFault.AUDIENCE, f"aud is {shown(texts)}, not {' or '.join(issuer.audiences)}")


def check_unbound(claims: Mapping[str, Any]) -> None:
    """RFC 9449 §7.2, RFC 8705 §3: a token that is bound to a key is no bearer token; who stole it would show it so."""
    if "cnf" in claims:
        raise TokenRefused(TokenFault.BOUND, "it is bound to a key of its holder (cnf), which a bearer does not show")


def check_time(verified: Verified, now: int, leeway_s: float) -> None:
    """``now``: microseconds since the epoch. Raises ``TokenRefused``."""
    check_expiry(verified, now, leeway_s)
    check_not_before(verified, now, leeway_s)


def check_expiry(verified: Verified, now: int, leeway_s: float) -> None:
    if now >= verified.expires + leeway_s * US:
        raise TokenRefused(TokenFault.EXPIRED, f"it ended {(now - verified.expires) / US:.0f} s ago")


def check_not_before(verified: Verified, now: int, leeway_s: float) -> None:
    if now < verified.not_before - leeway_s * US:
        raise TokenRefused(TokenFault.EARLY, f"it begins in {(verified.not_before - now) / US:.0f} s")


def read_expiry(claims: Mapping[str, Any]) -> int:
    """Microseconds since the epoch. A token without an end would be good for ever."""
    if "exp" not in claims:
        raise TokenRefused(TokenFault.CLAIMS, "exp is missing: it would never end")
    return _date(claims, "exp")


def read_not_before(claims: Mapping[str, Any]) -> int:
    """Microseconds since the epoch; 0 where nothing is said."""
    return _date(claims, "nbf") if "nbf" in claims else 0


def read_roles(claims: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """None where the claim, or one on the way to it, is absent. A list of texts, or a text with blanks between them,
    as ``scope`` is (RFC 6749 §3.3)."""
    found: Any = claims
    for name in path:
        if not isinstance(found, dict):
            raise TokenRefused(TokenFault.CLAIMS, f"{'.'.join(path)} leads through what is no object")
        if (found := found.get(name)) is None:
            return []
    if isinstance(found, str):
        return found.split()
    if isinstance(found, list) and all(isinstance(role, str) for role in found):
        return found
    raise TokenRefused(TokenFault.CLAIMS, f"{'.'.join(path)} is neither a list of texts nor a text")


def _date(claims: Mapping[str, Any], name: str) -> int:
    """A NumericDate (RFC 7519 §2): seconds since the epoch, whole or not."""
    given = claims[name]
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < LATEST_S:
        raise TokenRefused(TokenFault.CLAIMS, f"{name} is {shown(given)}, not a time in seconds")
    return int(given * US)


def _subject(claims: Mapping[str, Any]) -> str:
    found = claims.get("sub")
    if not isinstance(found, str) or not 0 < len(found) <= SUBJECT_CHARS or not found.isprintable():
        raise TokenRefused(TokenFault.CLAIMS, f"sub is {shown(found)}, not a text of 1 to {SUBJECT_CHARS} characters")
    return found
