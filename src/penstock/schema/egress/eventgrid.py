"""Events in Azure Event Grid's own schema (https://learn.microsoft.com/azure/event-grid/event-schema).

A CloudEvent's source is the ``topic``, and an event without a subject has an empty one, since the schema asks for it.
Extensions, ``dataschema`` and ``datacontenttype`` have no place in it and are left out; Event Grid itself refuses to
deliver CloudEvents so.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...batch import Batch, TopicSpec, column, event_ids
from ..encode import data_objects, source_of, times
from .attributes import filled, listed
from .headers import header_column
from .rendered import Rendered

HEADERS = (
    ("content-type", "application/json; charset=utf-8"),
    ("aeg-event-type", "Notification"),
    ("aeg-metadata-version", "1"),
)
EVENT_ID = "aeg-output-event-id"
_ENCODER = msgspec.json.Encoder()


class GridEvent(msgspec.Struct, rename="camel", gc=False):
    """One event."""

    id: str
    topic: str
    subject: str
    event_type: str
    event_time: str
    data: Any
    data_version: str = ""  # is the publisher's to say, and no topic keeps one
    metadata_version: str = "1"


def alone(batch: Batch, topic: TopicSpec, app: str) -> list[Rendered]:
    """Arrays of one event each, whose id is a header too."""
    ids = event_ids(batch)
    columns = (
        ids,
        filled(column(batch.rows, "_source"), source_of(topic, app)),
        filled(column(batch.rows, "_subject"), ""),
        filled(column(batch.rows, "_type"), batch.topic),
        times(batch),
    )
    events = map(_ENCODER.encode, map(GridEvent, *map(listed, columns), data_objects(batch.rows)))
    names = header_column(EVENT_ID, ids)
    return [Rendered(b"[%b]" % event, (*HEADERS, name)) for event, name in zip(events, names, strict=True)]
