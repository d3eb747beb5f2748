"""Processes for the crash tests to kill: ``python child.py ROLE DIRECTORY [ARGUMENT ...]``.

Each says on stdout what it was promised, one unbuffered line at a time, so that what it said is known when it dies.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pyarrow as pa

from penstock.batch import TopicSpec, Write
from penstock.errors import DiskFailed, Fenced, LogUnusable
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance
from penstock.log.sqlite import leases
from penstock.log.sqlite.store import tables
from penstock.settings import Settings

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
SETTINGS = Settings(member_timeout=1.0, poll_interval=0.2)
TOPICS = [TopicSpec("in", NUMBERS, 2), TopicSpec("out", NUMBERS, 2)]


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def rows(first: int, count: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(range(first, first + count), pa.int64())})


def opened(directory: str) -> EmbeddedLog:
    log = EmbeddedLog(Path(directory), settings=SETTINGS)
    for topic in TOPICS:
        log.create(topic)
    return log


def write(directory: str, partition: str, first: str, limit: str) -> None:
    """Numbers in order, a few a commit; says the last one of each commit once it is acknowledged."""
    log, n = opened(directory), int(first)
    while n < int(limit):
        count = min(1 + n % 7, int(limit) - n)
        log.append([Write("in", int(partition), rows(n, count))])
        n += count
        say(str(n - 1))
    log.close()


def write_through_failure(directory: str, *arguments: str) -> None:
    """A mutant: goes on after a failed fsync, as if trying again could help."""
    log, n = opened(directory), 0
    while n < 20:
        try:
            log.append([Write("in", 0, rows(n, 1))])
        except DiskFailed:
            log._engine.writer._failed = None
            continue
        say(str(n))
        n += 1


def move(directory: str, member: str, mutant: str = "") -> None:
    """A stage that copies ``in`` to ``out`` until it is killed."""
    reader_log = opened(directory)
    reader = reader_log.reader("movers", ["in"], member)
    say("ready")
    while True:
        batches = reader.read(50, 1.0)
        done = [Advance(b.topic, b.partition, b.through) for b in batches]
        outputs = [Write("out", b.partition, b.rows) for b in batches]
        try:
            if mutant == "positions first" and batches:
                reader.commit(done, [])
                os.kill(os.getpid(), signal.SIGKILL)
            reader.commit(done, outputs)
        except Fenced:
            say("fenced")


def hold(directory: str, member: str, mutant: str = "") -> None:
    """Reads, says so, and commits when told to: a process to be stopped in between."""
    if mutant == "no epoch check":
        leases.lost = lambda *_: set()
    reader = opened(directory).reader("movers", ["in"], member)
    batches = reader.read(1_000, 10.0)
    say("read")
    sys.stdin.readline()
    try:
        reader.commit(
            [Advance(b.topic, b.partition, b.through) for b in batches],
            [Write("out", b.partition, b.rows) for b in batches],
        )
        say("committed")
    except Fenced as error:
        say(f"fenced {sorted(error.lost)}")


def keep_open(directory: str) -> None:
    """While it lives, nobody recovers the WAL; and it writes nothing over what a dead writer left there."""
    _log = opened(directory)
    say("open")
    sys.stdin.readline()


def write_unsynced(directory: str, *arguments: str) -> None:
    """A mutant: what most tutorials recommend for WAL."""
    plain = tables.connect

    def connect(*args: object, **options: object) -> object:
        db = plain(*args, **options)  # type: ignore[arg-type]
        db.execute("PRAGMA synchronous=NORMAL")
        return db

    from penstock.log.sqlite.store import transaction

    vars(transaction)["connect"] = connect
    write(directory, *arguments)


if __name__ == "__main__":
    role = {f.__name__: f for f in (write, write_through_failure, write_unsynced, move, hold, keep_open)}[sys.argv[1]]
    try:
        role(*sys.argv[2:])
    except (DiskFailed, LogUnusable) as error:
        say(f"failed {error}")
        os._exit(74)
