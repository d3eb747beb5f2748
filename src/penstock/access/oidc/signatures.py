"""A token's text (a JSON Web Signature, RFC 7515, in its compact form): what its head says, and who signed it."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Collection
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from ...errors import TokenRefused
from .faults import TokenFault, shown
from .key_set import KID_CHARS, PublicKey

TOKEN_BYTES = 16 << 10  # bytes of a token
HEAD_BYTES = 4 << 10  # bytes of its first part, as sent
TYPES = ("", "jwt", "at+jwt")  # RFC 9068 §2.1; others are for other ends (RFC 8725 §3.11)

_PARTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")  # the last is empty where nobody has signed


class TokenHead(msgspec.Struct, frozen=True):
    """What is used of a token's head. Keys and addresses of keys that it brings along (``jwk``, ``jku``, ``x5c``,
    ``x5u``) are not: a token does not say whom to believe (RFC 8725 §3.10)."""

    alg: str
    kid: str = ""
    typ: str = ""
    crit: Any = msgspec.UNSET


class _AllowedAlgorithms(JWSRegistry):
    """For exactly one algorithm, which was chosen here. The library's own warns at each use of EdDSA, since RFC 9864
    calls it by its curve now; the keys that are taken for it are of that one curve."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)
        self.max_header_length = HEAD_BYTES
        self.max_payload_length = self.max_signature_length = TOKEN_BYTES

    def get_alg(self, name: str) -> Any:
        if not self.allowed or name not in self.allowed:
            raise ValueError(f"{name} is not allowed")
        return self.algorithms[name]


class Signatures:
    """Holds nothing of a token. For any thread."""

    def __init__(self, algorithms: Collection[str]) -> None:
        self._allowed = {name: _AllowedAlgorithms(name) for name in algorithms}

    def read_head(self, token: str) -> TokenHead:
        """Of a token whose size was looked at (``check_size``). Raises ``TokenRefused`` for what is no token, or one
        that no key could make good."""
        if not _PARTS.fullmatch(token):
            raise TokenRefused(TokenFault.MALFORMED, "not three parts of base64url with dots between them")
        encoded = token.partition(".")[0]
        if len(encoded) > HEAD_BYTES:
            raise TokenRefused(TokenFault.OVERSIZED, f"its head is longer than {HEAD_BYTES} bytes")
        try:
            head = msgspec.json.decode(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), type=TokenHead)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise TokenRefused(TokenFault.MALFORMED, "its head is no JSON object with an algorithm") from None
        check_algorithm(head, self._allowed)
        check_critical(head)
        check_type(head)
        if not 0 < len(head.kid) <= KID_CHARS:
            raise TokenRefused(TokenFault.MALFORMED, f"it names no key (kid), or with over {KID_CHARS} characters")
        return head

    def payload(self, token: str, head: TokenHead, key: PublicKey) -> bytes:
        """What was signed, after the one check of the signature. Raises ``TokenRefused``."""
        try:
            return jws.deserialize_compact(token, key, registry=self._allowed[head.alg]).payload
        except (JoseError, ValueError, TypeError, RecursionError):
            raise TokenRefused(TokenFault.FORGED, f"the key {shown(head.kid)} did not sign it") from None


def check_size(token: str) -> None:
    """Before anything else is done with it. Raises ``TokenRefused``, as the others below do."""
    if len(token) > TOKEN_BYTES:
        raise TokenRefused(TokenFault.OVERSIZED, f"{len(token)} bytes; a token has {TOKEN_BYTES} at most")


def check_algorithm(head: TokenHead, allowed: Collection[str]) -> None:
    """RFC 8725 §3.1: the issuer's settings say what is taken, whatever the token says."""
    if head.alg not in allowed:
        raise TokenRefused(TokenFault.ALGORITHM, f"signed with {shown(head.alg)}; allowed are {', '.join(allowed)}")


def check_critical(head: TokenHead) -> None:
    """RFC 7515 §4.1.11: who does not understand an extension refuses the token, and here none is understood."""
    if head.crit is not msgspec.UNSET:
        raise TokenRefused(TokenFault.CRITICAL, "it has critical extensions (crit), none of which is known here")


def check_type(head: TokenHead) -> None:
    if head.typ.lower().removeprefix("application/") not in TYPES:
        raise TokenRefused(TokenFault.TYPE, f"it is of the type {shown(head.typ)}, not JWT or at+jwt")
