"""Power loss: every write that no fsync covered is gone. Rebuilt from a trace of the system calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.log.children import finish, needs_strace, start, stored

CALL = re.compile(r"^\d+\s+(\w+)\((\d+)<([^>]*)>(.*)")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class Disk:
    """Files as the platter has them, and what is still on its way there."""

    directory: Path
    durable: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    def play(self, line: str) -> int | None:
        """Follow one call; the number that it acknowledges, if it does."""
        if not (match := CALL.match(line)):
            return None
        name, descriptor, path, rest = match.groups()
        if name == "write" and descriptor == "1":
            return int(data(rest).strip())
        if not path.startswith(str(self.directory)) or path.endswith(("-shm", ".lock")):
            return None
        if name == "pwrite64":
            offset = int(rest.rsplit(")", 1)[0].rsplit(", ", 1)[1])
            self.pending.setdefault(path, []).append((offset, data(rest)))
        elif name == "ftruncate":
            self.pending.setdefault(path, []).append((int(rest.split(")")[0].strip(", ")), b""))
        elif name in ("fdatasync", "fsync"):
            self._sync(path)
        return None

    def lose_power(self, to: Path) -> Path:
        to.mkdir()
        for path, content in self.durable.items():
            if Path(path).name in ("log.db", "log.db-wal"):
                (to / Path(path).name).write_bytes(content)
        return to

    def _sync(self, path: str) -> None:
        content = self.durable.setdefault(path, bytearray())
        for offset, written in self.pending.pop(path, []):
            if not written:
                del content[offset:]
                continue
            content.extend(b"\0" * (offset + len(written) - len(content)))
            content[offset : offset + len(written)] = written


def data(rest: str) -> bytes:
    found = STRING.search(rest)
    assert found is not None, rest
    return bytes.fromhex(found.group(1).replace("\\x", ""))


def worst_loss(tmp_path: Path, role: str) -> int:
    """Cut the power right after each acknowledgement: the most numbers that were acknowledged and are gone."""
    trace, directory = tmp_path / "trace", tmp_path / "log"
    directory.mkdir()
    calls = "trace=pwrite64,ftruncate,fdatasync,fsync,write"
    options = ["-y", "-xx", "-s", "70000", "-o", str(trace), "-e", calls]
    assert finish(start(role, directory, 0, 0, 60, strace=options))[0] == 0
    disk, worst = Disk(directory), 0
    for line in trace.read_text().splitlines():
        if (acknowledged := disk.play(unhexed(line))) is not None:
            kept = stored(disk.lose_power(tmp_path / f"after{acknowledged}"), "in").get(0, [])
            assert kept == list(range(len(kept)))
            worst = max(worst, acknowledged + 1 - len(kept))
    return worst


def unhexed(line: str) -> str:
    """``-xx`` writes paths in hexadecimal too."""
    return re.sub(
        r"<((?:\\x[0-9a-f]{2})+)>", lambda m: f"<{bytes.fromhex(m[1].replace(chr(92) + 'x', '')).decode()}>", line
    )


@needs_strace
def test_power_loss_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert worst_loss(tmp_path, "write") == 0


@needs_strace
def test_mutant_without_an_fsync_a_commit_loses_acknowledged_rows(tmp_path: Path) -> None:
    assert worst_loss(tmp_path, "write_unsynced") > 0


def test_a_trace_that_is_not_understood_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="no string here"):
        data("no string here")
