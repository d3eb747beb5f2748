"""A record an event: its JSON as value, the CloudEvents attributes as headers.

The Kafka protocol binding of CloudEvents 1.0.2 in binary mode, so any Kafka client reads and writes such a topic; a
record in structured mode is read too, and so is one without any header. What CloudEvents requires and an event lacks is
filled in when it is written: a random id for one that was published without, the topic's own source and its name as
type. The last two are absent again when they are read.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby, repeat
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....batch import DOMAIN_TOPIC as TOPIC_NAME
from ....batch import ENVELOPE, Batch, Lineage, Rejected, TopicSpec, Write, column, event_ids
from ....errors import InvalidEvent, PenstockError
from ....partition import key_text
from ....schema import cloudevents
from ....schema.cloudevents import BASE64, Attributes, check_data, decode_events, fault_of, unpack
from ....schema.decode import Decoder
from ....schema.encode import data_texts, keys
from ....schema.rows import rules_of, with_rules
from .interface import Chunk, Headers, OutgoingRecord, ReceivedRecord, origin_header, origin_of, parse_origin, too_large
from .positions import ONE_A_RECORD

PARENT = (
    "penstock-parent"  # PARTITION/POSITION/ORDINAL, in the topic that the origin names; left out where the id ends so
)
JSON_CONTENT = ("content-type", b"application/json")
DOMAIN_TOPIC = "penstock-topic"  # of a domain's event
COMMON: Headers = [("ce_specversion", b"1.0"), JSON_CONTENT]
STRUCTURED = b"application/cloudevents"
FRAMING_BYTES = 512  # bytes of a record beside its value, its key and its headers
HEADER_BYTES = 10  # bytes of a header beside its name and its value
HEADERS_BYTES = 8_192  # bytes of a record's headers beside what a publisher has a say in
_TOPIC = re.compile(TOPIC_NAME)
_PLACE = re.compile(r"\d+/\d+/\d+", re.ASCII)
_Columns = dict[str, list[Any]]


class JsonRecords:
    """Implements ``Encoding``. ``limit``: bytes of one record."""

    numbering = ONE_A_RECORD

    def __init__(self, limit: int) -> None:
        self._limit = limit - FRAMING_BYTES
        self._decoders: dict[str, tuple[pa.Schema, Decoder]] = {}

    # -- writing --------------------------------------------------------------

    def encode(self, spec: TopicSpec, write: Write) -> list[OutgoingRecord]:
        values = data_texts(write.rows)
        names = keys(write.rows, spec)
        found = list(map(OutgoingRecord, values, repeat(1), _headers(spec, write), names.cast(pa.binary()).to_pylist()))
        if values and max(map(len, values)) + _longest(names) + _attributes_at_most(write.rows) > self._limit:
            large = {row: size for row, record in enumerate(found) if (size := _size(record)) > self._limit}
            if large:
                raise too_large(spec, max(large.values()), self._limit, list(large))
        return found

    # -- reading --------------------------------------------------------------

    def decode(self, spec: TopicSpec, records: Sequence[ReceivedRecord]) -> list[Chunk]:
        decoder = self._decoder(spec)
        runs = groupby(records, key=_kind)
        return [chunk for _, run in runs for chunk in _chunks(spec, decoder, list(run))]

    def _decoder(self, spec: TopicSpec) -> Decoder:
        known, decoder = self._decoders.get(spec.name, (None, None))
        if decoder is None or known is not spec.schema:
            decoder = Decoder(_as_stored(spec.schema))
            self._decoders[spec.name] = spec.schema, decoder
        return decoder


def _as_stored(schema: pa.Schema) -> pa.Schema:
    """A record of before a field was added lacks it; a door would ask for it."""
    fields = [f if not f.nullable or "default" in rules_of(f) else with_rules(f, {"default": None}) for f in schema]
    return pa.schema(fields, schema.metadata)


def _headers(spec: TopicSpec, write: Write) -> list[Headers]:
    """Of each row's record. What all rows have in common is one object, made once."""
    rows = write.rows
    common = [*COMMON, *origin_header(write.origin)]
    ids, derived = _ids(write)
    columns: dict[str, list[bytes | None]] = {"ce_id": ids}
    for name, given, otherwise in (("ce_source", "_source", spec.default_source), ("ce_type", "_type", spec.name)):
        if (values := column(rows, given)).null_count == len(values):
            common.append((name, otherwise.encode()))
        else:
            columns[name] = _bytes(values.fill_null(otherwise))
    optional = {"ce_time": _times(rows), "ce_subject": column(rows, "_subject"), DOMAIN_TOPIC: column(rows, "_topic")}
    if not derived:
        optional[PARENT] = _parents(rows)
    columns |= {name: _bytes(values) for name, values in optional.items() if values.null_count < len(values)}
    named = [zip(repeat(name), values) for name, values in columns.items()]  # as many as values
    found: list[Any] = [[*common, *own] for own in zip(*named, strict=True)]
    if any(None in values for values in columns.values()):
        found = [[header for header in headers if header[1] is not None] for headers in found]
    extensions = column(rows, "_extensions")
    if extensions.null_count < len(extensions):
        for headers, text in zip(found, extensions.to_pylist(), strict=True):
            headers += [(f"ce_{name}", _text(value).encode()) for name, value in _decoded(text).items()]
    return found


def _size(record: OutgoingRecord) -> int:
    headers = sum(len(name) + len(value) + HEADER_BYTES for name, value in record.headers)
    return len(record.value) + len(record.key or b"") + headers


def _attributes_at_most(rows: pa.RecordBatch) -> int:
    """Bytes of the longest headers: an extension's name and value are in its text, and its ``ce_`` is not."""
    share = {"_id": 1, "_source": 1, "_type": 1, "_subject": 1, "_extensions": 4}
    return HEADERS_BYTES + sum(share[name] * _longest(rows.column(name)) for name in share if name in rows.schema.names)


def _longest(texts: pa.Array) -> int:
    return pc.max(pc.binary_length(texts)).as_py() or 0


def _bytes(values: pa.Array) -> list[bytes | None]:
    found: list[bytes | None] = values.cast(pa.binary()).to_pylist()
    return found


def _decoded(text: str | None) -> dict[str, str | int | bool]:
    return {} if text is None else msgspec.json.decode(text)


def _ids(write: Write) -> tuple[list[bytes | None], bool]:
    """The publisher's; the derived one of what a stage made; else a random one, since there is no position yet.

    And whether all are derived: then they say the parents too.
    """
    count, given = write.rows.num_rows, column(write.rows, "_id")
    if write.origin is not None:
        places = np.arange(count, dtype=np.int64)
        ids = event_ids(Batch(write.topic, write.partition, places, places, write.rows, write.origin))
        return _bytes(ids), given.null_count == count
    if not given.null_count:
        return _bytes(given), False
    random = secrets.token_hex(16 * count).encode()
    return [i if i is not None else random[32 * n : 32 * n + 32] for n, i in enumerate(_bytes(given))], False


def _times(rows: pa.RecordBatch) -> pa.Array:
    times: list[datetime | None] = column(rows, "_time").to_pylist()
    return pa.array([None if t is None else t.isoformat().replace("+00:00", "Z") for t in times], pa.string())


def _parents(rows: pa.RecordBatch) -> pa.Array:
    partition, at, ordinal = (column(rows, n).cast(pa.string()) for n in ("_parent_partition", "_parent", "_ordinal"))
    return pc.binary_join_element_wise(partition.fill_null("-"), at, ordinal.fill_null("0"), "/")


def _text(value: str | int | bool) -> str:
    """An attribute as CloudEvents writes it in a header."""
    return value if isinstance(value, str) else str(value).lower()


# -- reading ------------------------------------------------------------------


_PLAIN: tuple[bool, bytes | None] = (False, None)


def _kind(record: ReceivedRecord) -> tuple[bool, bytes | None]:
    """Records of one kind are read together: whether they are in structured mode, and the header of their origin."""
    return (_is_structured(record), origin_of(record.headers)) if record.headers else _PLAIN


def _is_structured(record: ReceivedRecord) -> bool:
    return any(name == "content-type" and value.startswith(STRUCTURED) for name, value in record.headers)


def _chunks(spec: TopicSpec, decoder: Decoder, records: list[ReceivedRecord]) -> list[Chunk]:
    """All at once; where that fails, one at a time, so that only the faulty are refused."""
    try:
        return [_chunk(spec, decoder, records)]
    except (PenstockError, msgspec.DecodeError, ValueError, OverflowError) as error:
        if len(records) > 1:
            return [chunk for record in records for chunk in _chunks(spec, decoder, [record])]
        record, none = records[0], np.empty(0, np.int64)
        rejected = Rejected(record.offset, f"not an event of this topic: {error}", record.value or b"")
        return [Chunk(none, none, None, None, record.offset, rejected)]


def _chunk(spec: TopicSpec, decoder: Decoder, records: list[ReceivedRecord]) -> Chunk:
    if _is_structured(records[0]):
        rows, columns = _structured(decoder, records)
    else:
        rows, columns = _binary(decoder, records)
    data = decoder.columns(rows)
    if data.num_rows != len(records):
        raise InvalidEvent(f"{data.num_rows} events in {len(records)} records")
    origin = parse_origin(origin_of(records[0].headers))
    columns |= _lineage(records, origin)
    if spec.domain:
        columns["_topic"] = [_domain_topic(record) for record in records]
    _absent(columns, "_source", spec.default_source)
    _absent(columns, "_type", spec.name)
    envelope = {name: pa.array(values, ENVELOPE[name]) for name, values in columns.items()}
    envelope["_key"] = _keys(spec, data, records)
    present = {name: values for name, values in envelope.items() if values.null_count < len(values)}
    schema = pa.schema([*spec.schema, *(pa.field(name, ENVELOPE[name]) for name in present)], spec.schema.metadata)
    arrays = [*data.columns, *present.values()]
    return Chunk(
        np.array([record.offset for record in records], np.int64),
        np.array([record.time for record in records], np.int64),
        pa.RecordBatch.from_arrays(arrays, schema=schema),
        origin,
        records[-1].offset,
    )


def _binary(decoder: Decoder, records: list[ReceivedRecord]) -> tuple[list[Any], _Columns]:
    if not any(record.headers for record in records):
        return decoder.decode_each([record.value or b"" for record in records]), {}
    marked = [_attributes(record) for record in records]
    values = [
        (record.value or b"") if attributes is None else _data(record, attributes, decoder)
        for record, attributes in zip(records, marked, strict=True)
    ]
    return decoder.decode_each(values), cloudevents.envelope([attributes or {} for attributes in marked])


def _data(record: ReceivedRecord, attributes: Attributes, decoder: Decoder) -> bytes:
    """The checked data. A record of ours is JSON whatever the event was published as: that stands among the attributes,
    and says nothing of the value."""
    value = record.value or b""
    if JSON_CONTENT not in record.headers:
        return check_data(attributes, value, decoder)
    said = {name: attributes.pop(name) for name in ("datacontenttype", BASE64) if name in attributes}
    data = check_data(attributes, value, decoder)
    if BASE64 in said:
        unpack(data, 0)
        said[BASE64] = True
    kind = said.get("datacontenttype")
    if kind is not None and (fault := fault_of("datacontenttype", kind)) is not None:
        raise InvalidEvent(fault, row=0, field="datacontenttype")
    attributes |= said
    return data


def _structured(decoder: Decoder, records: list[ReceivedRecord]) -> tuple[list[Any], _Columns]:
    if len(records) > 1:
        raise InvalidEvent("each record must be looked at by itself")
    return decode_events(records[0].value or b"", decoder, many=False)


def _attributes(record: ReceivedRecord) -> Attributes | None:
    """The CloudEvents attributes of a record in binary mode; ``None``: it carries none, and is plain JSON."""
    found: Attributes = {name[3:]: value.decode() for name, value in record.headers if name.startswith("ce_")}
    if not found:
        return None
    for name, value in record.headers:
        if name == "content-type" and value != b"application/json":
            found["datacontenttype"] = value.decode()
    return found


def _keys(spec: TopicSpec, data: pa.RecordBatch, records: list[ReceivedRecord]) -> pa.Array:
    """The records' keys, but for those that the topic's key column says already. Of a key that is no text, such as a
    number of Java's, the bytes that are none are spelled ``\\xc8``."""
    try:
        given = pa.array([record.key for record in records], pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        texts = [None if record.key is None else record.key.decode("utf-8", "backslashreplace") for record in records]
        given = pa.array(texts, pa.string())
    if spec.key is None:
        return given
    known = pc.equal(given, key_text(data.column(spec.key))).fill_null(False)
    return pc.if_else(known, pa.nulls(len(given), pa.string()), given)


def _domain_topic(record: ReceivedRecord) -> str:
    """Raises ``InvalidEvent`` and ``UnicodeDecodeError``."""
    found = dict(record.headers).get(DOMAIN_TOPIC, b"").decode()
    if _TOPIC.fullmatch(found) is None:
        raise InvalidEvent(f"no header {DOMAIN_TOPIC} that says its domain topic")
    return found


def _lineage(records: list[ReceivedRecord], origin: Lineage | None) -> _Columns:
    """Where each came from. Raises ``ValueError`` for a header that is not ours."""
    if not any(record.headers for record in records):
        return {}
    stem = None if origin is None else f"{origin.stage}/{origin.topic}/".encode()
    texts = [_parent(record.headers, stem) for record in records]
    if not any(texts):
        return {}
    parts = [("-", None, 0) if t is None else t.split("/") for t in texts]
    partitions, positions, ordinals = zip(*parts, strict=True)
    return {
        "_parent_partition": [None if p == "-" else int(p) for p in partitions],
        "_parent": [None if at is None else int(at) for at in positions],
        "_ordinal": [int(n) or None for n in ordinals],
    }


def _parent(headers: Headers, stem: bytes | None) -> str | None:
    """``stem``: how derived ids of the records' origin begin."""
    found = dict(headers)
    if PARENT in found:
        return found[PARENT].decode()
    given = found.get("ce_id", b"")
    if stem is None or not given.startswith(stem) or not _PLACE.fullmatch(place := given[len(stem) :].decode()):
        return None
    return place


def _absent(columns: _Columns, name: str, filled_in: str) -> None:
    if name in columns:
        columns[name] = [None if value == filled_in else value for value in columns[name]]
