"""CloudEvents 1.0.2 over HTTP, in: binary, structured and batched mode (HTTP binding §3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from ..errors import InvalidEvent, UnsupportedMediaType
from ..schema.cloudevents import Attributes, check_data, decode_events, decode_pieces, envelope
from ..schema.decode import Decoder, Row
from ..schema.ingress.ignored import Ignored
from ..schema.ingress.pieces import only_one
from ..schema.ingress.text import Text

Mode: TypeAlias = Literal["binary", "structured", "batch"]
Headers: TypeAlias = Mapping[bytes, bytes]  # names in lower case, as ASGI gives them

_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def mode(media_type: str, headers: Headers) -> Mode | None:
    """How the request carries CloudEvents; None: it carries none. ``media_type``: in lower case, without parameters."""
    if media_type.startswith("application/cloudevents-batch"):
        return "batch"
    if media_type.startswith("application/cloudevents"):
        return "structured"
    return "binary" if b"\nce-" in b"\n" + b"\n".join(headers) else None  # a header's name holds no line break


def decode(
    mode: Mode, headers: Headers, body: bytes, decoder: Decoder, ignored: Ignored | None = None
) -> tuple[list[Row], dict[str, list[Any]]]:
    """The decoder's rows, and the envelope's columns that any event sets: as many values as rows, None where unset.

    Raises ``InvalidEvent`` naming the row and the attribute or field, ``UnsupportedMediaType`` for an event format that
    is not JSON, and what ``Decoder.decode`` raises.
    """
    if mode == "binary":
        return _binary(headers, body, decoder, ignored)
    _check_format(headers)
    return decode_events(body, decoder, many=mode == "batch", ignored=ignored)


def decode_in_pieces(
    mode: Mode,
    headers: Headers,
    parts: Iterable[bytes],
    decoder: Decoder,
    event_limit: int,
    ignored: Ignored | None = None,
) -> Iterator[tuple[list[Row], dict[str, list[Any]]]]:
    """The same of a large body, some events at a time. ``event_limit``: bytes of one event's data.

    Raises what ``decode`` raises, after the pieces before the fault, and ``TooLarge``.
    """
    if mode != "binary":
        _check_format(headers)
        yield from decode_pieces(parts, decoder, event_limit, many=mode == "batch", ignored=ignored)
    else:
        yield _binary(headers, only_one(Text(parts), event_limit), decoder, ignored)


def _check_format(headers: Headers) -> None:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind not in (b"application/cloudevents+json", b"application/cloudevents-batch+json"):
        raise UnsupportedMediaType(f"the event format {kind.decode('latin-1')} is not read: send the JSON format")


def percent_decode(value: bytes) -> str:
    """A header's value as the attribute it carries (HTTP binding §3.1.3.2).

    Raises ``ValueError`` for a stray ``%`` and for bytes that are not UTF-8; ``%C0%A0``, an overlong form, is not.
    """
    if len(value) > 1 and value[:1] == value[-1:] == b'"':  # older senders quote
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    if _STRAY_PERCENT.search(value):
        raise ValueError("a % that begins no escape")
    return unquote_to_bytes(value).decode()


def _binary(
    headers: Headers, body: bytes, decoder: Decoder, ignored: Ignored | None
) -> tuple[list[Row], dict[str, list[Any]]]:
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
    rows = decoder.decode(check_data(attributes, body, decoder), "one", ignored=ignored)
    return rows, envelope([attributes], domain=decoder.domain)
