"""The first key of a deployment, which nobody can make where its log is: whoever deploys makes it up, and the gateways
are told it as a secret. The log knows its SHA-256 and no more, as of any other key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import Conflict, DeclarationError
from . import keys
from .rights import ROLES, Rights

if TYPE_CHECKING:  # who supervises looks at the key, and imports no Arrow
    from ..clock import Clock
    from ..log.interface import Log
    from ..system.view import View
    from .state import KeyCreated, KeyState

ADMIN_KEY = "PENSTOCK_ADMIN_KEY"
NAME = ROLE = "admin"


def checked_admin_key(key: str) -> str:
    """The same. Raises ``DeclarationError``, which does not say it, for what is no key."""
    if not keys.is_whole(key):
        raise DeclarationError(f"{ADMIN_KEY} is no key: make one with `penstock keys generate`")
    return key


def admin_key_from_env() -> str:
    """Empty: there is none. Raises ``DeclarationError`` as ``checked_admin_key`` does."""
    found = os.environ.get(ADMIN_KEY, "")
    return found and checked_admin_key(found)


def admit(log: Log, view: View, clock: Clock, key: str) -> KeyCreated | None:
    """Has the log know the key, durable on return; None: it does already. One that was revoked stays so.

    Several gateways may do so at once: what the key is called by follows from it, so that it is one key for all.
    Raises ``Conflict`` where the administrator has two live keys already.
    """
    from ..batch import SYSTEM, Write
    from ..system.messages import to_rows
    from .issuing import LIVE
    from .state import KeyCreated, KeyState

    view.refresh()
    state, now, digest = view.areas.only(KeyState), clock.now(), keys.digest(key)
    if _is_known(state, digest):
        return None
    live = state.live(NAME, now)
    if len(live) >= LIVE:
        ids = " and ".join(each.id for each in live)
        raise Conflict(f"{ADMIN_KEY} is not let in: '{NAME}' has {len(live)} keys, {ids}; revoke one of them")
    rights = Rights.parse(ROLES[ROLE]).texts
    made = KeyCreated(id=_id_of(digest), name=NAME, digest=digest, rights=rights, expires=None, at=now, by=ADMIN_KEY)
    log.append([Write(SYSTEM, 0, to_rows([made]))])
    view.refresh()
    return made


def _is_known(state: KeyState, digest: str) -> bool:
    """Also one that was revoked."""
    return digest in state.by_digest


def _id_of(digest: str) -> str:
    return digest[: keys.ID_CHARS]
