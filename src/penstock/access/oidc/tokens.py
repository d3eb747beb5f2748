"""Bearer tokens become principals: each is checked once, and remembered while it holds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import sha256
from threading import Lock

from ...clock import Clock
from ...errors import TokenRefused
from .claims import Verified, check_time, read_claims
from .faults import TokenFault, shown
from .issuer import Issuer
from .issuer_keys import IssuerKeys
from .key_set import PublicKeys
from .signatures import Signatures, check_size

REMEMBERED = 4_096  # tokens, of less than 1 KiB each
WAIT_S = 5.0  # seconds that one request may wait for the keys

_Entry = tuple[PublicKeys, Verified]  # by which keys it was decided


class Tokens:
    """The tokens of one issuer. For any thread.

    A gateway makes one (``open_tokens``), calls ``start`` before it serves, ``await verify_waiting(token, now)`` for
    each request that shows ``Authorization: Bearer TOKEN`` (RFC 6750 §2.1), and ``close`` at the end. ``TokenRefused``
    is a 401 with the error's text, and ``WWW-Authenticate: Bearer error="invalid_token"`` (§3); its ``reason`` and
    ``detail`` go to the audit. What the texts in ``Verified.rights`` mean is not known here: read those of
    ``issuer.roles`` at start, when a mistake can be said.
    """

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self.issuer = issuer
        self.keys = IssuerKeys(issuer, clock)
        self._signatures = Signatures(issuer.algorithms)
        self._lock = Lock()
        self._remembered: OrderedDict[bytes, _Entry] = OrderedDict()  # by digest: no token is kept; under the lock

    def start(self) -> None:
        """Begins to fetch the keys, and goes on. Waits for nothing: until they are there, their tokens are unknown."""
        self.keys.start()

    def close(self) -> None:
        self.keys.close()

    def verify(self, token: str, now: int) -> Verified:
        """``now``: microseconds since the epoch. Waits for nothing and nobody, so an event loop may call it: some
        microseconds for a token that is remembered, and the check of one signature else.

        Raises ``TokenRefused``. With ``TokenFault.UNKNOWN_KEY`` the keys are being fetched, or were just now: the same
        token may be admitted a moment later.
        """
        check_size(token)
        keys = self.keys.in_force()
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        if (verified := self._recall(digest, keys)) is None:
            verified = self._check(token, keys)
            self._remember(digest, (keys, verified))
        check_time(verified, now, self.issuer.leeway_s)
        return verified

    async def verify_waiting(self, token: str, now: int) -> Verified:
        """As ``verify``, but where the key is unknown, and a fetch of the keys is under way or may begin, its end is
        waited for, ``WAIT_S`` at most, without holding the event loop. All who wait, wait for the same one."""
        keys = self.keys.in_force()
        try:
            return self.verify(token, now)
        except TokenRefused as refused:
            fetch = self.keys.ask() if refused.reason == TokenFault.UNKNOWN_KEY else None
            if fetch is None and self.keys.in_force() is keys:  # else the fetch has ended between these lines
                raise
        if fetch is not None:
            await asyncio.wait({asyncio.wrap_future(fetch)}, timeout=WAIT_S)
        return self.verify(token, now)

    def _check(self, token: str, keys: PublicKeys) -> Verified:
        head = self._signatures.read_head(token)
        if (key := keys.find(head.kid, head.alg)) is None:
            if head.kid in keys.names:
                raise TokenRefused(TokenFault.UNFIT_KEY, f"the key {shown(head.kid)} is not for {head.alg}")
            self.keys.ask()
            raise TokenRefused(TokenFault.UNKNOWN_KEY, f"{self.issuer.url} has no key {shown(head.kid)} as yet")
        return read_claims(self._signatures.payload(token, head, key), self.issuer)

    def _recall(self, digest: bytes, keys: PublicKeys) -> Verified | None:
        """What other keys have decided counts no more: one of them may have been withdrawn."""
        with self._lock:
            if (entry := self._remembered.get(digest)) is None:
                return None
            by, verified = entry
            if by is not keys:
                del self._remembered[digest]
                return None
            self._remembered.move_to_end(digest)
            return verified

    def _remember(self, digest: bytes, entry: _Entry) -> None:
        with self._lock:
            self._remembered[digest] = entry
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
