"""Who asks, where keys are wanted: by what the request shows, without a look at the log."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from ..access import keys
from ..access.rights import Rights
from ..access.sas import SharedAccessSignature, signing_key
from ..access.state import KeyCreated, KeyState, is_expired, is_live
from ..clock import Clock
from ..errors import BadRequest, TokenRefused, Unauthorized
from .hosts import check_host
from .pace import Paces
from .principal import ANYBODY, NOT_ADMITTED, Principal, check_page
from .tls.client_names import client_name
from .wire.asgi import Scope

if TYPE_CHECKING:
    from ..access.oidc.tokens import Tokens

AUTHORIZATION, SIGNED_IN = b"authorization", b"aeg-sas-token"
SHOWN_IN = frozenset((AUTHORIZATION, SIGNED_IN, b"x-api-key", b"aeg-sas-key"))
"""``x-api-key`` is for requests whose Authorization holds something else, those of aeg are Event Grid's."""

SIGNED_BY = "sharedaccesssignature"  # a scheme of Authorization, in lower case
EVENT_GRID = "/eventgrid/"
QUERY_KEY = "aeg-sas-key"  # in the URL of a webhook, where Azure lets nobody give a header

QUERY_FIELDS = 32  # fields of a query that are looked at
KNOWN = 4_096  # keys, or texts of rights, that are remembered as they were read


class AccessAdmission:
    """By a key, or by a token of ``tokens``, where there are any; by the client's certificate where it shows neither.

    For the event loop alone; ``state`` is kept up by another thread, and says which keys there are. ``secret``: what
    the keys that sign are derived from; empty: none is.
    """

    def __init__(self, state: KeyState, clock: Clock, tokens: Tokens | None = None, secret: bytes = b"") -> None:
        self._state, self._clock, self._tokens, self._secret = state, clock, tokens, secret
        self._paces = Paces()

    def __call__(self, scope: Scope) -> Principal | Awaitable[Principal]:
        """Raises what ``Admission`` says. One thing is shown, or none: who shows two means one of them for others."""
        check_host(scope["http_version"], scope["headers"], loopback_only=False)
        check_page(scope)
        bearer, found, signed = "", list[str](), list[str]()
        shown = [(name, value) for name, value in scope["headers"] if name in SHOWN_IN]
        for name, value in shown:
            text = value.decode("latin-1").strip()
            if name == SIGNED_IN:
                signed.append(text)
                continue
            if name == AUTHORIZATION:
                scheme, _, text = text.partition(" ")
                signed += [text.strip()] if scheme.lower() == SIGNED_BY else []
                bearer = text = text.strip() if scheme.lower() == "bearer" else ""
            found += [text] if text.startswith(keys.PREFIX) else []
        if scope["path"].startswith(EVENT_GRID) and scope["query_string"]:
            found += _in_query(scope["query_string"])
        if len(found) + len(signed) > 1:
            raise BadRequest("a request shows one key or signature, and this one shows several")
        if found:
            return self._by_key(found[0])
        if signed:
            return self._by_signature(signed[0], scope["path"])
        if bearer and self._tokens is not None:
            return self._by_token(self._tokens, bearer)
        if any(name == AUTHORIZATION for name, _ in shown):
            raise Unauthorized(NOT_ADMITTED, "what was shown is no key")
        return self._by_certificate(scope)

    def _by_key(self, shown: str) -> Principal:
        """Raises ``Unauthorized`` in the same words for every key that opens nothing; why not is for the audit."""
        if (found := self._find(shown)) is None:  # only then: a checksum costs more than the look
            why = "there is no such key" if keys.is_whole(shown) else "what was shown is no whole key"
            raise Unauthorized(NOT_ADMITTED, why)
        if found.id in self._state.revoked:
            raise Unauthorized(NOT_ADMITTED, f"key {found.id} of {found.name} is revoked")
        if is_expired(found, self._clock.now()):
            raise Unauthorized(NOT_ADMITTED, f"key {found.id} of {found.name} has expired")
        return self._within(found)

    def _by_certificate(self, scope: Scope) -> Principal:
        """By its subject: the authorities that the doors were given have verified it. No one's is anybody's."""
        if (subject := client_name(scope)) is None:
            return ANYBODY
        found = self._state.of_certificate(subject, self._clock.now())
        return ANYBODY if found is None else self._within(found)

    def _within(self, key: KeyCreated) -> Principal:
        """Who has it, if he is not too fast. Raises ``TooFast``."""
        if key.rate is not None:
            self._paces.take(key.id, key.rate, self._clock.monotonic())
        return _principal(key.name, key.rights, key.id)

    def _by_signature(self, text: str, path: str) -> Principal:
        """Of a request to a topic as Event Grid's publishers know it. Raises ``Unauthorized``."""
        try:
            shown = SharedAccessSignature.parse(text)
        except ValueError:
            raise Unauthorized(NOT_ADMITTED, "what was shown is no shared access signature") from None
        now, topic = self._clock.now(), path.removeprefix(EVENT_GRID).partition("/")[0]
        if shown.path != path or not path.startswith(EVENT_GRID):
            raise Unauthorized(NOT_ADMITTED, "the signature is for another resource")
        if now >= shown.expires:
            raise Unauthorized(NOT_ADMITTED, "the signature has expired")
        for key in self._state.signers.get(topic, ()) if self._secret else ():
            if is_live(self._state, key, now) and shown.is_made_with(signing_key(self._secret, key.id)):
                return self._within(key)
        raise Unauthorized(NOT_ADMITTED, "no key that signs for this topic made the signature")

    def _find(self, shown: str) -> KeyCreated | None:
        """By its digest, of which nobody who guesses keys knows how near he is; a text of another length has none."""
        if len(shown) != keys.LENGTH:
            return None
        digest = keys.digest(shown)
        found = self._state.by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None

    async def _by_token(self, tokens: Tokens, shown: str) -> Principal:
        try:
            verified = await tokens.verify_waiting(shown, self._clock.now())
        except TokenRefused as refused:
            raise Unauthorized(NOT_ADMITTED, refused.why) from None
        return _principal(verified.subject, verified.rights, verified.issuer)


@lru_cache(KNOWN)
def _principal(name: str, rights: tuple[str, ...], id: str) -> Principal:
    return Principal(name, Rights.parse(",".join(rights)) if rights else Rights.of([]), id)


def _in_query(query: bytes) -> list[str]:
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=QUERY_FIELDS).get(QUERY_KEY, [])
    except ValueError:
        raise BadRequest(f"a query has {QUERY_FIELDS} fields at most") from None
