"""Save what can be saved of a damaged log into a new file; the old one is kept beside it.

Positions stay as they are. Where events are lost a marker is left, which readers hand over as a rejected row, so that
no stage takes the gap for silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from ..errors import LogUnusable
from .processes.directory import prepare, sync_folder
from .processes.heartbeat import Heartbeat
from .processes.write_lock import WriteLock
from .sqlite.fetching import LOST, Row, sound
from .sqlite.store import tables
from .sqlite.store.stored import checksum
from .sqlite.store.tables import FILE, MASK, LogState, PartitionRow, connect, key, sealed, write_state
from .sqlite.store.transaction import translated

NEW = "repaired.db"
_READ = apsw.SQLITE_OPEN_READWRITE  # recovering the WAL needs it
_INSERT = "INSERT INTO batch (id, count, time, schema, crc, meta, payload) VALUES (?, ?, ?, ?, ?, ?, ?)"
_WALK = "SELECT id, count, time, schema, crc, meta, payload FROM batch WHERE id > ? AND id < ? ORDER BY id"
_WALK_BACK = "SELECT id FROM batch WHERE id > ? AND id < ? ORDER BY id DESC"
_ONE = "SELECT id, count, time, schema, crc, meta, payload FROM batch WHERE id = ?"
BYTES_A_COMMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Loss:
    """Events ``first`` to ``last`` of a partition, both included, are gone."""

    topic: str
    partition: int
    first: int
    last: int


@dataclass(slots=True)
class Repair:
    """What a repair did: where the old files are, how many events were saved, and what is gone."""

    kept: Path
    events: int = 0
    losses: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # topics and positions that could not be read


def repair(directory: Path, progress: Callable[[int], None] = lambda _size: None) -> Repair:
    """``progress`` is told how many more bytes were saved.

    Raises ``LogUnusable`` while Penstock runs on the directory, where there is no log, or when not even the list of
    topics is left; ``LogFull`` when there is no space for a second file. The damaged one is then as it was.
    """
    if not (directory / FILE).exists():
        raise LogUnusable(f"there is no log in {directory}: name the --data directory that one was kept in")
    prepare(directory)
    refuse_running(directory)
    turnstile = WriteLock(directory / "write.lock")
    turnstile.enter()
    try:
        done = Repair(directory / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        (directory / NEW).unlink(missing_ok=True)
        with (
            translated(directory / FILE),
            closing(apsw.Connection(str(directory / FILE), flags=_READ)) as old,
            closing(connect(directory / NEW, create=True)) as new,
        ):
            tables.create(new)
            _Rescue(old, new, done, progress).run(turnstile.last.committed)
            new.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        _exchange(directory, done.kept)
        return done
    finally:
        turnstile.leave(None)
        turnstile.close()


def refuse_running(directory: Path) -> None:
    presence = Heartbeat(directory / "members", timeout=0)
    try:
        others = [path for path in (directory / "members").iterdir() if path.name != presence.name]
        dead: list[str] = []
        presence.gone(dead.append)
        if running := [path.name.split("-")[0] for path in others if path.exists()]:
            raise LogUnusable(f"{directory} is in use by process {', '.join(running)}: stop it first")
    finally:
        presence.leave()


class _Rescue:
    def __init__(
        self, old: apsw.Connection, new: apsw.Connection, done: Repair, progress: Callable[[int], None]
    ) -> None:
        self._old, self._new, self._done, self._progress = old, new, done, progress
        self._unsaved = 0  # bytes

    def run(self, committed: int) -> None:
        """``committed``: the last commit acknowledged, which the new file must not be behind."""
        self._new.execute("BEGIN")
        self._copy("schema", "id, ipc, crc", lambda r: sealed(r[0], r[1]) == r[2])
        self._copy("topic", "id, name, spec, schema, changed, crc", lambda r: sealed(*r[:4]) == r[5])
        self._copy("grp", "id, name", lambda r: True)
        self._copy("position", "grp, tp, through, crc", lambda r: sealed(*r[:3]) == r[3])
        rows: Any = self._new.execute("SELECT id, name FROM topic")
        names: dict[int, str] = dict(rows)
        if not names:
            raise LogUnusable(f"{self._old.filename}: not even a list of topics is left; restore it from a copy")
        seq, latest = committed, 0
        for raw in list(self._rows("SELECT tp, topic, number, first, next, time, bytes, seq, crc FROM partition", ())):
            row = PartitionRow(*raw[:-1])
            if row.topic not in names or not all(isinstance(value, int) for value in row):
                self._done.notes.append(f"partition {row.tp} belongs to no topic that is left")
                continue
            saved = self._partition(row, names[row.topic], known=sealed(*row) == raw[-1])
            seq, latest = max(seq, saved.seq), max(latest, saved.time)
        write_state(self._new, LogState(seq + 1, 1, seq + 1, latest))
        self._new.execute("COMMIT")

    def _copy(self, table: str, columns: str, fits: Callable[[Any], bool]) -> None:
        marks = ", ".join("?" * len(columns.split(",")))
        for row in self._rows(f"SELECT {columns} FROM {table}", ()):
            if fits(row):
                self._new.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)
            else:
                self._done.notes.append(f"an entry of table {table} is damaged")

    def _partition(self, row: PartitionRow, topic: str, *, known: bool) -> PartitionRow:
        """``known``: the entry can be believed; else only what the batches themselves say."""
        first = row.first if known else None
        at, time, size = row.first if known else 0, row.time if known else 0, 0
        for batch in self._batches(row.tp):
            base = batch[0] & MASK
            if first is None:
                first = at = base
            if base < at:
                continue  # removed by retention
            self._mark(topic, row, at, base, batch[2])
            at, time, size = base + batch[1], max(time, batch[2]), size + self._save(batch)
            self._done.events += batch[1] if batch[3] != LOST else 0
        end = max(at, row.next) if known else at
        self._mark(topic, row, at, end, time)
        saved = PartitionRow(row.tp, row.topic, row.number, first or 0, end, time, size, row.seq if known else 0)
        self._new.execute(
            "INSERT INTO partition (tp, topic, number, first, next, time, bytes, seq, crc) VALUES (?,?,?,?,?,?,?,?,?)",
            (*saved, sealed(*saved)),
        )
        return saved

    def _save(self, batch: Row) -> int:
        """Its size. Commits now and then: nothing hangs on one transaction here, and its WAL would be a third copy."""
        self._new.execute(_INSERT, batch)
        size = len(batch[5]) + len(batch[6])
        self._unsaved += size
        if self._unsaved >= BYTES_A_COMMIT:
            self._new.execute("COMMIT")
            self._new.wal_checkpoint()
            self._progress(self._unsaved)
            self._unsaved = 0
            self._new.execute("BEGIN")
        return size

    def _mark(self, topic: str, row: PartitionRow, first: int, end: int, time: int) -> None:
        if first >= end:
            return
        at, count = key(row.tp, first), end - first
        crc = checksum(at, count, time, LOST, b"", b"")
        self._new.execute(_INSERT, (at, count, time, LOST, crc, b"", b""))
        self._done.losses.append(Loss(topic, row.number, first, end - 1))

    def _batches(self, tp: int) -> Iterator[Row]:
        """Those that are sound, in order. A broken page stops the walk; what is beyond it is reached from the end."""
        last, end, told = key(tp, 0) - 1, key(tp + 1, 0), len(self._done.notes)
        for row in self._rows(_WALK, (last, end)):
            last = row[0]
            if sound(row):
                yield row
        if len(self._done.notes) == told:
            return
        beyond = [at for (at,) in self._rows(_WALK_BACK, (last, end))]
        for at in reversed(beyond):
            yield from filter(sound, self._rows(_ONE, (at,)))

    def _rows(self, query: str, bounds: tuple[int, ...]) -> Iterator[Any]:
        try:
            yield from self._old.execute(query, bounds)
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, UnicodeDecodeError) as error:
            self._done.notes.append(f"the file cannot be followed further: {error}")


def _exchange(directory: Path, kept: Path) -> None:
    kept.mkdir()
    for suffix in ("", "-wal", "-shm"):
        if (old := directory / f"{FILE}{suffix}").exists():
            old.rename(kept / old.name)
    for suffix in ("-wal", "-shm"):
        (directory / f"{NEW}{suffix}").unlink(missing_ok=True)
    (directory / NEW).rename(directory / FILE)
    sync_folder(directory)
