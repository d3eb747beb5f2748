"""Objects as files of a folder."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import LogFull, StoreUnreachable, StoreUnusable
from penstock.objects.folder import Folder
from penstock.objects.interface import Objects
from penstock.testing import ObjectsContract

CONTENT = b"an object" * 1_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


class TestFolder(ObjectsContract):
    @pytest.fixture
    def objects(self, folder: Path) -> Objects:
        return Folder(folder)

    def again(self, objects: Objects, tmp_path: Path) -> Objects:
        return Folder(tmp_path / "share")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, file: Path) -> None:
    objects = Folder(tmp_path / "share")
    for act in (
        lambda: objects.create("a", file),
        lambda: objects.read("a"),
        lambda: list(objects.names("")),
    ):
        with pytest.raises(StoreUnusable, match="mount it, or make it"):
            act()
    assert not (tmp_path / "share").exists()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, LogFull), (errno.EROFS, StoreUnusable), (errno.EIO, StoreUnreachable)]
)
def test_what_failed_leaves_nothing(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def fails(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(kind, match=folder.as_uri()):
        Folder(folder).create("a/b", file)
    assert list(folder.iterdir()) == []


def test_bytes_reach_the_disk_before_their_name(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the acts: the content, the name, each folder that holds the name."""
    done = []
    fsync, link = os.fsync, os.link

    def record_fsync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")
        fsync(handle)

    def record_link(source: Path, target: Path) -> None:
        done.append("name")
        link(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "link", record_link)
    Folder(folder).create("a/b/c", file)
    assert done == ["content", "name", "folder", "folder", "folder"]


# Every call by which ``create`` changes something, in order; the process is killed before the nth.
KILLED = """
import os, signal, sys, tempfile
from pathlib import Path
from penstock.objects.folder import Folder
left = int(sys.argv[3])

def counted(act):
    def do(*given, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*given, **named)
    return do

objects = Folder(Path(sys.argv[1]))
steps = {tempfile: ["mkstemp"], os: ["fchmod", "fsync", "link"], Path: ["mkdir", "unlink"]}
for owner, names in steps.items():
    for name in names:
        setattr(owner, name, counted(getattr(owner, name)))
PLANTED
objects.create("a/b", Path(sys.argv[2]))
"""

# The name before the bytes: what a copy in place does.
IN_PLACE = """
def create(name, file):
    place = Path(sys.argv[1], name)
    place.parent.mkdir(parents=True)
    with place.open("wb") as target:
        target.write(file.read_bytes()[:4_000])
        target.flush()
        os.fsync(target.fileno())
        target.write(file.read_bytes()[4_000:])
objects.create = create
"""


def killed_at_every_step(folder: Path, file: Path, planted: str = "") -> list[bytes]:
    """What others find under the name after each kill; the last run is not killed."""
    found = []
    for step in range(20):
        share = folder / str(step)
        share.mkdir()
        command = [sys.executable, "-c", KILLED.replace("PLANTED", planted), str(share), str(file), str(step)]
        code = subprocess.run(command, check=False, timeout=120).returncode
        found += [b"".join(Folder(share).read(name)) for name in Folder(share).names("")]
        if code == 0:
            return found
        assert code == -signal.SIGKILL
    raise AssertionError("it never came to its end")


def test_killed_at_every_step_leaves_it_whole_or_not_at_all(folder: Path, file: Path) -> None:
    found = killed_at_every_step(folder, file)
    assert len(found) >= 3
    assert set(found) == {CONTENT}


def test_a_copy_in_place_is_found_out(folder: Path, file: Path) -> None:
    assert set(killed_at_every_step(folder, file, IN_PLACE)) != {CONTENT}


def test_what_a_killed_process_left_is_removed_after_a_day(folder: Path) -> None:
    left = [folder / ".incoming-old", folder / ".incoming-new"]
    for path in left:
        path.write_bytes(b"half")
    os.utime(left[0], (0, 0))
    assert list(Folder(folder).names("")) == []
    assert list(folder.iterdir()) == [left[1]]
