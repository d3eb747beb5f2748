"""The log as an operator sees it: partitions, groups and their lag."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from ..interface import GroupState, PartitionState
from .leases import position
from .store.catalog import Catalog, partition_row
from .store.tables import PartitionRow, key


def partition_states(db: apsw.Connection, catalog: Catalog, topic: str) -> list[PartitionState]:
    rows = [partition_row(db, catalog, tp) for tp in catalog.topic(topic).tps]
    return [PartitionState(topic, r.number, r.first, r.next, r.next - r.first, r.bytes) for r in rows]


def group_states(db: apsw.Connection, catalog: Catalog, now: int) -> list[GroupState]:
    rows = db.execute(
        "SELECT g.id, g.name, p.tp, m.name FROM grp g "
        "JOIN (SELECT grp, tp FROM lease UNION SELECT grp, tp FROM position) p ON p.grp = g.id "
        "LEFT JOIN lease l ON l.grp = g.id AND l.tp = p.tp LEFT JOIN member m ON m.id = l.member ORDER BY g.name, p.tp"
    ).fetchall()
    return [_group_state(db, catalog, now, row) for row in rows]


def ends(db: apsw.Connection, catalog: Catalog, topic: str) -> dict[int, int]:
    rows = [partition_row(db, catalog, tp) for tp in catalog.topic(topic).tps]
    return {row.number: row.next for row in rows}


def positions(
    db: apsw.Connection, catalog: Catalog, groups: Iterable[tuple[str, str]]
) -> dict[tuple[str, str, int], int]:
    query = "SELECT p.grp FROM position p JOIN grp g ON g.id = p.grp WHERE g.name = ? AND p.tp = ?"
    asked = [(name, tp) for name, topic in groups for tp in catalog.topic(topic).tps]
    rows: list[Any] = [(*place, *row) for place in asked for row in db.execute(query, place).fetchall()]
    found = {(name, *catalog.places[tp]): position(db, catalog, group, tp) for name, tp, group in rows}
    return {place: through for place, through in found.items() if through is not None and through >= 0}


def _group_state(db: apsw.Connection, catalog: Catalog, now: int, row: Any) -> GroupState:
    group, name, tp, owner = row
    through = position(db, catalog, group, tp)
    partition = partition_row(db, catalog, tp)
    cursor = max(partition.first, 0 if through is None else through + 1)
    return GroupState(
        str(name),
        *catalog.places[tp],
        None if through is None or through < 0 else through,
        None if owner is None else str(owner),
        partition.next - cursor,
        _age(db, partition, cursor, now),
    )


def _age(db: apsw.Connection, row: PartitionRow, cursor: int, now: int) -> float:
    if cursor >= row.next:
        return 0.0
    query = "SELECT time FROM batch WHERE id <= ? AND id >= ? ORDER BY id DESC LIMIT 1"
    time = db.execute(query, (key(row.tp, cursor), key(row.tp, row.first))).get
    return 0.0 if time is None else max(0.0, (now - time) / 1e6)
