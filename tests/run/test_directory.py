import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import LogUnusable
from penstock.run.directory import DataDirectory

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
