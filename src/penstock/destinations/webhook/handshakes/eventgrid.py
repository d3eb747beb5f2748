"""Azure Event Grid's handshake: an event with a code, which the endpoint says back.

https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
"""

from __future__ import annotations

from datetime import UTC, datetime
from hmac import compare_digest

import msgspec

from ...interface import Consent, Invitation
from .question import HandshakeReply, Question, by_hand, hidden_of

HEADERS = (("content-type", "application/json; charset=utf-8"), ("aeg-event-type", "SubscriptionValidation"))
TYPE = "Microsoft.EventGrid.SubscriptionValidationEvent"
GOOD = 200  # the only status that counts: 202 is not accepted


class _Said(msgspec.Struct):
    validationResponse: str


def question(invitation: Invitation, source: str, now: int) -> Question:
    """``source``: what the events' topic is called. ``now``: microseconds since the epoch."""
    data = {"validationCode": invitation.code}
    if invitation.callback:
        data["validationUrl"] = invitation.callback
    event = {
        "id": invitation.id,
        "topic": source,
        "subject": f"subscriptions/{invitation.subscription}",
        "eventType": TYPE,
        "eventTime": datetime.fromtimestamp(now / 1e6, UTC),
        "data": data,
        "metadataVersion": "1",
        "dataVersion": "1",
    }
    body = msgspec.json.encode([event])
    return Question(
        "POST",
        HEADERS,
        body,
        lambda reply: judge(reply, invitation.code, invitation.callback),
        hidden_of(invitation),
    )


def judge(reply: HandshakeReply, code: str, callback: str) -> Consent:
    """Granted exactly by a 200 whose body is an object with the code. A 200 without any code is of an endpoint where
    somebody may open the callback."""
    if not reply.status:
        return Consent("unclear", reply.reason)
    if reply.status != GOOD:
        accepted = " is not accepted: a handshake is answered with 200 and the code" if reply.status == 202 else ""
        return Consent("unclear", f"it answered HTTP {reply.status}{accepted}")
    try:
        said = msgspec.json.decode(reply.body, type=_Said).validationResponse
    except (msgspec.DecodeError, UnicodeDecodeError):
        return by_hand("it answered HTTP 200 without a validationResponse", callback)
    if not compare_digest(said.encode(errors="replace"), code.encode()):
        return Consent("refused", "its validationResponse is not the code that it was sent")
    return Consent("granted")
