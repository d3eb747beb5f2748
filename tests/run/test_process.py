"""A child never outlives the supervisor, whichever of its two ties holds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from penstock.run.directory import DataDirectory
from penstock.run.process import StageStatus, reporting, write_status

CHILD = """
import sys, time
from pathlib import Path
from penstock.run import process
from penstock.run.directory import DataDirectory
if sys.argv[2] == "lifeline only":
    process.die_with_parent = lambda: None
if sys.argv[2] == "kernel only":
    process._watch_lifeline = lambda: time.sleep(60)
me = process.ChildProcess("worker-1", DataDirectory(Path(sys.argv[1])))
print(me.plan().decode(), flush=True)
me.stop.wait(60)
print("stopped", flush=True)
"""

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[3], *sys.argv[1:3]], stdin=subprocess.PIPE)
child.stdin.write(sys.argv[4].encode() + b"\\n")
child.stdin.flush()
print(child.pid, flush=True)
child.wait()
"""

REPORTS = """
import os, sys
from pathlib import Path
from penstock.run.directory import DataDirectory
from penstock.run.process import ChildProcess, StageStatus
me = ChildProcess("worker-1", DataDirectory(Path(sys.argv[1])))
file = me.directory.status / "worker-1.json"
ready = {"prepare": StageStatus(True)}
me.report(ready)
first = file.stat().st_ino
os.utime(file, (0, 0))
me.report(dict(ready))
print(file.stat().st_ino == first, file.stat().st_mtime > 0)
me.report({"prepare": StageStatus(False, "no version yet")})
print("no version yet" in file.read_text())
file.unlink()
me.report({"prepare": StageStatus(False, "no version yet")})
me.report({"prepare": StageStatus(False, "no version yet")})
print("no version yet" in file.read_text())
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "plan-1").write_text("the plan")
    return tmp_path / "plan-1"


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("tie", ["lifeline only", "kernel only", "both"])
def test_a_child_dies_with_a_killed_supervisor(tmp_path: Path, plan: Path, tie: str) -> None:
    if tie == "kernel only" and sys.platform != "linux":
        pytest.skip("Linux only")
    command = [sys.executable, "-c", PARENT, str(tmp_path), tie, CHILD, str(plan)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = {parent.stdout.readline().strip() for _ in range(2)}
        child = int(next(line for line in said if line.isdigit()))
        assert "the plan" in said
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until = time.monotonic() + 5
        while not gone(child):
            assert time.monotonic() < until, "it outlived its parent"
            time.sleep(0.01)


def test_a_child_stops_when_told_and_not_on_ctrl_c(tmp_path: Path, plan: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path), "both"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(os.fsencode(plan) + b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"the plan\n"
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == b"stopped\n" and child.wait() == 0


def test_a_status_is_this_processs_own(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.claim()
    assert not reporting(directory, "worker-1", os.getpid())
    write_status(directory, "worker-1", {"prepare": StageStatus(False, "no version yet", 3)})
    assert reporting(directory, "worker-1", os.getpid())
    assert not reporting(directory, "worker-1", os.getpid() + 1)
    written = json.loads((directory.status / "worker-1.json").read_text())
    assert written["role"] == "worker-1" and written["stages"]["prepare"]["reason"] == "no version yet"
    directory.release()


def test_a_report_is_written_when_it_is_new_and_otherwise_only_its_time(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.claim()
    command = [sys.executable, "-c", REPORTS, str(tmp_path)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert told.split() == ["True", "True", "True", "True"]
    directory.release()


FAILS = """
import threading, time
from penstock.run import process
threading.Thread(target=time.sleep, args=(600,)).start()
with process.ended_by_failure():
    raise RuntimeError("of the main thread")
"""


def ends_with_its_main_thread(code: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        said = iter(child.stderr.readline, "")
        assert any("of the main thread" in line for line in said)
        try:
            code_of_exit = child.wait(5)
        except subprocess.TimeoutExpired:
            code_of_exit = None
        assert code_of_exit == 1, "its other threads go on"
    finally:
        child.kill()
        child.communicate()


def test_a_process_whose_main_thread_fails_ends() -> None:
    ends_with_its_main_thread(FAILS)


def test_mutant_whose_threads_go_on_is_caught() -> None:
    with pytest.raises(AssertionError, match="its other threads go on"):
        ends_with_its_main_thread(FAILS.replace("process.ended_by_failure()", "process.explained()"))
