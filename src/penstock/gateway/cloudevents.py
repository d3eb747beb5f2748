"""CloudEvents 1.0.2 over HTTP, in: binary, structured and batched mode (HTTP binding §3, JSON format §3).

Pure functions: headers and a body become the topic's rows and the envelope's columns. Data must be JSON, since a topic
holds columns or JSON; attributes without a column of their own (extensions, ``dataschema``, a ``datacontenttype`` that
is not ``application/json``) are kept together as a JSON object. The extension ``partitionkey`` becomes the key.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec

from ..errors import InvalidEvent, UnsupportedMediaType
from ..schema.decode import Decoder, Row
from ..schema.door.faults import explain
from ..schema.rows import is_json

Mode: TypeAlias = Literal["binary", "structured", "batch"]
Headers: TypeAlias = Mapping[bytes, bytes]  # names in lower case, as ASGI gives them
Attributes: TypeAlias = dict[str, str | int | bool]

_REQUIRED = ("id", "source", "specversion", "type")
_COLUMNS = {"id": "_id", "source": "_source", "type": "_type", "subject": "_subject", "partitionkey": "_key"}
_NAME = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"(application|text)/json|[^/]+/[^/]+\+json")
# Control characters, surrogates and noncharacters, which an attribute of type String may not hold (spec, Type System).
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(p + 0xFFFE)}{chr(p + 0xFFFF)}" for p in range(0, 0x110000, 0x10000))
    + "]"
)
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")  # RFC 3986, appendix A: its characters
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def mode(media_type: str, headers: Headers) -> Mode | None:
    """How the request carries CloudEvents; None: it carries none. ``media_type``: in lower case, without parameters."""
    if media_type.startswith("application/cloudevents-batch"):
        return "batch"
    if media_type.startswith("application/cloudevents"):
        return "structured"
    return "binary" if b"\nce-" in b"\n" + b"\n".join(headers) else None  # a header's name holds no line break


def decode(mode: Mode, headers: Headers, body: bytes, decoder: Decoder) -> tuple[list[Row], dict[str, list[Any]]]:
    """The decoder's rows, and the envelope's columns that any event sets: as many values as rows, None where unset.

    Raises ``InvalidEvent`` naming the row and the attribute or field, ``UnsupportedMediaType`` for an event format that
    is not JSON, and what ``Decoder.decode`` raises.
    """
    if mode == "binary":
        return _binary(headers, body, decoder)
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind not in (b"application/cloudevents+json", b"application/cloudevents-batch+json"):
        raise UnsupportedMediaType(f"the event format {kind.decode('latin-1')} is not read: send the JSON format")
    parts = [_event(event, row, decoder) for row, event in enumerate(_members(body, many=mode == "batch"))]
    # Each is one JSON value, so together they are an array, parsed in one go with the rows' own numbers.
    rows = decoder.decode(b"[" + b",".join(data for _, data in parts) + b"]")
    return rows, envelope([attributes for attributes, _ in parts])


def percent_decode(value: bytes) -> str:
    """A header's value as the attribute it carries (HTTP binding §3.1.3.2).

    Raises ``ValueError`` for a stray ``%`` and for bytes that are not UTF-8; ``%C0%A0``, an overlong form, is not.
    """
    if len(value) > 1 and value[:1] == value[-1:] == b'"':  # older senders quote
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    if _STRAY_PERCENT.search(value):
        raise ValueError("a % that begins no escape")
    return unquote_to_bytes(value).decode()


def envelope(events: list[Attributes]) -> dict[str, list[Any]]:
    """Checked attributes as the envelope's columns."""
    columns: dict[str, list[Any]] = {column: [e.get(name) for e in events] for name, column in _COLUMNS.items()}
    columns["_time"] = [None if (time := e.get("time")) is None else _moment(str(time)) for e in events]
    columns["_extensions"] = [_others(e) for e in events]
    return {name: values for name, values in columns.items() if any(v is not None for v in values)}


def _binary(headers: Headers, body: bytes, decoder: Decoder) -> tuple[list[Row], dict[str, list[Any]]]:
    attributes: Attributes = {}
    for name, value in headers.items():
        if name.startswith(b"ce-"):
            attribute = name[3:].decode("latin-1")
            try:
                attributes[attribute] = percent_decode(value)
            except ValueError as error:
                raise InvalidEvent(
                    f"the header is not percent-encoded UTF-8: {error}", row=0, field=attribute
                ) from None
    if "datacontenttype" in attributes:
        raise InvalidEvent("not a header in binary mode: Content-Type says it", row=0, field="datacontenttype")
    if kind := headers.get(b"content-type", b"").decode("latin-1"):
        attributes["datacontenttype"] = kind
    check(attributes, 0)
    if not _says_json(attributes):
        raise InvalidEvent(f"data of type {kind}: this topic takes JSON", row=0, field="datacontenttype")
    return decoder.decode(_present(body, 0, decoder), "one"), envelope([attributes])


def _members(body: bytes, *, many: bool) -> list[dict[str, msgspec.Raw]]:
    kind: Any = list[dict[str, msgspec.Raw]] if many else dict[str, msgspec.Raw]
    try:
        if not body.isascii():
            body.decode()
        found = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(body, error, many=many) from None
    return found if many else [found]


def _event(members: dict[str, msgspec.Raw], row: int, decoder: Decoder) -> tuple[Attributes, bytes]:
    """An event's checked attributes, and its data as JSON."""
    data, base64 = members.pop("data", None), members.pop("data_base64", None)
    attributes: Attributes = {}
    for name, raw in members.items():
        if (value := _attribute(name, raw, row)) is not None:
            attributes[name] = value
    check(attributes, row)
    if data is not None and base64 is not None:
        raise InvalidEvent("both data and data_base64: an event has one", row=row, field="data_base64")
    if base64 is not None:
        return attributes, _unpacked(base64, attributes, row, decoder)
    if data is not None and not _says_json(attributes) and not is_json(decoder.schema):
        kind = attributes["datacontenttype"]
        raise InvalidEvent(f"data of type {kind}: this topic takes JSON", row=row, field="datacontenttype")
    return attributes, _present(b"" if data is None else bytes(data), row, decoder)


def _attribute(name: str, raw: msgspec.Raw, row: int) -> str | int | bool | None:
    """null is an attribute not set."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEvent(str(error), row=row, field=name) from None
    if value is not None and not isinstance(value, str | int | bool):
        raise InvalidEvent("an attribute is a string, an integer or a boolean", row=row, field=name)
    return value


def _unpacked(raw: msgspec.Raw, attributes: Attributes, row: int, decoder: Decoder) -> bytes:
    if "datacontenttype" not in attributes or not _says_json(attributes):
        raise InvalidEvent("binary data: this topic takes JSON", row=row, field="data_base64")
    try:
        data = b64decode(msgspec.json.decode(raw, type=str), validate=True)
        msgspec.json.decode(data, type=msgspec.Raw)  # one value and no more: it is going to stand in an array
        data.decode()
    except (msgspec.DecodeError, RecursionError, binascii.Error, ValueError) as error:
        raise InvalidEvent(f"not JSON in base64: {error}", row=row, field="data_base64") from None
    return _present(data, row, decoder)


def _present(data: bytes, row: int, decoder: Decoder) -> bytes:
    if data:
        return data
    if is_json(decoder.schema):
        return b"null"
    raise InvalidEvent("missing: this topic's events have data", row=row, field="data")


def _says_json(attributes: Attributes) -> bool:
    kind = str(attributes.get("datacontenttype", "application/json"))
    return _JSON_TYPE.fullmatch(kind.partition(";")[0].strip().lower()) is not None


def check(attributes: Attributes, row: int) -> None:
    """The rules of the spec's Context Attributes. Raises ``InvalidEvent`` naming the attribute."""
    for name in _REQUIRED:
        if name not in attributes:
            raise InvalidEvent("missing: every CloudEvent has one", row=row, field=name)
    for name, value in attributes.items():
        if (fault := _fault(name, value)) is not None:
            raise InvalidEvent(fault, row=row, field=name)


def _fault(name: str, value: str | int | bool) -> str | None:
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
    "time": _time_fault,
}
_TEXTS = {*_REQUIRED, "subject", "time", "dataschema", "datacontenttype", "partitionkey"}


def _others(attributes: Attributes) -> str | None:
    """The attributes that have no column, as a JSON object. The key stays among them: it must not change the event."""
    hidden = {*_REQUIRED, "subject", "time"}
    found = {name: value for name, value in attributes.items() if name not in hidden}
    if found.get("datacontenttype") == "application/json":
        del found["datacontenttype"]
    return msgspec.json.encode(found).decode() if found else None
