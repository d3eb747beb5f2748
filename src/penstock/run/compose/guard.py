"""Beside the doors, where keys are wanted: which there are is kept up, and what was noted of requests is written."""

from __future__ import annotations

from secrets import token_hex
from threading import Event
from typing import TYPE_CHECKING

from ...access.audit import AUDIT_TOPIC, WRITE_S, Audit
from ...access.oidc.open import checked_issuer, open_tokens
from ...clock import Clock
from ...errors import PenstockError
from ...log.interface import Log
from ...models.registry import Registry
from ...notices import notices

if TYPE_CHECKING:
    from ...access.oidc.tokens import Tokens

NOTICE = "access"


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
    """Looks so often that a key that is revoked on one host opens nothing on any a second later."""

    def __init__(self, registry: Registry, audit: Audit) -> None:
        self._registry, self._audit = registry, audit

    def run(self, stop: Event) -> None:
        """Until told to stop; what was noted until then is written."""
        while not stop.wait(WRITE_S):
            self.look()
        self.look()

    def look(self) -> None:
        """What the log does not answer is told where an operator looks, and tried again."""
        try:
            self._registry.refresh()
            self._audit.write()
        except PenstockError as error:
            notices().tell(
                NOTICE,
                f"keys that were made or revoked meanwhile are not known here, and the audit waits: {error}",
                mend="look after the log; until it answers the keys hold that are known",
            )
        else:
            notices().settle(NOTICE)
