"""Beside the doors, where keys are wanted: which there are is kept up, the first one is let in, and what was noted of
requests is written."""

from __future__ import annotations

from secrets import token_hex
from threading import Event
from typing import TYPE_CHECKING

from ...access.admin import ADMIN_KEY, admit
from ...access.audit import AUDIT_TOPIC, WRITE_S, Act, Audit
from ...access.oidc.open import checked_issuer, open_tokens
from ...clock import Clock
from ...errors import Conflict, PenstockError
from ...log.interface import Log
from ...models.registry import Registry
from ...notices import notices

if TYPE_CHECKING:
    from ...access.oidc.tokens import Tokens

NOTICE, ADMIN_NOTICE = "access", "the first key"
ADMITTED = 201  # as of a key that is made over HTTP


def opened_audit(log: Log, clock: Clock, slot: str) -> Audit:
    """``slot``: of the process, which says on whose host a chain was written. The topic is made where there is none."""
    log.create(AUDIT_TOPIC)
    return Audit(log, clock, f"{slot or 'gateway'}/{token_hex(8)}")


def opened_tokens(clock: Clock) -> Tokens | None:
    """Their keys are on the way. Raises what ``checked_issuer`` raises, and ``CannotStart`` without the library."""
    if (issuer := checked_issuer()) is None:
        return None
    tokens = open_tokens(issuer, clock)
    tokens.start()
    return tokens


class Guard:
    """Looks so often that a key that is revoked on one host opens nothing on any a second later.

    ``admin_key``: the first one, which whoever deploys has made up; empty: none is let in by itself. Of one thread.
    """

    def __init__(self, registry: Registry, audit: Audit, clock: Clock, admin_key: str = "") -> None:
        self._registry, self._audit, self._clock, self._admin_key = registry, audit, clock, admin_key

    def run(self, stop: Event) -> None:
        """Until told to stop; what was noted until then is written."""
        while not stop.wait(WRITE_S):
            self.look()
        self.look()

    def look(self) -> None:
        """What the log does not answer is told where an operator looks, and tried again."""
        try:
            self._registry.refresh()
            self._let_in()
            self._audit.write()
        except PenstockError as error:
            notices().tell(
                NOTICE,
                f"keys that were made or revoked meanwhile are not known here, and the audit waits: {error}",
                mend="look after the log; until it answers the keys hold that are known",
            )
        else:
            notices().settle(NOTICE)

    def _let_in(self) -> None:
        """Once, and again only where the log was away."""
        if not self._admin_key:
            return
        view = self._registry.view
        try:
            made = admit(self._audit.log, view, self._clock, self._admin_key)
        except Conflict as error:  # which is tried again: one of the two may be revoked
            notices().tell(ADMIN_NOTICE, str(error), mend=f"revoke a key, or leave {ADMIN_KEY} as it was")
            return
        self._admin_key = ""
        notices().settle(ADMIN_NOTICE)
        if made is not None:
            self._audit.note(Act(made.name, made.id, ADMIN_KEY, "/keys", "", ADMITTED))
