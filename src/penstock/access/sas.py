"""Shared access signatures, as Azure Event Grid's clients make them.

``r=RESOURCE&e=EXPIRY&s=SIGNATURE``, each quoted for a URL; the signature is the HMAC-SHA256 of the text before ``&s=``,
as it came, by a key in base64 (https://learn.microsoft.com/azure/event-grid/authenticate-with-access-keys-shared-access-
signatures).

Who checks a signature needs the very key that made it, and no key is kept here. So the one that signs is derived: from
the id of an API key, and from a secret that only the gateways have. Nothing in the log makes a signature.
"""

from __future__ import annotations

import base64
import hmac
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Self
from urllib.parse import unquote, unquote_plus, urlsplit

from ..errors import DeclarationError

SECRET = "PENSTOCK_SAS_SECRET"
LEAST_CHARS = 32  # characters of the secret
LONGEST_CHARS = 4_096  # characters of a signature with all that it signs
FORMS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S")  # of an expiry that is not ISO 8601


def secret_from_env() -> bytes:
    """Empty: there is none. Raises ``DeclarationError`` for one that is too short to be one."""
    found = os.environ.get(SECRET, "")
    if found and len(found) < LEAST_CHARS:
        raise DeclarationError(
            f"{SECRET} has fewer than {LEAST_CHARS} characters: make one with `openssl rand -hex 32`"
        )
    return found.encode()


def signing_key(secret: bytes, id: str) -> str:
    """In base64, as the clients want it."""
    return base64.b64encode(hmac.digest(secret, b"sas:" + id.encode(), "sha256")).decode()


@dataclass(frozen=True, slots=True)
class SharedAccessSignature:
    """``signed``: the very text; ``path``: of the resource; ``expires``: microseconds since the epoch."""

    signed: bytes
    path: str
    expires: int
    signature: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``ValueError`` for what is none."""
        if len(text) > LONGEST_CHARS:
            raise ValueError("it is too long")
        signed, found, signature = text.partition("&s=")
        resource, also, expiry = signed.partition("&e=")
        if not found or not also or not resource.startswith("r=") or "&" in expiry + signature:
            raise ValueError("it is not r=…&e=…&s=…")
        path = urlsplit(unquote(resource[2:])).path
        made = base64.b64decode(unquote(signature), validate=True)
        return cls(signed.encode("ascii"), path, _moment(unquote_plus(expiry)), made)

    def is_made_with(self, key: str) -> bool:
        """``key``: as ``signing_key`` gives it."""
        made = hmac.new(base64.b64decode(key), self.signed, sha256).digest()
        return hmac.compare_digest(made, self.signature)


def _moment(text: str) -> int:
    """``2030-01-01 00:00:00+00:00`` as Azure's client for Python writes it, ISO 8601, ``6/15/2017 6:20:15 PM``; in UTC
    where no zone is said."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = _in_a_form(text)
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    try:
        return round(found.timestamp() * 1e6)
    except OverflowError:
        raise ValueError("its expiry is no time") from None


def _in_a_form(text: str) -> datetime:
    for form in FORMS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError("its expiry is no time")
