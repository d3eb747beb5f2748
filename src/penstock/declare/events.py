"""What functions are called with beside plain events: an event with its envelope, and Penstock's own events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Event(Generic[E]):
    """One event with its envelope, for functions that ask for ``ps.Event[Departure]``.

    ``id``, ``type``, ``source``, ``subject`` and ``time`` are the CloudEvents attributes; ``topic``, ``partition`` and
    ``offset`` say where it is, ``key`` what keeps its order; ``data`` is the event itself.
    """

    id: str
    type: str
    source: str
    subject: str | None
    time: datetime
    key: str | None
    topic: str
    partition: int
    offset: int
    data: E


@dataclass(frozen=True)
class SystemEvent:
    """Something that Penstock itself did. ``event_type`` is the CloudEvents type in ``penstock.system``."""

    event_type: ClassVar[str] = ""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """From the event's JSON object; members that this class does not name are left out.

        Raises ``TypeError`` when one that it does name is missing.
        """
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


@dataclass(frozen=True)
class ModelRegistered(SystemEvent):
    """A version of a model can be loaded from now on; no alias points to it yet (but to a model's first)."""

    event_type: ClassVar[str] = "penstock.model.registered"

    model: str
    version: int
    dataset_id: str | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class ModelPromoted(SystemEvent):
    """An alias points to another version: from ``previous`` (None: it is new) to ``version``."""

    event_type: ClassVar[str] = "penstock.model.promoted"

    model: str
    alias: str
    version: int
    previous: int | None
    epoch: int

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """From the event's JSON object. Raises ``KeyError`` when a member is missing."""
        return cls(data["model"], data["alias"], data["to"], data.get("from"), data["epoch"])
