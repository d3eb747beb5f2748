"""Directories that will not do: refused with a word on what to do, and left as they were."""

from __future__ import annotations

import errno
import itertools
import os
import resource
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import apsw
import msgspec
import psutil
import pytest

from penstock.errors import DiskFailed, LogError, LogFull, LogUnusable
from penstock.log.embedded import EmbeddedLog
from penstock.log.processes.directory import file_system, unusable
from penstock.log.processes.heartbeat import Heartbeat
from penstock.log.processes.wake import Wakeups
from penstock.log.sqlite.store import tables
from penstock.testing.log_contract import drain, numbers, values, write


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(LogUnusable, match="a file stands in its way"):
        EmbeddedLog(tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype=kind)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    with pytest.raises(LogUnusable, match=r"network file system \(" + kind):
        EmbeddedLog(tmp_path / "data")
    assert not (tmp_path / "data" / "log.db").exists()


def test_the_innermost_mount_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [("/", "nfs"), (str(tmp_path), "ext4"), (str(tmp_path / "other"), "cifs")]
    monkeypatch.setattr(
        psutil, "disk_partitions", lambda all: [SimpleNamespace(mountpoint=m, fstype=k) for m, k in mounts]
    )
    assert file_system(tmp_path / "data") == "ext4"


def test_a_newer_format(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path)) as log:
        log.create(numbers())
    db = apsw.Connection(str(tmp_path / "log.db"))
    db.pragma("user_version", tables.FORMAT + 1)
    db.close()
    with pytest.raises(LogUnusable, match="install a newer Penstock"):
        EmbeddedLog(tmp_path)


def test_a_database_of_something_else(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "log.db"))
    db.execute("CREATE TABLE precious (n)")
    db.close()
    with pytest.raises(LogUnusable, match="not a Penstock log"):
        EmbeddedLog(tmp_path)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_text("precious " * 1_000)
    with pytest.raises(LogUnusable, match="damaged"):
        EmbeddedLog(tmp_path)
    assert (tmp_path / "log.db").read_text() == "precious " * 1_000


@pytest.mark.parametrize("version", ["3.7.0", "3.51.2", "3.9.9"])
def test_a_sqlite_that_can_lose_commits(tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    with pytest.raises(LogUnusable, match=version):
        EmbeddedLog(tmp_path)


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        (errno.EACCES, LogUnusable, "change its owner"),
        (errno.EROFS, LogUnusable, "read-only"),
        (errno.ENOSPC, LogFull, "free some"),
        (errno.ENAMETOOLONG, LogUnusable, "name too long"),
    ],
)
def test_the_systems_refusals_in_words(code: int, kind: type[LogError], advice: str) -> None:
    error = unusable(Path("/data"), OSError(code, os.strerror(code)))
    assert type(error) is kind and advice.lower() in str(error).lower()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LogUnusable, match="change its owner"):
        EmbeddedLog(tmp_path / "data")


def limit_that_leaves(spare: int) -> int:
    """So many descriptors more may be opened, whichever are in use now and wherever there are holes between them."""
    used = {int(place.name) for place in Path("/dev/fd").iterdir()}
    free = (number for number in itertools.count() if number not in used)
    return next(itertools.islice(free, spare, None))


def test_too_many_open_files_are_told_whichever_one_is_too_many(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path)) as log:
        log.create(numbers())
    before, reached = resource.getrlimit(resource.RLIMIT_NOFILE), set()
    for spare in range(40):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit_that_leaves(spare), before[1]))
            with closing(EmbeddedLog(tmp_path)) as log:
                reached.add("opened")
                log.reader("g", ["t"], "m")
                reached.add("read")
        except LogError as error:
            reached.add("ulimit" if "ulimit -n" in str(error) else str(error))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert len(list((tmp_path / "members").iterdir())) == 0, "left something behind"
    assert {"ulimit", "opened", "read"} <= reached


def test_a_member_file_or_a_socket_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(LogUnusable, match="cannot use"):
        Heartbeat(tmp_path / "gone", 1)
    with closing(Wakeups(tmp_path / "gone", "me")) as wakeups, pytest.raises(LogUnusable, match="cannot use"):
        wakeups.bind()


def test_creation_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    db = tables.connect(tmp_path / "log.db", create=True)
    db.pragma("journal_mode", "wal")
    db.close()
    with closing(EmbeddedLog(tmp_path)) as log:
        log.create(numbers())
        log.append([write([1])])


def test_after_a_failed_write_every_call_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(EmbeddedLog(tmp_path)) as log:
        log.create(numbers())
        reader = log.reader("g", ["t"], "m")

        def broken(_db: object) -> None:
            raise apsw.IOError("planted")

        with pytest.raises(DiskFailed, match="must stop"):
            log._engine.change(broken, [])
        for act in (lambda: log.append([write([1])]), lambda: reader.read(1, 0), lambda: log.create(numbers("u"))):
            with pytest.raises(DiskFailed):
                act()
        with pytest.raises(DiskFailed):
            log.reader("g", ["t"], "n")
        with pytest.raises(DiskFailed):
            log.topics()
    with closing(EmbeddedLog(tmp_path)) as log:
        assert drain(log.reader("g", ["t"], "m")) == []


def test_a_wal_stays_small_while_a_reader_keeps_up(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path)) as log:
        log.create(numbers())
        reader = log.reader("g", ["t"], "m")
        for n in range(0, 6_000_000, 100_000):
            log.append([write(range(n, n + 100_000))])
            reader.read(1_000, 0)
        assert (tmp_path / "log.db").stat().st_size > 30_000_000
        assert (tmp_path / "log.db-wal").stat().st_size < 25_000_000


def test_a_deep_data_directory_still_wakes_its_readers(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 60)
    with closing(EmbeddedLog(deep)) as log, closing(EmbeddedLog(deep)) as other:
        log.create(numbers())
        reader = log.reader("g", ["t"], "m")
        assert list((deep / "wake").glob("*.at"))
        other.append([write([1])])
        assert values(reader.read(10, 5)) == [1]
    assert not list((deep / "wake").iterdir()) and not list((deep / "members").iterdir())


def test_the_encoding_of_a_topic_is_kept(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path)) as log:
        log.create(replace(numbers(), encoding="json"))
    with closing(EmbeddedLog(tmp_path)) as log:
        assert [topic.encoding for topic in log.topics()] == ["json"]
        log.create(numbers())
        assert [topic.encoding for topic in log.topics()] == ["arrow"]


def test_a_file_of_before_encodings_were_kept(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path)) as log:
        log.create(numbers(key="n", retain_us=60_000_000))
    with closing(apsw.Connection(str(tmp_path / "log.db"))) as db:
        row = db.execute("SELECT id, name, spec, schema FROM topic").get
        older = msgspec.json.encode(msgspec.json.decode(row[2])[:4])
        crc = tables.sealed(row[0], row[1], older, row[3])
        db.execute("UPDATE topic SET spec = ?, crc = ?", (older, crc))
    with closing(EmbeddedLog(tmp_path)) as log:
        (topic,) = log.topics()
        assert (topic.key, topic.retain_us, topic.encoding) == ("n", 60_000_000, "arrow")
