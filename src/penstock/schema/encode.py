"""Columns to the JSON that readers get: one object an event, its data and its envelope."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import Batch, TopicSpec, column, data_columns, event_ids
from ..partition import key_text
from .rows import is_json

_ENCODER = msgspec.json.Encoder()


def to_json(batch: Batch, topic: TopicSpec, app: str) -> bytes:
    """A JSON array with an object a row: ``topic``, ``partition``, ``offset``, ``id``, ``time``, ``key``, ``source``,
    ``type``, where set ``domain_topic``, ``subject`` and ``extensions``, and ``data``.

    What a stage made also has ``parent`` (topic, partition, offset), ``stage``, ``code`` and, from a scorer, ``model``
    and ``version``. Bytes are base64, times RFC 3339 in UTC; NaN and infinity, which JSON cannot say, are null.
    """
    return _ENCODER.encode(_objects(batch, topic, app))


def to_ndjson(batch: Batch, topic: TopicSpec, app: str) -> bytes:
    """The same, one object a line."""
    return _ENCODER.encode_lines(_objects(batch, topic, app))


def to_dicts(batch: Batch, topic: TopicSpec, app: str) -> list[dict[str, Any]]:
    """The same, as a reader of the JSON gets it."""
    found: list[dict[str, Any]] = msgspec.json.decode(to_json(batch, topic, app))
    return found


def data_objects(rows: pa.RecordBatch) -> list[Any]:
    """Each row's own columns, as an object that msgspec's encoder knows."""
    rows = data_columns(rows)
    if is_json(rows.schema):
        return [msgspec.Raw(text) for text in rows.column(0).to_pylist()]
    return list(map(_row_type(tuple(rows.schema.names)), *(c.to_pylist() for c in rows.columns)))


def data_texts(rows: pa.RecordBatch) -> list[bytes]:
    """Each row's own columns as JSON; of a topic without a type the very text that is stored."""
    if is_json(rows.schema):
        stored: list[bytes] = data_columns(rows).column(0).cast(pa.binary()).to_pylist()
        return stored
    return list(map(_ENCODER.encode, data_objects(rows)))


@lru_cache(maxsize=64)
def _row_type(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """A struct is made and encoded in half of a dict's time. A column may have any name, a field may not."""
    fields = [f"c{n}" for n in range(len(names))]
    return msgspec.defstruct("Row", fields, rename=dict(zip(fields, names, strict=True)), gc=False)


def keys(rows: pa.RecordBatch, topic: TopicSpec) -> pa.Array:
    """Each row's key: the publisher's, else the value of the topic's key column as text, else null."""
    given = column(rows, "_key")
    if topic.key is None or given.null_count == 0:
        return given
    declared = key_text(rows.column(topic.key))
    return declared if given.null_count == len(given) else given.fill_null(declared)


def source_of(topic: TopicSpec, app: str) -> str:
    """The CloudEvents source of events that were published without one. ``app``: whose topic it is if it says none."""
    return topic.source or f"/{app}/{topic.name}"


def sources(rows: pa.RecordBatch, topic: TopicSpec, app: str) -> pa.StringArray | str:
    """Each event's, or what all of them have: of a domain's event without its own, that of its domain topic."""
    given = column(rows, "_source")
    own: pa.StringArray | str = domain_sources(rows, topic, app) if topic.domain else source_of(topic, app)
    return own if given.null_count == len(given) else pc.coalesce(given, own)


def domain_sources(rows: pa.RecordBatch, domain: TopicSpec, app: str) -> pa.StringArray:
    """That of each event's domain topic: the domain's, and its name behind a slash."""
    return pc.binary_join_element_wise(source_of(domain, app), column(rows, "_topic"), "/")


def times(batch: Batch) -> pa.StringArray:
    """Each event's time in RFC 3339 and UTC: the publisher's, else when it was appended. Its microseconds are left out
    where there are none."""
    appended = pa.array(batch.appended).cast(pa.timestamp("us", tz="UTC"))
    given = column(batch.rows, "_time").fill_null(appended)
    # Without the zone it takes a twentieth of the time.
    texts = pc.utf8_replace_slice(given.cast(pa.timestamp("us")).cast(pa.string()), 10, 11, "T")
    return pc.binary_join_element_wise(pc.replace_substring(texts, ".000000", ""), "Z", "")


def _objects(batch: Batch, topic: TopicSpec, app: str) -> list[dict[str, Any]]:
    origins = sources(batch.rows, topic, app)
    envelope = {
        "topic": [batch.topic] * len(batch),
        "partition": [batch.partition] * len(batch),
        "offset": batch.positions.tolist(),
        "id": event_ids(batch).to_pylist(),
        "time": times(batch).to_pylist(),
        "key": keys(batch.rows, topic).to_pylist(),
        "source": [origins] * len(batch) if isinstance(origins, str) else origins.to_pylist(),
        "type": column(batch.rows, "_type").fill_null(batch.topic).to_pylist(),
    }
    found = [dict(zip(envelope, row, strict=True)) for row in zip(*envelope.values(), strict=True)]
    _add(found, "domain_topic", column(batch.rows, "_topic").to_pylist())
    _add(found, "subject", column(batch.rows, "_subject").to_pylist())
    _add(found, "extensions", [None if t is None else msgspec.Raw(t) for t in _texts(batch, "_extensions")])
    for row, data in zip(found, data_objects(batch.rows), strict=True):
        row["data"] = data
    _add_origin(found, batch)
    return found


def _texts(batch: Batch, name: str) -> list[str | None]:
    texts: list[str | None] = column(batch.rows, name).to_pylist()
    return texts


def _add(rows: list[dict[str, Any]], name: str, values: list[Any]) -> None:
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            row[name] = value


def _add_origin(rows: list[dict[str, Any]], batch: Batch) -> None:
    if (origin := batch.origin) is None:
        return
    made: dict[str, Any] = {"stage": origin.stage, "code": origin.code}
    if origin.model is not None:
        made |= {"model": origin.model, "version": origin.version}
    partitions = column(batch.rows, "_parent_partition").to_pylist()
    offsets = column(batch.rows, "_parent").to_pylist()
    for row, partition, offset in zip(rows, partitions, offsets, strict=True):
        row["parent"] = {"topic": origin.topic, "partition": partition, "offset": offset}
        row.update(made)
