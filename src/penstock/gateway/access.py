"""Who asks, where keys are wanted: by what the request shows, without a look at the log."""

from __future__ import annotations

import hmac

from ..access import keys
from ..access.rights import Rights
from ..access.state import KeyCreated, KeyState, is_expired
from ..clock import Clock
from ..errors import BadRequest, Unauthorized
from .hosts import check_host
from .principal import ANYBODY, NOT_ADMITTED, Principal, check_page
from .wire.asgi import Scope

SHOWN_IN = (b"authorization", b"x-api-key")
"""The second is for requests whose Authorization holds something else, and for clients that have no other."""

KNOWN = 4_096  # keys whose rights are kept as they are looked up


class KeyAdmission:
    """For the event loop alone; ``state`` is kept up by another thread, and says which keys there are."""

    def __init__(self, state: KeyState, clock: Clock) -> None:
        self._state, self._clock = state, clock
        self._principals: dict[str, Principal] = {}  # by the key's id: its rights never change

    def __call__(self, scope: Scope) -> Principal:
        """Raises what ``Admission`` says. One key is shown, or none: who shows two means one of them for others."""
        check_host(scope["http_version"], scope["headers"], loopback_only=False)
        check_page(scope)
        shown = [key for name, value in scope["headers"] if name in SHOWN_IN and (key := _key(name, value))]
        if len(shown) > 1:
            raise BadRequest("a request shows one key, and this one shows several")
        if not shown:
            if any(name == b"authorization" for name, _ in scope["headers"]):
                raise Unauthorized(NOT_ADMITTED, "what was shown is no key")
            return ANYBODY
        return self._principal(shown[0])

    def _principal(self, shown: str) -> Principal:
        """Raises ``Unauthorized`` in the same words for every key that opens nothing; why not is for the audit."""
        if not keys.is_whole(shown):
            raise Unauthorized(NOT_ADMITTED, "what was shown is no whole key")
        if (found := self._find(shown)) is None:
            raise Unauthorized(NOT_ADMITTED, "there is no such key")
        if found.id in self._state.revoked:
            raise Unauthorized(NOT_ADMITTED, f"key {found.id} of {found.name} is revoked")
        if is_expired(found, self._clock.now()):
            raise Unauthorized(NOT_ADMITTED, f"key {found.id} of {found.name} has expired")
        if (principal := self._principals.get(found.id)) is None:
            if len(self._principals) >= KNOWN:
                self._principals.clear()
            rights = Rights.parse(",".join(found.rights))
            principal = self._principals[found.id] = Principal(found.name, rights, found.id)
        return principal

    def _find(self, shown: str) -> KeyCreated | None:
        """By its digest, of which nobody who guesses keys knows how near he is."""
        digest = keys.digest(shown)
        found = self._state.by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None


def _key(name: bytes, value: bytes) -> str:
    """Empty: it is none."""
    text = value.decode("latin-1").strip()
    if name == b"authorization":
        scheme, _, text = text.partition(" ")
        if scheme.lower() != "bearer":
            return ""
    text = text.strip()
    return text if text.startswith(keys.PREFIX) else ""
