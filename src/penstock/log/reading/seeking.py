"""What every backend says of positions: where a seek may go, where a commit may, and what was missed."""

from __future__ import annotations

from datetime import datetime

from ...errors import LogError, Overtaken
from ..interface import Advance
from .assigned import Place


def microseconds(moment: datetime) -> int:
    """Since the epoch. Raises ``LogError`` for a time without a zone, which would depend on the machine."""
    if moment.tzinfo is None:
        raise LogError(f"{moment.isoformat()} has no time zone; add one, such as datetime.UTC")
    return round(moment.timestamp() * 1e6)


def check_target(place: Place, to: int, end: int) -> None:
    """Raises ``LogError`` for a position that cannot be sought."""
    if not 0 <= to <= end:
        raise LogError(f"{place[0]}/{place[1]}: cannot seek to {to}, which is not from 0 to the end, {end}")


def check_advance(advance: Advance, committed: int | None, end: int) -> None:
    """Raises ``LogError`` for an advance that goes back, or past the end of what is stored."""
    where = f"{advance.topic}/{advance.partition}"
    if committed is not None and advance.through < committed:
        raise LogError(
            f"{where}: the position is {committed} and does not go back to {advance.through}; seek does that"
        )
    if advance.through >= end:
        raise LogError(f"{where}: cannot advance through {advance.through}: the log ends before {end}")


def overtaken(place: Place, cursor: int, earliest: int) -> Overtaken:
    topic, partition = place
    return Overtaken(
        f"{topic}/{partition}: retention removed events from {cursor} on before they were read; going on at {earliest}",
        topic=topic,
        partition=partition,
        earliest=earliest,
    )
