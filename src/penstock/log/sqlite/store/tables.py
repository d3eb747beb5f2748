"""The tables of the log file, and how a connection to it is opened.

Small tables carry a checksum a row; a stored batch has its own. ``seq`` numbers commits: a reader asks which
partitions changed since the one it last saw, so that its cost does not depend on how many there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import apsw
import msgspec

from ....errors import LogUnusable

FORMAT = 1
APPLICATION = 0x50454E53  # "PENS"
FILE = "log.db"
OLDEST_SQLITE = (3, 51, 3)  # earlier ones can lose a commit when two processes write and checkpoint in WAL mode
REPAIR = "stop Penstock and run `penstock repair`, which saves what can be saved"

POSITION_BITS = 40
POSITION_LIMIT = 1 << POSITION_BITS
MASK = POSITION_LIMIT - 1

TABLES = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), seq INT, generation INT, topology INT, time INT, crc INT);
CREATE TABLE schema (id INTEGER PRIMARY KEY, ipc BLOB UNIQUE, crc INT);
CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT UNIQUE, spec BLOB, schema INT, changed INT, crc INT);
CREATE INDEX topic_changed ON topic (changed);
CREATE TABLE partition (tp INTEGER PRIMARY KEY, topic INT, number INT, first INT, next INT, time INT, bytes INT,
    seq INT, crc INT, UNIQUE (topic, number));
CREATE INDEX partition_changed ON partition (seq);
CREATE TABLE batch (id INTEGER PRIMARY KEY, count INT, time INT, schema INT, crc INT, meta BLOB, payload BLOB);
CREATE TABLE grp (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE position (grp INT, tp INT, through INT, crc INT, PRIMARY KEY (grp, tp)) WITHOUT ROWID;
CREATE TABLE lease (grp INT, tp INT, member INT, epoch INT, PRIMARY KEY (grp, tp)) WITHOUT ROWID;
CREATE TABLE member (id INTEGER PRIMARY KEY AUTOINCREMENT, grp INT, name TEXT, process TEXT, topics BLOB,
    UNIQUE (grp, name));
"""
SMALL = ("state", "schema", "topic", "partition", "grp", "position", "lease", "member")


class LogState(NamedTuple):
    """The one row that says what changed: commits, membership, topics; and the last append time."""

    seq: int = 0
    generation: int = 0
    topology: int = 0
    time: int = 0


class PartitionRow(NamedTuple):
    tp: int
    topic: int
    number: int
    first: int
    next: int
    time: int
    bytes: int
    seq: int


def sealed(*values: object) -> int:
    """The checksum of a row of a small table."""
    return crc32(msgspec.json.encode(values))


def connect(path: Path, *, readonly: bool = False, create: bool = False) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    db = apsw.Connection(str(path), flags=flags)
    db.set_busy_timeout(10_000)  # only ever met while another process recovers the WAL after a crash
    db.wal_autocheckpoint(0)  # the committer checkpoints, where an error can be seen
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute("PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=1")
    if readonly:
        db.execute("PRAGMA query_only=1; PRAGMA cache_size=-512")
    return db


def check_version(version: str) -> None:
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        raise LogUnusable(
            f"SQLite {version} can lose commits in WAL mode: install apsw {'.'.join(map(str, OLDEST_SQLITE))} or newer"
        )


def create(db: apsw.Connection) -> None:
    """Make the tables of a new file, in one transaction."""
    db.execute("PRAGMA page_size=4096")
    db.pragma("journal_mode", "wal")
    check_journal(db)
    with db:
        db.execute(TABLES)
        db.execute("INSERT INTO state (id, seq) VALUES (1, 0)")
        write_state(db, LogState())
        db.execute(f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={FORMAT}")


def is_new(db: apsw.Connection) -> bool:
    """Whether its creation never came to an end."""
    return bool(db.pragma("application_id") == 0 and db.execute("SELECT count(*) FROM sqlite_master").get == 0)


def check_journal(db: apsw.Connection) -> None:
    """SQLite answers with the old mode, and no error, when it could not change it."""
    if (mode := db.pragma("journal_mode")) != "wal":
        raise LogUnusable(f"{db.filename} is in journal mode '{mode}' instead of 'wal': check its disk; {REPAIR}")


def check(db: apsw.Connection, path: Path) -> None:
    """Refuse what is not a log of this format, and structural damage in the small tables."""
    if db.pragma("application_id") != APPLICATION:
        raise LogUnusable(f"{path} is not a Penstock log: choose another --data directory")
    if (version := db.pragma("user_version")) != FORMAT:
        raise LogUnusable(
            f"{path} has format {version} and this Penstock reads format {FORMAT}: install a newer Penstock"
        )
    check_journal(db)
    for table in SMALL:
        for (finding,) in db.execute(f"PRAGMA integrity_check({table})"):
            if finding != "ok":
                raise LogUnusable(f"{path} is damaged ({finding}): {REPAIR}")


def read_state(db: apsw.Connection) -> LogState:
    row = db.execute("SELECT seq, generation, topology, time, crc FROM state").get
    if row is None or sealed(*row[:4]) != row[4]:
        raise LogUnusable(f"the log's state is damaged: {REPAIR}")
    return LogState(*row[:4])


def write_state(db: apsw.Connection, state: LogState) -> None:
    db.execute("UPDATE state SET seq=?, generation=?, topology=?, time=?, crc=?", (*state, sealed(*state)))


def key(tp: int, position: int) -> int:
    return tp << POSITION_BITS | position
