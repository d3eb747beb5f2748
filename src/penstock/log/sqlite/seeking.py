"""Where a seek leads in one stored partition."""

from __future__ import annotations

from datetime import datetime

import apsw

from ..reading.assigned import Place
from ..reading.seeking import check_target, microseconds
from .fetching import damaged
from .store.tables import MASK, PartitionRow, key


def target(db: apsw.Connection, place: Place, row: PartitionRow, to: int | datetime | str) -> int:
    """The cursor for a position, a time, the earliest or the latest. Raises ``LogError`` for a place that is none."""
    if to == "earliest":
        return row.first
    if isinstance(to, datetime):
        return _first_at(db, place, row, microseconds(to))
    if isinstance(to, int):
        check_target(place, to, row.next)
        return max(to, row.first)
    return row.next


def _first_at(db: apsw.Connection, place: Place, row: PartitionRow, time: int) -> int:
    """The first position appended at or after ``time``: times never go back, so halving finds it."""
    query = "SELECT id, count, time FROM batch WHERE id <= ? AND id >= ? ORDER BY id DESC LIMIT 1"
    low, high = row.first, row.next
    while low < high:
        found = db.execute(query, (key(row.tp, (low + high) // 2), key(row.tp, row.first))).get
        if found is None:
            raise damaged(place, low, "missing")
        base = found[0] & MASK
        if found[2] >= time:
            high = base
        else:
            low = base + found[1]
    return low
