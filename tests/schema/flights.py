"""Event types that several tests read."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from msgspec import Meta


class Cabin(enum.Enum):
    FIRST = "first"
    COACH = "coach"


@dataclass
class Leg:
    origin: str
    minutes: int | None = None


@dataclass
class Flight:
    flight: int
    carrier: str
    delay: float
    leg: Leg
    tailnum: str | None = None
    at: datetime = datetime(2013, 1, 1, tzinfo=UTC)
    day: date = date(2013, 1, 1)
    cabin: Cabin = Cabin.COACH
    gate: Literal["A", "B"] | None = None
    seats: Annotated[int, Meta(ge=0, le=900)] = 180
    code: Annotated[str, Meta(pattern="^[A-Z]+$", max_length=4)] = "JFK"
    raw: bytes = b""
    late: bool = False
    legs: list[Leg] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)


GOOD = {"flight": 1, "carrier": "UA", "delay": 2.5, "leg": {"origin": "JFK"}}
