import fcntl
import os
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock import tokens
from penstock.clock import SystemClock
from penstock.errors import LogUnusable
from penstock.run.compose.backends import open_log
from penstock.run.directory import DataDirectory
from penstock.settings import Settings

HOLD = """
import sys
import time
from pathlib import Path
from penstock.run.directory import DataDirectory
DataDirectory(Path(sys.argv[1])).claim()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_supervisor_is_refused_by_the_first_ones_pid(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(LogUnusable, match=f"in use by .* process id {holder.pid}; stop that one"):
            DataDirectory(tmp_path).claim()
        holder.kill()
        holder.wait()
        DataDirectory(tmp_path).claim()  # the kernel let go of what the dead one held


def test_released_it_may_be_claimed_again(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path / "new" / "one")
    first.claim()
    first.release()
    second = DataDirectory(tmp_path / "new" / "one")
    second.claim()
    second.release()


def test_without_the_lock_a_second_supervisor_would_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_second_supervisor_is_refused_by_the_first_ones_pid(tmp_path)


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.claim()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    ):
        directory.release()
        until = time.monotonic() + 5
        while True:  # a moment passes between the spawn's return and the kernel's closing of the child's copies
            try:
                directory.claim()
                break
            except LogUnusable:
                assert time.monotonic() < until, "a child holds the directory"
                time.sleep(0.01)
    directory.release()


def test_a_lock_that_children_inherit_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.open

    def inheritable(*given: Any, **named: Any) -> int:
        file = plain(*given, **named)
        os.set_inheritable(file, True)
        return file

    monkeypatch.setattr(os, "open", inheritable)
    with pytest.raises(AssertionError, match="a child holds"):
        test_the_lock_is_not_inherited(tmp_path)


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    fresh, before, other = tmp_path / "a" / "fresh", tmp_path / "before", tmp_path / "other"
    for folder, within in ((before, "log.db"), (other, "a file of the user's")):
        folder.mkdir()
        folder.chmod(0o755)
        (folder / within).touch()
    for folder, mode in ((fresh, 0o700), (before, 0o700), (other, 0o755)):
        directory = DataDirectory(folder)
        directory.claim()
        directory.release()
        assert stat.S_IMODE(folder.stat().st_mode) == mode, f"{folder} has the wrong mode"
        assert stat.S_IMODE(directory.run.stat().st_mode) == 0o700
        assert tokens.read(directory.token) == directory.secret


def test_the_logs_files_are_its_owners_alone(tmp_path: Path) -> None:
    with closing(open_log(DataDirectory(tmp_path), SystemClock(), Settings())):
        found = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert found == [], "others may read files of the log"


def test_what_an_earlier_run_left_is_swept(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.claim()
    (directory.status / "worker-1.json").write_text("{}")
    (directory.run / "plan-1").write_text("old")
    directory.release()
    directory.claim()
    assert not list(directory.status.iterdir()) and not list(directory.run.glob("plan-*"))
    directory.release()


@pytest.mark.parametrize("mode", ["file", "read-only"])
def test_what_cannot_be_a_directory_is_said_with_what_to_do(tmp_path: Path, mode: str) -> None:
    target = tmp_path / "data"
    if mode == "file":
        target.write_text("in the way")
    else:
        if os.geteuid() == 0:
            pytest.skip("root may write anywhere")
        target.mkdir(mode=0o500)
    with pytest.raises(LogUnusable, match=r"cannot be used: .*--data DIR"):
        DataDirectory(target).claim()


def test_the_last_plan_is_the_newest_that_there_is(tmp_path: Path) -> None:
    assert DataDirectory(tmp_path).last_plan is None
    directory = DataDirectory(tmp_path)
    directory.claim()
    for name, at in (("plan-9-1", 1), ("plan-9-2", 3), ("plan-10-1", 2), ("plan-10-1.notices", 4)):
        (directory.run / name).write_bytes(b"")
        os.utime(directory.run / name, (at, at))
    assert directory.last_plan == directory.run / "plan-9-2"
    directory.release()
