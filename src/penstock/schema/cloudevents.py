"""CloudEvents 1.0.2 as rows and envelope columns: the JSON event format, and the rules of its attributes.

Pure functions. Data must be JSON, since a topic holds columns or JSON; attributes without a column of their own
(extensions, ``dataschema``, a ``datacontenttype`` that is not ``application/json``) are kept together as a JSON object.
The extension ``partitionkey`` becomes the key. In a topic without a type data that are not JSON may come as
``data_base64``: they are kept as that text, and a member of that name beside the attributes, which none of them can
have, says so.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from ..errors import InvalidEvent
from .decode import Decoder, Row
from .ingress.faults import explain
from .ingress.ignored import Ignored
from .ingress.pieces import WHOLE, PieceStart, array_pieces, is_array, only_one
from .ingress.text import Text
from .rows import is_json

Attributes: TypeAlias = dict[str, str | int | bool]

ATTRIBUTES_LIMIT_BYTES = 64 << 10  # bytes of one event's attributes, as many as of a request's headers
JSON_TYPE = "application/json"  # of data that says nothing else
DOMAIN_TOPIC = "domaintopic"  # the extension that says which topic of a domain an event is of
NO_TEXT = "the name of a domain topic is a text"
DATA_VERSION = "dataversion"  # the extension that Event Grid's ``dataVersion`` is here
BASE64 = "data_base64"  # true among the attributes: the data are this text, and stand for bytes
MEMBERS_LIMIT = 256  # attributes of one event, its data included

_REQUIRED = ("id", "source", "specversion", "type")
_COLUMNS = {"id": "_id", "source": "_source", "type": "_type", "subject": "_subject", "partitionkey": "_key"}
_NAME = re.compile(r"[a-z0-9]+")
_JSON_TYPES = re.compile(r"(application|text)/json|[^/]+/[^/]+\+json")
# Control characters and noncharacters, which an attribute of type String may not hold (spec, Type System).
FORBIDDEN = "\x00-\x1f\x7f-\x9f\ufdd0-\ufdef" + "".join(
    f"{chr(p + 0xFFFE)}{chr(p + 0xFFFF)}" for p in range(0, 0x110000, 0x10000)
)
_FORBIDDEN = re.compile(f"[{FORBIDDEN}\ud800-\udfff]")  # and surrogates, which no text of Arrow's has
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")  # RFC 3986, appendix A: its characters
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = rf'{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*(?:{_PARAMETER})?)*[ \t]*")  # RFC 9110 §8.3.1
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.")


def decode_events(
    body: bytes, decoder: Decoder, *, many: bool, ignored: Ignored | None = None
) -> tuple[list[Row], dict[str, list[Any]]]:
    """Events in the JSON format, one or an array: the decoder's rows, and the envelope's columns that any event sets.

    ``ignored``: see ``Decoder.decode``.

    Raises ``InvalidEvent`` naming the row and the attribute or field, and what ``Decoder.decode`` raises.
    """
    return _decoded(body, decoder, many, WHOLE, ignored)


def decode_pieces(
    parts: Iterable[bytes], decoder: Decoder, event_limit: int, *, many: bool, ignored: Ignored | None = None
) -> Iterator[tuple[list[Row], dict[str, list[Any]]]]:
    """The same events, some at a time (``Decoder.decode_pieces``). ``event_limit``: bytes of one event's data."""
    body, limit = Text(parts), event_limit + ATTRIBUTES_LIMIT_BYTES
    if is_array(body, limit) and many:
        yield from array_pieces(
            body, lambda text, start: _decoded(text, decoder, True, start, ignored), lambda p: len(p[0]), limit
        )
    else:
        yield _decoded(only_one(body, limit), decoder, many, PieceStart(body.at), ignored)


def _decoded(
    body: bytes, decoder: Decoder, many: bool, start: PieceStart, ignored: Ignored | None
) -> tuple[list[Row], dict[str, list[Any]]]:
    parts = [_event(event, row, decoder) for row, event in enumerate(_members(body, start, many=many))]
    # Each is one JSON value, so together they are an array, parsed in one go with the rows' own numbers.
    together = b"[" + b",".join(data for _, data in parts) + b"]"
    rows = decoder.decode(together, start=PieceStart(row=start.row), ignored=ignored)
    return rows, envelope([attributes for attributes, _ in parts], domain=decoder.domain)


def check_data(attributes: Attributes, data: bytes, decoder: Decoder) -> bytes:
    """One event in binary mode: its checked data. Raises ``InvalidEvent`` for row 0."""
    check(attributes, 0)
    if not _says_json(attributes):
        kind = attributes["datacontenttype"]
        raise InvalidEvent(f"data of type {kind}: this topic takes JSON", row=0, field="datacontenttype")
    return present_data(data, 0, decoder)


def envelope(events: list[Attributes], *, domain: bool = False) -> dict[str, list[Any]]:
    """Checked attributes as the envelope's columns. ``domain``: the events are of one, so the extension that says which
    topic of it is taken out of them, and has a column. Raises ``InvalidEvent`` for one that is no text."""
    topics = [_take_domain_topic(e, row) for row, e in enumerate(events)] if domain else []
    columns: dict[str, list[Any]] = {column: [e.get(name) for e in events] for name, column in _COLUMNS.items()}
    columns["_time"] = [None if (time := e.get("time")) is None else _moment(str(time)) for e in events]
    columns["_extensions"] = [_others(e) for e in events]
    columns["_topic"] = topics
    return {name: values for name, values in columns.items() if any(v is not None for v in values)}


def _members(body: bytes, start: PieceStart, *, many: bool) -> list[dict[str, msgspec.Raw]]:
    kind: Any = list[dict[str, msgspec.Raw]] if many else dict[str, msgspec.Raw]
    try:
        if not body.isascii():
            body.decode()
        found = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(body, error, many=many, before=start.byte) from None
    return found if many else [found]


def _event(members: dict[str, msgspec.Raw], row: int, decoder: Decoder) -> tuple[Attributes, bytes]:
    """An event's checked attributes, and its data as JSON."""
    if len(members) > MEMBERS_LIMIT:
        raise InvalidEvent(f"{len(members)} attributes; the limit is {MEMBERS_LIMIT}", row=row)
    data, base64 = members.pop("data", None), members.pop(BASE64, None)
    attributes: Attributes = {}
    for name, raw in members.items():
        if (value := _attribute(name, raw, row)) is not None:
            attributes[name] = value
    _tell_data_version(attributes)
    check(attributes, row)
    if data is not None and base64 is not None:
        raise InvalidEvent("both data and data_base64: an event has one", row=row, field=BASE64)
    if base64 is not None:
        return attributes, _unpacked(base64, attributes, row, decoder)
    if data is not None and not _says_json(attributes) and not is_json(decoder.schema):
        kind = attributes["datacontenttype"]
        raise InvalidEvent(f"data of type {kind}: this topic takes JSON", row=row, field="datacontenttype")
    return attributes, present_data(b"" if data is None else bytes(data), row, decoder)


def _attribute(name: str, raw: msgspec.Raw, row: int) -> str | int | bool | None:
    """null is an attribute not set."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEvent(str(error), row=row, field=name) from None
    if value is not None and not isinstance(value, str | int | bool):
        raise InvalidEvent("an attribute is a string, an integer or a boolean", row=row, field=name)
    return value


def _tell_data_version(attributes: Attributes) -> None:
    """Where Event Grid makes a CloudEvent of an event in its own schema, it writes ``#`` and the ``dataVersion`` as the
    ``dataschema``, which is no absolute URI (https://learn.microsoft.com/azure/event-grid/cloud-event-schema)."""
    schema = attributes.get("dataschema")
    if isinstance(schema, str) and schema.startswith("#"):
        del attributes["dataschema"]
        if version := schema[1:]:
            attributes.setdefault(DATA_VERSION, version)


def _unpacked(raw: msgspec.Raw, attributes: Attributes, row: int, decoder: Decoder) -> bytes:
    """The data as JSON: what the bytes say, if that is their type; else, where there is a place for it, their text."""
    says_json = "datacontenttype" in attributes and _says_json(attributes)
    if not says_json and not is_json(decoder.schema):
        raise InvalidEvent("binary data: this topic takes JSON", row=row, field=BASE64)
    data = unpack(raw, row)
    if not says_json:
        attributes[BASE64] = True
        return bytes(raw)
    try:
        msgspec.json.decode(data, type=msgspec.Raw)  # one value and no more: it is going to stand in an array
        data.decode()
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InvalidEvent(f"not JSON in base64: {error}", row=row, field=BASE64) from None
    return present_data(data, row, decoder)


def unpack(text: bytes, row: int) -> bytes:
    """The bytes that a JSON string stands for. Raises ``InvalidEvent`` for one that is not base64."""
    try:
        return b64decode(msgspec.json.decode(text, type=str), validate=True)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidEvent(f"not base64: {error}", row=row, field=BASE64) from None


def present_data(data: bytes, row: int, decoder: Decoder) -> bytes:
    """The same, or what stands for none. Raises ``InvalidEvent`` where there must be some."""
    if data:
        return data
    if is_json(decoder.schema):
        return b"null"
    raise InvalidEvent("missing: this topic's events have data", row=row, field="data")


def _says_json(attributes: Attributes) -> bool:
    return is_json_type(str(attributes.get("datacontenttype", JSON_TYPE)))


def is_json_type(media_type: str) -> bool:
    """Is data of this ``datacontenttype`` JSON (JSON event format §3.1)?"""
    return _JSON_TYPES.fullmatch(media_type.partition(";")[0].strip().lower()) is not None


def check(attributes: Attributes, row: int) -> None:
    """The rules of the spec's Context Attributes. Raises ``InvalidEvent`` naming the attribute."""
    for name in _REQUIRED:
        if name not in attributes:
            raise InvalidEvent("missing: every CloudEvent has one", row=row, field=name)
    for name, value in attributes.items():
        if (fault := fault_of(name, value)) is not None:
            raise InvalidEvent(fault, row=row, field=name)


def fault_of(name: str, value: str | int | bool) -> str | None:
    """What is wrong with an attribute, by the rules of its type."""
    if _NAME.fullmatch(name) is None:
        return "an attribute's name has lower-case letters and digits only"
    if isinstance(value, str):
        return _text_fault(name, value)
    if name in _TEXTS:
        return "must be a string"
    return None if -(2**31) <= value < 2**31 else "an integer beyond 32 bits"


def _text_fault(name: str, value: str) -> str | None:
    if not value and name in _TEXTS:
        return "empty"
    if (bad := _FORBIDDEN.search(value)) is not None:
        return f"U+{ord(bad[0]):04X}, which an attribute may not hold"
    return _RULES[name](value) if name in _RULES else None


def _time_fault(value: str) -> str | None:
    try:
        _moment(value)
    except (ValueError, OverflowError):
        return "not a time of RFC 3339 with its zone"
    return None


def _moment(value: str) -> datetime:
    """In UTC. Raises ``ValueError`` or ``OverflowError``: no such time, or none without its zone."""
    moment = msgspec.convert(value, datetime)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.astimezone(UTC)


_RULES = {
    "specversion": lambda v: None if v == "1.0" else "not 1.0, the version that is read",
    "source": lambda v: None if _URI.fullmatch(v) else "not a URI reference",
    "dataschema": lambda v: None if _URI.fullmatch(v) and _SCHEME.match(v) else "not an absolute URI",
    "datacontenttype": lambda v: None if _MEDIA_TYPE.fullmatch(v) else "not a media type, such as application/json",
    "time": _time_fault,
}
_TEXTS = {*_REQUIRED, "subject", "time", "dataschema", "datacontenttype", "partitionkey"}


def _take_domain_topic(attributes: Attributes, row: int) -> str | None:
    topic = attributes.pop(DOMAIN_TOPIC, None)
    if not isinstance(topic, str | None):
        raise InvalidEvent(NO_TEXT, row=row, field=DOMAIN_TOPIC)
    return topic


def _others(attributes: Attributes) -> str | None:
    """The attributes that have no column, as a JSON object. The key stays among them: it must not change the event."""
    hidden = {*_REQUIRED, "subject", "time"}
    found = {name: value for name, value in attributes.items() if name not in hidden}
    if found.get("datacontenttype") == JSON_TYPE:
        del found["datacontenttype"]
    return msgspec.json.encode(found).decode() if found else None
