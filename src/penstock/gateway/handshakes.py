"""A callback that was opened: whoever has its URL grants the handshake that it was made for, once and while it holds.

Of the URL a digest alone is kept. Whether it is a guess, was opened before or has expired is told to nobody.
"""

from __future__ import annotations

from uuid import uuid4

from ..batch import SYSTEM, Write
from ..clock import Clock
from ..errors import NotFound, Unavailable
from ..log.interface import Log
from ..models.registry import Registry
from ..stages.deliver.handshakes.asking import token_digest
from ..stages.deliver.handshakes.messages import GrantHandshake
from ..stages.deliver.handshakes.state import HandshakeState
from ..system.messages import to_rows

CALLBACKS = "/handshakes"
PATIENCE_S = 5.0  # seconds that the owner may take to answer
POLL_S = 0.01  # seconds between two looks for it
TOKEN_CHARS = 64  # of a callback, at most; ours have 43


def is_callback(method: str, path: str) -> bool:
    """A body is not read there, so it may be of any type, also of those that a web page may send unasked."""
    return method == "POST" and path.startswith(f"{CALLBACKS}/")


def grant(log: Log, registry: Registry, clock: Clock, token: str, per_minute: int | None) -> None:
    """Return once every process may know of it. ``per_minute``: requests that the endpoint allows; None: as declared.

    Raises ``NotFound`` for a token that grants nothing, always with the same words, and ``Unavailable`` where it is
    asked for and not answered in ``PATIENCE_S``.
    """
    refused = NotFound("no handshake waits for this; ask whoever sends for a new one")
    if len(token) > TOKEN_CHARS:
        raise refused
    state, digest, at = registry.view.areas.only(HandshakeState), token_digest(token), clock.now()
    registry.refresh()
    with registry.view.lock:
        found = state.open_at(digest, at)
    if found is None:
        raise refused  # a guess leaves nothing in the log
    command = GrantHandshake(id=uuid4().hex, token=digest, at=at, per_minute=per_minute)
    log.append([Write(SYSTEM, 0, to_rows([command]))])
    deadline = clock.monotonic() + PATIENCE_S
    while True:
        registry.refresh()
        known = state.known[found.subscription]
        if known.causationid == command.id:
            return
        if known.token != digest:
            raise refused  # somebody was faster, or it is asked anew
        if clock.monotonic() >= deadline:
            raise Unavailable(f"it is asked for, and not answered within {PATIENCE_S:g} s; open it again")
        clock.sleep(POLL_S)
