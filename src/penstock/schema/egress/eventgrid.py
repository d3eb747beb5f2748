"""Events in Azure Event Grid's own schema (https://learn.microsoft.com/azure/event-grid/event-schema).

A CloudEvent's source is the ``topic``, but of a domain's event that is what its domain topic is called; its extension
``dataversion`` is the ``dataVersion``, and an event without a subject has an empty one, since the schema asks for it.
Other extensions, ``dataschema`` and ``datacontenttype`` have no place in it and are left out, and data that stand for
bytes are base64; Event Grid itself refuses to deliver CloudEvents so.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import msgspec
import pyarrow as pa

from ...batch import Batch, TopicSpec, column, event_ids
from ..encode import data_objects, domain_sources, sources, times
from ..eventgrid import METADATA_VERSION
from .attributes import filled, listed
from .headers import canonical, header_column
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
    data_version: str = ""  # is the publisher's to say
    metadata_version: str = METADATA_VERSION


class _Kept(msgspec.Struct):
    """What ``_extensions`` says that has a place in the schema."""

    dataversion: str | int | bool = ""


_KEPT = msgspec.json.Decoder(_Kept)


def alone(batch: Batch, topic: TopicSpec, app: str) -> list[Rendered]:
    """Arrays of one event each, whose id is a header too."""
    ids = event_ids(batch)
    columns = (
        ids,
        domain_sources(batch.rows, topic, app) if topic.domain else sources(batch.rows, topic, app),
        filled(column(batch.rows, "_subject"), ""),
        filled(column(batch.rows, "_type"), batch.topic),
        times(batch),
    )
    versions = _data_versions(column(batch.rows, "_extensions"))
    events = map(_ENCODER.encode, map(GridEvent, *map(listed, columns), data_objects(batch.rows), versions))
    names = header_column(EVENT_ID, ids)
    return [Rendered(b"[%b]" % event, (*HEADERS, name)) for event, name in zip(events, names, strict=True)]


def _data_versions(extensions: pa.StringArray) -> Iterable[str]:
    if extensions.null_count == len(extensions):
        return repeat("")
    return ["" if text is None else canonical(_KEPT.decode(text).dataversion) for text in extensions.to_pylist()]
