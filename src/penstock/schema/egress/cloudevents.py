"""CloudEvents 1.0.2, out: binary, structured and batched mode over HTTP (HTTP binding §3), and binary mode in Kafka's
records (Kafka binding §3.2), whose structured mode has the same body and header.

Data that stand for bytes (``schema.cloudevents``) are those bytes in binary mode, and ``data_base64`` in the others.
What has no column of its own is in the envelope's ``_extensions``: ``dataschema``, ``datacontenttype`` and extensions.
An event's key is its extension ``partitionkey``, and of a domain's event the topic its extension ``domaintopic``.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import msgspec

from ...batch import Batch, TopicSpec
from ..cloudevents import DOMAIN_TOPIC, JSON_TYPE, is_json_type, unpack
from ..encode import data_objects, data_texts
from .attributes import AttributeColumns, listed
from .headers import canonical, header_column, media_type, percent_encode
from .rendered import Header, Rendered

STRUCTURED_HEADERS = (("content-type", "application/cloudevents+json; charset=utf-8"),)
BATCH_HEADERS = (("content-type", "application/cloudevents-batch+json; charset=utf-8"),)
_ENCODER = msgspec.json.Encoder()


class CloudEvent(msgspec.Struct, omit_defaults=True, tag_field="specversion", tag="1.0", gc=False):
    """An event in the JSON event format. The version is its tag, for the default of a field would be left out."""

    id: str
    source: str
    type: str
    time: str
    datacontenttype: str | msgspec.UnsetType
    data: Any
    subject: str | None = None
    partitionkey: str | None = None
    domaintopic: str | None = None  # the order of these three is that of ``_events``
    data_base64: Any = None


def binary(batch: Batch, topic: TopicSpec, app: str) -> list[Rendered]:
    """The data as the body, each attribute as a header. Text that is no JSON is its own body."""
    return _binary(batch, topic, app, "ce-", encoded=True)


def kafka_binary(batch: Batch, topic: TopicSpec, app: str) -> list[Rendered]:
    """The same for a record's value and headers, which hold any text."""
    return _binary(batch, topic, app, "ce_", encoded=False)


def _binary(batch: Batch, topic: TopicSpec, app: str, prefix: str, *, encoded: bool) -> list[Rendered]:
    """``encoded``: as HTTP has headers."""
    found, bodies = AttributeColumns(batch, topic, app), data_texts(batch.rows)
    headers = _headers(found, prefix, encoded)
    for row, others in found.others.items():
        texts = {f"{prefix}{name}": canonical(value) for name, value in others.items()}
        headers[row] += tuple((name, percent_encode(text) if encoded else text) for name, text in texts.items())
    for row in found.base64:
        bodies[row] = unpack(bodies[row], row)
    for row, kind in enumerate(found.media_types):
        if kind is not JSON_TYPE and not is_json_type(kind) and row not in found.base64:
            bodies[row] = _text(bodies[row])
    return list(map(Rendered, bodies, headers))


def structured(batch: Batch, topic: TopicSpec, app: str) -> list[Rendered]:
    """The event as a JSON object."""
    return list(map(Rendered, _events(batch, topic, app), repeat(STRUCTURED_HEADERS)))


def batched(batch: Batch, topic: TopicSpec, app: str) -> list[Rendered]:
    """The same object, alone in an array."""
    return [Rendered(b"[%b]" % event, BATCH_HEADERS) for event in _events(batch, topic, app)]


def _events(batch: Batch, topic: TopicSpec, app: str) -> list[bytes]:
    found = AttributeColumns(batch, topic, app)
    first, last = (
        (found.id, found.source, found.type, found.time),
        (found.subject, found.partition_key, found.domain_topic),
    )
    events = list(map(CloudEvent, *map(listed, first), found.media_types, data_objects(batch.rows), *map(listed, last)))
    for row in found.base64:
        event = events[row]
        event.data, event.data_base64 = msgspec.UNSET, event.data
        event.datacontenttype = event.datacontenttype or msgspec.UNSET
    texts = list(map(_ENCODER.encode, events))
    for row, others in found.others.items():
        texts[row] = texts[row][:-1] + b"," + _ENCODER.encode(others)[1:]
    return texts


def _headers(found: AttributeColumns, prefix: str, encoded: bool) -> list[tuple[Header, ...]]:
    """Of each request, without those of ``others``."""
    optional = {"subject": found.subject, "partitionkey": found.partition_key, DOMAIN_TOPIC: found.domain_topic}
    present = {name: values for name, values in optional.items() if values.null_count < len(values)}
    columns = {"id": found.id, "source": found.source, "type": found.type, "time": found.time, **present}
    headers = zip(
        zip(repeat("content-type"), map(media_type, found.media_types) if encoded else found.media_types),
        repeat((f"{prefix}specversion", "1.0")),
        *(header_column(prefix + name, values, encoded=encoded) for name, values in columns.items()),
    )
    if any(values.null_count for values in present.values()):
        return [tuple(header for header in each if header[1] is not None) for each in headers]
    return list(headers)


def _text(data: bytes) -> bytes:
    """What a JSON string says; of other data, which only its publisher calls no JSON, the JSON itself."""
    found = msgspec.json.decode(data)
    return found.encode() if isinstance(found, str) else data
