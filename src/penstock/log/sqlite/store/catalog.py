"""Topics, partitions and schemas as this process knows them, refreshed when another process changed them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import apsw
import msgspec
import pyarrow as pa

from ....batch import TopicSpec
from ....errors import Corrupt, LogUnusable, NotFound
from ...reading.assigned import Place
from ...topic_schema import as_declared, grown
from .tables import REPAIR, LogState, PartitionRow, key, sealed, write_state

_COLUMNS = "tp, topic, number, first, next, time, bytes, seq, crc"


class _Limits(NamedTuple):
    """What of a topic is neither its name nor its type."""

    key: str | None
    retain_us: int | None
    retain_bytes: int | None
    dedupe_us: int | None
    encoding: Literal["arrow", "json"] = "arrow"  # files of before it was kept lack it
    source: str = ""  # and so with this
    domain: bool = False  # likewise


@dataclass(slots=True)
class TopicEntry:
    id: int
    spec: TopicSpec
    tps: list[int]


class Catalog:
    """Read by every thread of the process; what it holds was committed."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicEntry] = {}
        self.names: dict[int, str] = {}
        self.places: dict[int, Place] = {}
        self._schemas: dict[int, pa.Schema] = {}
        self._ids: dict[bytes, int] = {}
        self._latest: dict[str, tuple[pa.Schema, int]] = {}  # by topic, as equality is cheaper than a digest
        self._declared: dict[tuple[int, int], tuple[pa.Schema, pa.Schema | None]] = {}  # by topic and schema number
        self._topology = -1
        self._mutex = threading.Lock()

    def refresh(self, db: apsw.Connection, state: LogState) -> list[TopicEntry]:
        """The topics that changed since the last call. ``db`` may not hold uncommitted topics."""
        if state.topology == self._topology:
            return []
        with self._mutex:
            rows = db.execute(
                "SELECT id, name, spec, schema, crc FROM topic WHERE changed > ?", (self._topology,)
            ).fetchall()
            changed = [self._load(db, row) for row in rows]
            self._topology = max(self._topology, state.topology)
            return changed

    def forget(self, name: str) -> None:
        """It was removed."""
        with self._mutex:
            entry = self.topics.pop(name)
            self.names.pop(entry.id)
            for tp in entry.tps:
                self.places.pop(tp, None)
            self._latest.pop(name, None)

    def topic(self, name: str) -> TopicEntry:
        if name not in self.topics:
            raise NotFound(f"there is no topic '{name}'")
        return self.topics[name]

    def tp(self, topic: str, partition: int) -> int:
        tps = self.topic(topic).tps
        if not 0 <= partition < len(tps):
            raise NotFound(f"topic '{topic}' has partitions 0 to {len(tps) - 1}, not {partition}")
        return tps[partition]

    def schema(self, db: apsw.Connection, number: int) -> pa.Schema:
        """Raises ``ValueError`` for a schema that is missing or damaged."""
        if number not in self._schemas:
            row = db.execute("SELECT ipc, crc FROM schema WHERE id = ?", (number,)).get
            if row is None or sealed(number, row[0]) != row[1]:
                raise ValueError(f"its schema, {number}, is missing or damaged")
            self._schemas[number] = pa.ipc.read_schema(pa.py_buffer(row[0]))
        return self._schemas[number]

    def decoding(self, db: apsw.Connection, topic: TopicEntry, number: int) -> tuple[pa.Schema, bool]:
        """What stored rows are decoded with, and whether they then are as the topic is declared now.

        Raises ``ValueError`` for a schema that is missing or damaged.
        """
        known = self._declared.get((topic.id, number))
        if known is None or known[0] is not topic.spec.schema:
            known = topic.spec.schema, as_declared(self.schema(db, number), topic.spec.schema)
            self._declared[topic.id, number] = known
        return (self.schema(db, number), False) if known[1] is None else (known[1], True)

    def known_schema(self, topic: str, schema: pa.Schema) -> int | None:
        """The number of a schema that is already stored."""
        latest = self._latest.get(topic)
        if latest is not None and latest[0].equals(schema):
            return latest[1]
        number = self._ids.get(_ipc(schema))
        if number is not None:
            self._latest[topic] = schema, number
        return number

    def learn_schema(self, schema: pa.Schema, number: int) -> None:
        self._ids[_ipc(schema)] = number

    def _load(self, db: apsw.Connection, row: Any) -> TopicEntry:
        number, name, limits, schema, crc = row
        if sealed(number, name, limits, schema) != crc:
            raise LogUnusable(f"the entry of topic '{name}' is damaged: {REPAIR}")
        try:
            columns = self.schema(db, schema)
        except ValueError as error:
            raise LogUnusable(f"topic '{name}' is damaged, {error}: {REPAIR}") from error
        tps = [tp for (tp,) in db.execute("SELECT tp FROM partition WHERE topic = ? ORDER BY number", (number,))]
        kept = msgspec.json.decode(limits, type=_Limits)._asdict()
        spec = TopicSpec(name, columns, len(tps), **kept)
        entry = self.topics[name] = TopicEntry(number, spec, tps)
        self.names[number] = name
        self.places.update({tp: (name, i) for i, tp in enumerate(tps)})
        return entry


def declare(
    db: apsw.Connection,
    state: LogState,
    known: TopicEntry | None,
    spec: TopicSpec,
    *,
    grow: bool,
    anew: bool = False,
) -> bool:
    """Write a topic, new or changed; ``False`` when it already was as declared. ``anew``: no row of it is left."""
    if known is not None and not anew:
        spec = grown(known.spec, spec, grow=grow)
        if spec == known.spec and spec.schema.equals(known.spec.schema, check_metadata=True):
            return False
    limits = msgspec.json.encode(_Limits(*(getattr(spec, name) for name in _Limits._fields)))
    schema = store_schema(db, spec.schema)
    number = known.id if known else db.execute("SELECT coalesce(max(id), 0) + 1 FROM topic").get
    db.execute(
        "INSERT OR REPLACE INTO topic (id, name, spec, schema, changed, crc) VALUES (?, ?, ?, ?, ?, ?)",
        (number, spec.name, limits, schema, state.topology + 1, sealed(number, spec.name, limits, schema)),
    )
    for index in range(len(known.tps) if known else 0, spec.partitions):
        tp = db.execute("SELECT coalesce(max(tp), 0) + 1 FROM partition").get
        row = PartitionRow(tp, number, index, 0, 0, 0, 0, state.seq + 1)
        db.execute(f"INSERT INTO partition ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, sealed(*row)))
    write_state(
        db, replace_state(state, seq=state.seq + 1, generation=state.generation + 1, topology=state.topology + 1)
    )
    return True


def clear(db: apsw.Connection, catalog: Catalog, state: LogState, known: TopicEntry) -> None:
    """Remove the topic's rows as retention does, and take every group to its end: positions are never used again."""
    for tp in known.tps:
        row = partition_row(db, catalog, tp)
        db.execute("DELETE FROM batch WHERE id >= ? AND id < ?", (key(tp, 0), key(tp + 1, 0)))
        write_partition(db, row._replace(first=row.next, bytes=0, seq=state.seq + 1))
        for (group,) in db.execute("SELECT grp FROM position WHERE tp = ?", (tp,)).fetchall():
            through = row.next - 1
            db.execute(
                "UPDATE position SET through = ?, crc = ? WHERE grp = ? AND tp = ?",
                (through, sealed(group, tp, through), group, tp),
            )


def remove(db: apsw.Connection, state: LogState, known: TopicEntry) -> None:
    """Remove the topic and all that is kept of it."""
    for tp in known.tps:
        db.execute("DELETE FROM batch WHERE id >= ? AND id < ?", (key(tp, 0), key(tp + 1, 0)))
        for table in ("position", "lease", "partition"):
            db.execute(f"DELETE FROM {table} WHERE tp = ?", (tp,))
    db.execute("DELETE FROM topic WHERE id = ?", (known.id,))
    write_state(
        db, replace_state(state, seq=state.seq + 1, generation=state.generation + 1, topology=state.topology + 1)
    )


def replace_state(state: LogState, **changes: int) -> LogState:
    return state._replace(**changes)


def store_schema(db: apsw.Connection, schema: pa.Schema) -> int:
    ipc = _ipc(schema)
    found: int | None = db.execute("SELECT id FROM schema WHERE ipc = ?", (ipc,)).get
    if found is not None:
        return found
    number: int = db.execute("SELECT coalesce(max(id), 0) + 1 FROM schema").get
    db.execute("INSERT INTO schema (id, ipc, crc) VALUES (?, ?, ?)", (number, ipc, sealed(number, ipc)))
    return number


def _ipc(schema: pa.Schema) -> bytes:
    return bytes(schema.serialize().to_pybytes())


def partition_row(db: apsw.Connection, catalog: Catalog, tp: int) -> PartitionRow:
    """Raises ``Corrupt`` where the row's checksum does not fit."""
    row = db.execute(f"SELECT {_COLUMNS} FROM partition WHERE tp = ?", (tp,)).get
    return verified(catalog, row or (tp, 0, 0, 0, 0, 0, 0, 0, -1))


def verified(catalog: Catalog, row: Sequence[int]) -> PartitionRow:
    found = PartitionRow(*row[:-1])
    if sealed(*found) != row[-1]:
        topic, partition = catalog.places.get(found.tp, ("?", -1))
        raise Corrupt(
            f"{topic}/{partition}: its entry is damaged: {REPAIR}",
            topic=topic,
            partition=partition,
            position=found.next,
        )
    return found


def write_partition(db: apsw.Connection, row: PartitionRow) -> None:
    db.execute(
        "UPDATE partition SET first=?, next=?, time=?, bytes=?, seq=?, crc=? WHERE tp=?",
        (row.first, row.next, row.time, row.bytes, row.seq, sealed(*row), row.tp),
    )


def changed_since(db: apsw.Connection, seq: int) -> Iterable[Sequence[int]]:
    """Rows of the partitions that changed after commit ``seq``, for ``verified``."""
    return db.execute(f"SELECT {_COLUMNS} FROM partition WHERE seq > ?", (seq,))
