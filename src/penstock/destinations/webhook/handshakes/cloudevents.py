"""CloudEvents' handshake: OPTIONS, answered by headers, whatever the status.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection
"""

from __future__ import annotations

import re
from math import ceil

from ...interface import Consent, Invitation
from ..answers import SAID_CHARS
from .question import HandshakeReply, Question, by_hand, hidden_of

ANY = "*"
BUSY = 429
_RATE = re.compile(r"[1-9][0-9]{0,8}")  # requests a minute


def question(invitation: Invitation, origin: str, per_second: float) -> Question:
    """``origin``: who asks. ``per_second``: requests that are declared; 0: as many as the endpoint takes."""
    headers = [("webhook-request-origin", origin)]
    if per_second:
        headers.append(("webhook-request-rate", str(max(1, ceil(round(per_second * 60, 6))))))
    if invitation.callback:
        headers.append(("webhook-request-callback", invitation.callback))
    return Question(
        "OPTIONS",
        tuple(headers),
        b"",
        lambda reply: judge(reply, origin, invitation.callback),
        hidden_of(invitation),
    )


def judge(reply: HandshakeReply, origin: str, callback: str) -> Consent:
    """Granted exactly if the allowed origin is ours or any (4.2.1). Without that header an endpoint that works has not
    said yes, and may by the callback; one that is busy or broken has said nothing."""
    if not reply.status:
        return Consent("unclear", reply.reason)
    if reply.allowed_origin is None:
        reason = f"it answered HTTP {reply.status} without WebHook-Allowed-Origin"
        if reply.status >= 500 or reply.status == BUSY:
            return Consent("unclear", reason)
        return by_hand(reason, callback)
    if reply.allowed_origin != ANY and reply.allowed_origin.lower() != origin.lower():
        shown = "".join(c for c in reply.allowed_origin if c.isprintable())[:SAID_CHARS]
        return Consent("refused", f"it allows '{shown}', and this is '{origin}'")
    try:
        return Consent("granted", per_minute=allowed_rate(reply.allowed_rate))
    except ValueError as error:
        return Consent("refused", str(error))


def allowed_rate(said: str | None) -> int | None:
    """Requests a minute; None: as many as are declared, also where nothing is said. Raises ``ValueError`` for what can
    be read as neither: a limit that is not understood is none to be passed over."""
    if said is None or said == ANY:
        return None
    if not _RATE.fullmatch(said):
        shown = "".join(c for c in said if c.isprintable())[:40]
        raise ValueError(f"WebHook-Allowed-Rate '{shown}' is neither a whole number of requests a minute nor '*'")
    return int(said)
