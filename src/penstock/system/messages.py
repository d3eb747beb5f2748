"""What is written in ``penstock.system``: commands asked for, and the events that answer them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import msgspec
import pyarrow as pa

from ..batch import JSON_SCHEMA

COMMAND_SCHEMA = pa.schema(
    [*JSON_SCHEMA, ("_id", pa.string()), ("_type", pa.string()), ("_subject", pa.string())],
    metadata=JSON_SCHEMA.metadata,
)
MODELS = "models"  # the area whose refusals name none: it was there before there were others


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the system topic: ``TYPE`` is its ``_type``, the fields are its JSON."""

    TYPE: ClassVar[str]

    @property
    def subject(self) -> str | None:
        return None


class Command(Message, frozen=True, kw_only=True):
    """``id`` makes repeats harmless: the same id is answered once."""

    id: str

    def fault(self) -> str | None:
        """Why this cannot be asked for, whatever the system holds."""
        return None if self.id else "a command needs an id"


class Refused(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A command changed nothing. ``kind``: invalid, not-found, conflict, exists, refused or damaged."""

    TYPE: ClassVar[str] = "penstock.command.refused"

    kind: str
    reason: str
    causationid: str
    area: str = MODELS


class SnapshotTaken(Message, frozen=True, kw_only=True):
    """The owner has saved its areas as they were at a position; written beside the snapshots, in their transaction."""

    TYPE: ClassVar[str] = "penstock.snapshot.taken"

    areas: tuple[str, ...]
    through: int  # the position in ``penstock.system`` that they cover
    taken: int  # microseconds since the epoch


class SnapshotDue(Message, frozen=True, kw_only=True):
    """Has an owner with nothing else to do look whether it is time for one. It needs no answer."""

    TYPE: ClassVar[str] = "penstock.command.snapshot"


class Disabled(Message, frozen=True, kw_only=True):
    """A subscription delivers no more until it is resumed; written with the positions from where it will go on.

    ``endpoint``: the scheme, host and port of where it delivers to, for paths and queries may hold secrets; ``outcome``
    as in ``lastDeliveryOutcome`` of Event Grid. ``at``: microseconds since the epoch.
    """

    TYPE: ClassVar[str] = "penstock.subscription.disabled"

    subscription: str
    source: str
    endpoint: str
    outcome: str
    reason: str
    at: int

    @property
    def subject(self) -> str | None:
        return f"subscriptions/{self.subscription}"


class Malformed(Command, frozen=True, kw_only=True):
    """A command that could not be read; it is answered too, or its sender would wait."""

    reason: str
    of: str  # the type it has

    def fault(self) -> str | None:
        return self.reason


SHARED: Sequence[type[Message]] = (Refused, SnapshotTaken, SnapshotDue)


def by_type(messages: Sequence[type[Message]]) -> dict[str, type[Message]]:
    return {message.TYPE: message for message in messages}


def to_rows(messages: Sequence[Message]) -> pa.RecordBatch:
    """Rows for the system topic. A command's ``_id`` is its id; an event's is null, so derived from its parent."""
    columns = [
        [msgspec.json.encode(m).decode() for m in messages],
        [m.id if isinstance(m, Command) else None for m in messages],
        [m.TYPE for m in messages],
        [m.subject for m in messages],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, COMMAND_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=COMMAND_SCHEMA)


def from_rows(rows: pa.RecordBatch, kinds: Mapping[str, type[Message]]) -> Iterator[tuple[int, Message]]:
    """The messages of these types among rows of the system topic, each with its row; others are passed over.

    Raises ``msgspec.ValidationError`` for an event that is not what its type says: only stages of ours write those, so
    the topic itself is wrong.
    """
    if "_type" not in rows.schema.names:
        return
    ids = rows.column("_id") if "_id" in rows.schema.names else pa.nulls(rows.num_rows, pa.string())
    for row, kind in enumerate(rows.column("_type").to_pylist()):
        if (message := kinds.get(kind)) is not None:
            yield row, decode(message, rows.column("json")[row].as_py(), ids[row].as_py() or "")


def decode(kind: type[Message], text: str, id: str) -> Message:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        if issubclass(kind, Command):
            return Malformed(id=id, reason=f"{kind.TYPE}: {error}", of=kind.TYPE)
        raise
