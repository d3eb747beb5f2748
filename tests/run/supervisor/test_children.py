"""Children are real processes of a small module."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from penstock.run.supervisor.children import Child

MODULE = """
import subprocess, sys, signal, time
from pathlib import Path
mode, out = sys.argv[1], Path(sys.argv[2])
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    out.write_text("deaf")
if mode == "parent":
    out.write_text(str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid))
out.with_suffix(".plan").write_text(sys.stdin.readline())
sys.stdin.read()
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Child]]:
    (tmp_path / "small_child.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made: list[Child] = []

    def child(mode: str) -> Child:
        made.append(Child(mode, "small_child", [mode, str(tmp_path / "out")]))
        return made[-1]

    yield child
    for each in made:
        each.kill()
        wait_for_the_end(each)


def wait_for(what: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def wait_for_the_end(child: Child) -> None:
    wait_for(lambda: not child.alive or child.ended() is not None)


def end_of(child: Child) -> int:
    codes: list[int] = []

    def ended() -> bool:
        codes.extend(code for code in [child.ended()] if code is not None)
        return bool(codes)

    wait_for(ended)
    return codes[0]


def test_it_is_told_the_plan(make: Callable[[str], Child], tmp_path: Path) -> None:
    child = make("quiet")
    child.start()
    child.tell(tmp_path / "plan-1")
    wait_for(lambda: (tmp_path / "out.plan").exists() and (tmp_path / "out.plan").read_text())
    assert (tmp_path / "out.plan").read_text() == f"{tmp_path / 'plan-1'}\n"


def test_what_it_started_dies_with_it(make: Callable[[str], Child], tmp_path: Path) -> None:
    child = make("parent")
    child.start()
    wait_for(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text())
    grandchild = int((tmp_path / "out").read_text())
    os.kill(child.pid, signal.SIGKILL)
    assert end_of(child) == -signal.SIGKILL
    wait_for(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == "zombie")


def test_one_that_does_not_stop_is_killed_when_its_time_is_up(make: Callable[[str], Child], tmp_path: Path) -> None:
    child = make("deaf")
    child.start()
    wait_for((tmp_path / "out").exists)
    child.terminate(0.1)
    assert end_of(child) == -signal.SIGKILL


def test_one_that_may_stay_for_ever_is_caught(
    make: Callable[[str], Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminate = Child.terminate
    monkeypatch.setattr(Child, "terminate", lambda self, patience: terminate(self, float("inf")))
    with pytest.raises(AssertionError, match="did not happen in time"):
        test_one_that_does_not_stop_is_killed_when_its_time_is_up(make, tmp_path)
