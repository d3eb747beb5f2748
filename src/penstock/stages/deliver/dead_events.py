"""A delivery that was given up as Azure Event Grid tells of it in its dead-letter store: the event as it was sent, and
beside its own members why it is there (https://learn.microsoft.com/azure/event-grid/manage-event-delivery).

In Event Grid's schema those members are in camel case, in CloudEvents they are extensions, in small letters. An event
of our own topics has no schema there, so it comes in the envelope of one of the two, and is the ``data`` of that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from ...batch import Batch, TopicSpec
from ...plan.plan import Plan
from ...schema.egress.render import Format, render
from ..failures.dead import event_of
from ..system_events import told

DeadLetterFormat: TypeAlias = Literal["eventgrid", "cloudevents"]

DEAD_LETTER_FORMATS: dict[DeadLetterFormat, Format] = {
    "eventgrid": "eventgrid",
    "cloudevents": "cloudevents-structured",
}


def dead_event(letter: pa.RecordBatch, plan: Plan, format: DeadLetterFormat) -> bytes:
    """The JSON object of a letter of a delivery, one row of ``penstock.dead`` with its ``event``. ``plan``: of the app
    whose topics and subscriptions it names.

    What the event says itself is as it was sent, member for member. An attempt that never was has no time.
    """
    row = letter.to_pylist()[0]
    rows = event_of(row["event"])
    place = np.array([row["offset"]], np.int64), np.array([row["published"]], np.int64)
    batch = Batch(row["topic"], row["partition"], *place, rows)
    topic = next((spec for spec in plan.topics if spec.name == row["topic"]), TopicSpec(row["topic"]))
    if topic.key is not None and topic.key not in rows.schema.names:  # the topic has another type by now
        topic = TopicSpec(topic.name, source=topic.source)
    event = next((spec.event for spec in plan.subscriptions if spec.name == row["stage"]), None)
    rendering = DEAD_LETTER_FORMATS[format]
    if event is not None and len(system_events := told(batch, event, rendering, plan.app)):
        batch, topic = system_events, TopicSpec(topic.name)
    (sent,) = render(rendering, batch, np.zeros(1, np.int64), topic, plan.app)
    members = msgspec.json.decode(sent.body.removeprefix(b"[").removesuffix(b"]"), type=dict[str, msgspec.Raw])
    return msgspec.json.encode(members | _reasons(row, format))


def _reasons(row: dict[str, Any], format: DeadLetterFormat) -> dict[str, Any]:
    tried = {"lastDeliveryAttemptTime": _moment(row["tried"])} if row["attempts"] else {}
    found = {
        "deadLetterReason": row["error"],
        "deliveryAttempts": row["attempts"],
        "lastDeliveryOutcome": row["outcome"],
        "publishTime": _moment(row["published"]),
        **tried,
    }
    return found if format == "eventgrid" else {name.lower(): value for name, value in found.items()}


def _moment(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
