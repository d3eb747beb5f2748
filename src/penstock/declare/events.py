"""What functions are called with beside plain events: an event with its envelope, and Penstock's own events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Event(Generic[E]):
    """One event with its envelope, for functions that ask for ``ps.Event[Departure]``.

    ``id``, ``type``, ``source``, ``subject`` and ``time`` are the CloudEvents attributes; ``topic``, ``partition`` and
    ``offset`` say where it is, ``key`` what keeps its order; ``data`` is the event itself. ``domain_topic``: of a
    domain's event the topic of it; None: it is of no domain.
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
    domain_topic: str | None = None


@dataclass(frozen=True)
class SystemEvent:
    """Something that Penstock itself did.

    ``event_type`` is its type in the log, and with ``dev.`` in front its CloudEvents type where it is delivered;
    ``written_in`` is the topic that tells of it.
    """

    event_type: ClassVar[str] = ""
    written_in: ClassVar[str] = "penstock.system"  # as in ``batch``, which is too heavy for an app's file

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """From the event's JSON object; members that this class does not name are left out.

        Raises ``TypeError`` when one that it does name is missing.
        """
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})


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


@dataclass(frozen=True)
class ModelDeployed(SystemEvent):
    """A scorer, ``stage``, has begun to score ``topic`` with this version: the first of its partitions is.

    ``epoch`` counts the moves of the alias that it follows.
    """

    event_type: ClassVar[str] = "penstock.model.deployed"

    stage: str
    topic: str
    model: str
    version: int
    alias: str
    epoch: int


@dataclass(frozen=True)
class EventDeadLettered(SystemEvent):
    """No attempt of ``stage`` could deal with an event, and it is in the dead letters with all that it says.

    ``topic``, ``partition`` and ``offset`` say where the event is, ``id``, ``key``, ``source``, ``type`` and
    ``subject`` are its own (None: it has none), ``error`` and ``reason`` are what failed. A dead letter about one of
    these events is not told: whoever fails at them would be called without end.
    """

    event_type: ClassVar[str] = "penstock.event.deadlettered"
    written_in: ClassVar[str] = "penstock.dead"

    topic: str
    partition: int
    offset: int
    stage: str
    error: str
    reason: str
    attempts: int
    id: str
    key: str | None
    source: str | None
    type: str | None
    subject: str | None


@dataclass(frozen=True)
class SubscriptionDisabled(SystemEvent):
    """A subscription delivers no more until it is resumed.

    ``endpoint`` is the scheme, host and port of where it delivers to; ``outcome`` is how its last delivery ended, and
    ``reason`` says why it was disabled.
    """

    event_type: ClassVar[str] = "penstock.subscription.disabled"

    subscription: str
    source: str
    endpoint: str
    outcome: str
    reason: str


SYSTEM_EVENTS: dict[str, type[SystemEvent]] = {kind.event_type: kind for kind in SystemEvent.__subclasses__()}
"""By ``event_type``."""
