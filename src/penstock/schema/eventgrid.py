"""Events in Azure Event Grid's own schema as rows and envelope columns
(https://learn.microsoft.com/azure/event-grid/event-schema).

Pure functions. ``id``, ``subject``, ``eventType`` and ``eventTime`` are the CloudEvents attributes id, subject, type
and time, as Event Grid itself turns one schema into the other, and keep their rules; ``topic`` is the source, and
``dataVersion`` the extension ``dataversion``. What the page leaves open is chosen here:

- ``topic`` is the service's to write: a publisher's that names another topic is refused, for to overwrite it would drop
  in silence what somebody meant. An event that Event Grid delivers has that of its origin, and keeps it.
- A member that the schema does not have is refused in what is published, and passed over in what Event Grid delivers,
  which may come to say more, and drops what is answered 400.
- An empty subject is none. A time without a zone is in UTC, and a zone may lack its colon, as ``date +%z`` writes it.
- ``data`` may be any JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from ..errors import InvalidEvent
from .cloudevents import (
    ATTRIBUTES_LIMIT_BYTES,
    DATA_VERSION,
    DOMAIN_TOPIC,
    Attributes,
    envelope,
    fault_of,
    present_data,
)
from .decode import Decoder, Row
from .ingress.faults import explain, unknown_name
from .ingress.ignored import Ignored
from .ingress.pieces import WHOLE, PieceStart, array_pieces, is_array
from .ingress.text import Text

METADATA_VERSION = "1"  # of the only schema there is

_ZONE = re.compile(r"(?:[zZ]|[+-]\d{2}:?\d{2})\Z")
_MEMBERS = {"id": "id", "type": "eventType", "time": "eventTime", "source": "topic", DATA_VERSION: "dataVersion"}
_NOT_AN_ARRAY = "the body of Event Grid's schema is an array of events, also of one"


class PublishedGridEvent(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """An event as its publisher writes it."""

    id: str
    subject: str
    event_type: str
    event_time: str
    data: msgspec.Raw = msgspec.Raw()
    data_version: str | None = None
    topic: str | None = None
    metadata_version: str | None = None


class DeliveredGridEvent(PublishedGridEvent, rename="camel", forbid_unknown_fields=False, gc=False):
    """An event as Event Grid delivers it."""


_PUBLISHED = msgspec.json.Decoder(list[PublishedGridEvent])
_DELIVERED = msgspec.json.Decoder(list[DeliveredGridEvent])


def read_events(body: bytes, *, delivered: bool, start: PieceStart = WHOLE) -> Sequence[PublishedGridEvent]:
    """The events of an array, by their members. Raises ``InvalidEvent`` naming the row and the member."""
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        raise InvalidEvent(_NOT_AN_ARRAY)
    try:
        if not body.isascii():
            body.decode()
        return _DELIVERED.decode(body) if delivered else _PUBLISHED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _hinted(explain(body, error, many=True, before=start.byte)) from None


def decode_events(
    body: bytes,
    decoder: Decoder,
    source: str | None,
    *,
    delivered: bool = False,
    ignored: Ignored | None = None,
    start: PieceStart = WHOLE,
) -> tuple[list[Row], dict[str, list[Any]]]:
    """The decoder's rows of an array of events, and the envelope's columns that any of them sets.

    ``source``: the topic's own, which events have that name none; None: of a domain, whose
    topic each event names; ``delivered``: by Event Grid, and not published;
    ``ignored`` and ``start``: see ``Decoder.decode``.

    Raises ``InvalidEvent`` naming the row and the member, or the field of its data; and what ``Decoder.decode`` raises.
    """
    events = read_events(body, delivered=delivered, start=start)
    found = [_attributes(event, row, source, delivered=delivered) for row, event in enumerate(events)]
    data = [present_data(bytes(event.data), row, decoder) for row, event in enumerate(events)]
    together = b"[" + b",".join(data) + b"]"
    rows = decoder.decode(together, start=PieceStart(row=start.row), ignored=ignored)
    return rows, envelope(found, domain=decoder.domain)


def decode_pieces(
    parts: Iterable[bytes],
    decoder: Decoder,
    event_limit: int,
    source: str | None,
    *,
    delivered: bool = False,
    ignored: Ignored | None = None,
) -> Iterator[tuple[list[Row], dict[str, list[Any]]]]:
    """The same events, some at a time (``Decoder.decode_pieces``). ``event_limit``: bytes of one event's data."""
    body, limit = Text(parts), event_limit + ATTRIBUTES_LIMIT_BYTES
    if not is_array(body, limit):
        raise InvalidEvent(_NOT_AN_ARRAY)

    def decode(text: bytes, start: PieceStart) -> tuple[list[Row], dict[str, list[Any]]]:
        return decode_events(text, decoder, source, delivered=delivered, ignored=ignored, start=start)

    yield from array_pieces(body, decode, lambda piece: len(piece[0]), limit)


def _attributes(event: PublishedGridEvent, row: int, source: str | None, *, delivered: bool) -> Attributes:
    if event.metadata_version not in (None, "", METADATA_VERSION):
        raise InvalidEvent("not 1, the version of the schema that is read", row=row, field="metadataVersion")
    if source is None and not event.topic:
        raise InvalidEvent("missing: it says which topic of the domain the event is of", row=row, field="topic")
    if source is not None and event.topic not in (None, "", source) and not delivered:
        raise InvalidEvent(
            "the topic is told by the address, not by the publisher: leave it out", row=row, field="topic"
        )
    time = event.event_time
    found: Attributes = {
        "id": event.id,
        "type": event.event_type,
        "time": time if not time or _ZONE.search(time) else f"{time}Z",
    }
    others = {"subject": event.subject, DATA_VERSION: event.data_version}
    others["source" if source is not None else DOMAIN_TOPIC] = event.topic
    found |= {name: value for name, value in others.items() if value and (name, value) != ("source", source)}
    for name, value in found.items():
        if (fault := fault_of(name, value)) is not None:
            raise InvalidEvent(fault, row=row, field=_MEMBERS.get(name, name))
    return found


def _hinted(error: InvalidEvent) -> InvalidEvent:
    """The same error; of a member that the schema lacks with its name, and the one that was meant."""
    if (name := unknown_name(error)) is None:
        return error
    near = get_close_matches(name.lower(), [m.lower() for m in PublishedGridEvent.__struct_encode_fields__], 1)
    meant = next((m for m in PublishedGridEvent.__struct_encode_fields__ if [m.lower()] == near), None)
    reason = "Event Grid's schema has no such member" + (f"; did you mean '{meant}'?" if meant else "")
    return InvalidEvent(reason, row=error.row, field=name)
