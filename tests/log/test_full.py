"""A full disk: refused with a word on what to do, nothing half stored, and working again without a restart."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.batch import AppendResult, TopicSpec, Write
from penstock.errors import DiskFailed, LogFull
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("ballast", pa.binary())])


@pytest.fixture
def small() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # of a short path: with a long one the log needs a little more space
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", folder], capture_output=True)
        if mounted.returncode:
            pytest.skip("only root can make a small disk")
        yield Path(folder)
        subprocess.run(["umount", "-l", folder], check=True)


def row(n: int, size: int = 20_000) -> Write:
    return Write("t", 0, pa.record_batch({"n": pa.array([n]), "ballast": [os.urandom(size)]}, schema=SCHEMA))


def fill(log: EmbeddedLog, first: int) -> int:
    """The number after the last acknowledged."""
    for n in range(first, first + 10_000):
        try:
            log.append([row(n)])
        except LogFull as error:
            assert "free some" in str(error)
            return n
    raise AssertionError("never full")


def refuses_keeps_and_recovers(small: Path, opened: type[EmbeddedLog]) -> None:
    ballast = small / "ballast"
    ballast.write_bytes(bytes(3_000_000))
    with closing(opened(small / "log")) as log:
        log.create(TopicSpec("t", SCHEMA, 1))
        n = fill(log, 0)
        for _ in range(20):
            with pytest.raises(LogFull):
                log.append([row(n, 400_000)])
        assert read_all(small / "log") == list(range(n)), "reading needs no space"
        ballast.unlink()
        more = fill(log, n)
    assert more > n + 50, "space came back, and appends did not"
    assert read_all(small / "log") == list(range(more))


def test_a_full_disk_refuses_keeps_and_recovers(small: Path) -> None:
    refuses_keeps_and_recovers(small, EmbeddedLog)


def read_all(directory: Path) -> list[int]:
    found: list[int] = []
    with closing(EmbeddedLog(directory)) as log:
        reader = log.reader(None, ["t"], "m")
        while batches := reader.read(1_000, 0):
            found += [x for b in batches for x in b.rows.column("n").to_pylist()]
    return found


def test_opening_on_a_full_disk_says_so(small: Path) -> None:
    (small / "ballast").write_bytes(bytes(8 * 1024 * 1024 - 60_000))
    with pytest.raises(LogFull, match="free some"):
        EmbeddedLog(small / "log")
    (small / "ballast").unlink()
    with closing(EmbeddedLog(small / "log")) as log:
        log.create(TopicSpec("t", SCHEMA, 1))
        log.append([row(0)])
        reader = log.reader("g", ["t"], "m")
        (batch,) = reader.read(10, 0)
        reader.commit([Advance("t", 0, batch.through)], [])


# -- mutants ------------------------------------------------------------------


class Swallowing(EmbeddedLog):
    """Acknowledges what there was no space for."""

    swallowed = 0

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        try:
            return super().append(writes)
        except LogFull:
            self.swallowed += 1
            if self.swallowed > 3:
                raise
            return [AppendResult(w.topic, w.partition, 0, 0, w.rows.num_rows) for w in writes]


class Ending(EmbeddedLog):
    """Takes a full disk for a broken one, after which the process must end."""

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        try:
            return super().append(writes)
        except LogFull as error:
            self._engine.writer._failed = DiskFailed(str(error))
            raise


def test_an_append_acknowledged_and_not_stored_is_caught(small: Path) -> None:
    with pytest.raises(AssertionError, match="reading needs no space"):
        refuses_keeps_and_recovers(small, Swallowing)


def test_a_log_that_ends_when_the_disk_is_full_is_caught(small: Path) -> None:
    with pytest.raises(DiskFailed):
        refuses_keeps_and_recovers(small, Ending)
