"""Why a token is refused, in words that an audit may be searched for."""

from __future__ import annotations

from enum import StrEnum

SHOWN_CHARS = 80  # characters of what a token says that an audit repeats
SHOWN_BELOW = 1e18


class TokenFault(StrEnum):
    """The ``reason`` of a ``TokenRefused``."""

    OVERSIZED = "oversized"  # more than a token may have, so nothing of it was read
    MALFORMED = "malformed"  # not a signed token: its parts, its base64, its JSON
    ALGORITHM = "algorithm"  # none, HS256, or another that is not allowed
    CRITICAL = "critical"  # it asks for an extension that has to be understood
    TYPE = "type"  # a logout token, a proof of possession, or the like
    UNKNOWN_KEY = "unknown_key"  # the issuer has no key of that name, as far as is known here
    UNFIT_KEY = "unfit_key"  # the issuer's key of that name is not for that algorithm
    FORGED = "forged"  # the signature is not that key's
    CLAIMS = "claims"  # a claim is missing, or is not what it has to be
    ISSUER = "issuer"
    AUDIENCE = "audience"
    BOUND = "bound"  # to a key of its holder's, who has not shown that he has it
    EXPIRED = "expired"
    EARLY = "early"  # not valid yet


def shown(value: object) -> str:
    """What the sender wrote, for a line of the audit: the beginning of a text, with nothing in it that ends a line, or
    a number. Of anything else its kind: it may be too deep or too long to be written."""
    if isinstance(value, str):
        text = ascii(value[:SHOWN_CHARS])
        return text if len(value) <= SHOWN_CHARS else text + "…"
    if value is None or (isinstance(value, int | float) and abs(value) < SHOWN_BELOW):
        return str(value)
    return f"a value of the type {type(value).__name__}"
