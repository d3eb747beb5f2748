"""Groups: members, leases and positions. Clocks decide how soon a lease moves; its epoch decides who may commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import apsw
import msgspec

from ...errors import Corrupt
from ..interface import Advance
from ..reading.assigned import Place
from ..reading.assignment import moves
from ..reading.seeking import check_advance
from .store.catalog import Catalog, partition_row
from .store.tables import REPAIR, read_state, sealed, write_state


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """What one member owns, and what it should do about it now."""

    joined: bool  # False: this member was taken for dead
    epochs: Mapping[int, int]
    give: Sequence[int] = ()
    claim: Sequence[int] = ()
    leaving: Collection[int] = ()  # to be given back once their rows are committed


def group_id(db: apsw.Connection, name: str) -> int:
    db.execute("INSERT OR IGNORE INTO grp (name) VALUES (?)", (name,))
    number: int = db.execute("SELECT id FROM grp WHERE name = ?", (name,)).get
    return number


def join(db: apsw.Connection, group: int, member: str, process: str, topics: Sequence[int]) -> int:
    """A later reader of one name displaces the earlier. Returns a number that no other join has."""
    remove_members(db, "grp = ? AND name = ?", (group, member))
    db.execute(
        "INSERT INTO member (grp, name, process, topics) VALUES (?, ?, ?, ?)",
        (group, member, process, msgspec.json.encode(list(topics))),
    )
    changed(db)
    return db.last_insert_rowid()


def remove_members(db: apsw.Connection, where: str, values: tuple[object, ...]) -> bool:
    numbers = [n for (n,) in db.execute(f"SELECT id FROM member WHERE {where}", values)]
    for number in numbers:
        db.execute(
            "UPDATE lease SET member = NULL WHERE grp = (SELECT grp FROM member WHERE id = ?1) AND member = ?1",
            (number,),
        )
        db.execute("DELETE FROM member WHERE id = ?", (number,))
    if numbers:
        changed(db)
    return bool(numbers)


def changed(db: apsw.Connection) -> None:
    """Membership or a lease moved: every member looks again."""
    state = read_state(db)
    write_state(db, state._replace(seq=state.seq + 1, generation=state.generation + 1))


def plan(
    db: apsw.Connection, catalog: Catalog, group: int, me: int, topics: Sequence[str], keep: set[int]
) -> LeasePlan:
    """``keep`` holds the partitions with rows that were returned and are not committed."""
    leases = {tp: (m, e) for tp, m, e in db.execute("SELECT tp, member, epoch FROM lease WHERE grp = ?", (group,))}
    members = {
        number: set(msgspec.json.decode(read))
        for number, read in db.execute("SELECT id, topics FROM member WHERE grp = ?", (group,))
    }
    epochs = {tp: epoch for tp, (member, epoch) in leases.items() if member == me}
    if me not in members:
        return LeasePlan(False, {})
    give: list[int] = []
    claim: list[int] = []
    for name in topics:
        topic = catalog.topic(name)
        owners = {tp: leases.get(tp, (None, 0))[0] for tp in sorted(topic.tps, key=lambda tp: tp not in keep)}
        peers = [number for number, read in members.items() if topic.id in read]
        back, more = moves(owners, peers, me, topic.id)
        give += back
        claim += more
    leaving = keep.intersection(give)
    return LeasePlan(True, epochs, [tp for tp in give if tp not in leaving], claim, leaving)


def apply(db: apsw.Connection, catalog: Catalog, group: int, me: int, planned: LeasePlan) -> None:
    for tp in planned.give:
        db.execute("UPDATE lease SET member = NULL WHERE grp = ? AND tp = ? AND member = ?", (group, tp, me))
    for tp in planned.claim:
        db.execute(
            "INSERT INTO lease (grp, tp, member, epoch) VALUES (?, ?, ?, 1) "
            "ON CONFLICT DO UPDATE SET member = excluded.member, epoch = epoch + 1",
            (group, tp, me),
        )
        _begin(db, catalog, group, tp)
    if planned.give:
        changed(db)


def lost(db: apsw.Connection, group: int, me: int, epochs: Mapping[int, int]) -> set[int]:
    """Those of the partitions that ``me`` no longer holds in the epoch it thinks."""
    query = "SELECT 1 FROM lease WHERE grp = ? AND tp = ? AND member = ? AND epoch = ?"
    return {tp for tp, epoch in epochs.items() if db.execute(query, (group, tp, me, epoch)).get is None}


def position(db: apsw.Connection, catalog: Catalog, group: int, tp: int) -> int | None:
    row = db.execute("SELECT through, crc FROM position WHERE grp = ? AND tp = ?", (group, tp)).get
    if row is None:
        return None
    if sealed(group, tp, row[0]) != row[1]:
        topic, partition = catalog.places[tp]
        raise Corrupt(
            f"{topic}/{partition}: the group's position is damaged: seek to where it should go on, or {REPAIR}",
            topic=topic,
            partition=partition,
            position=row[0],
        )
    through: int = row[0]
    return through


def set_position(db: apsw.Connection, group: int, tp: int, through: int) -> None:
    db.execute(
        "INSERT OR REPLACE INTO position (grp, tp, through, crc) VALUES (?, ?, ?, ?)",
        (group, tp, through, sealed(group, tp, through)),
    )


def _begin(db: apsw.Connection, catalog: Catalog, group: int, tp: int) -> None:
    """A group without a position stands before the first event left: what retention takes from then on is missed."""
    if db.execute("SELECT 1 FROM position WHERE grp = ? AND tp = ?", (group, tp)).get is None:
        set_position(db, group, tp, partition_row(db, catalog, tp).first - 1)


def advance(db: apsw.Connection, catalog: Catalog, group: int, done: Sequence[Advance]) -> None:
    for step in done:
        tp = catalog.tp(step.topic, step.partition)
        end = partition_row(db, catalog, tp).next
        check_advance(step, position(db, catalog, group, tp), end)
        set_position(db, group, tp, step.through)


def start_latest(db: apsw.Connection, catalog: Catalog, group: int, topics: Sequence[str]) -> None:
    """Only a group that is new to a topic starts at its end; partitions added later are read from the first."""
    for name in topics:
        tps = catalog.topic(name).tps
        if all(position(db, catalog, group, tp) is None for tp in tps):
            for tp in tps:
                set_position(db, group, tp, partition_row(db, catalog, tp).next - 1)


def places(catalog: Catalog, tps: Collection[int]) -> list[Place]:
    return sorted(catalog.places[tp] for tp in tps)
