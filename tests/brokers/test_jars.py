"""The jars are fetched once, whole or not at all; what a machine lacks is told."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.brokers import jars
from tests.brokers.cluster import PATIENCE
from tests.brokers.fixtures import or_skip
from tests.brokers.node import ENDS_WITH_ITS_PARENT

MAVEN = """#!/bin/sh
echo called >> "{calls}"
for given in "$@"; do
  case "$given" in -DoutputDirectory=*) into="${{given#*=}}" ;; esac
done
mkdir -p "$into" && echo 1 > "$into/first.jar"
sleep 0.5
{end}
echo 2 > "$into/second.jar"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str = "") -> Path:
    """Put a Maven of our own ahead of the real one; the file that is returned has a line a call."""
    calls = tmp_path / "calls"
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(MAVEN.format(calls=calls, end=end))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return calls


def found() -> list[str]:
    jars.classpath.cache_clear()
    try:
        return [Path(jar).name for jar in jars.classpath().split(os.pathsep)]
    finally:
        jars.classpath.cache_clear()


def test_processes_that_start_together_fetch_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with or_skip():
        jars.look_at_java()
    calls = maven(tmp_path, monkeypatch)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        results = [pool.apply_async(found) for _ in range(3)]
        assert [result.get(PATIENCE) for result in results] == [["first.jar", "second.jar"]] * 3
    assert calls.read_text().split() == ["called"]


def test_a_fetch_that_broke_off_leaves_nothing(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with or_skip():
        jars.look_at_java()
    maven(tmp_path, monkeypatch, end="echo the line is cut; exit 1")
    with pytest.raises(jars.Missing, match="the line is cut"):
        found()
    assert [path.name for path in cache.iterdir()] == ["fetching.lock"]


def test_an_absent_tool_skips_on_a_laptop_and_fails_in_ci(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no java"), or_skip():
        found()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no java"), or_skip():
        found()


def test_a_broker_ends_with_the_process_that_started_it() -> None:
    starts = (
        "import subprocess, sys, time\n"
        f"broker = subprocess.Popen(['sh', '-c', {ENDS_WITH_ITS_PARENT!r}, 'sh', 'sleep', '600'],\n"
        "    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)\n"
        "print(broker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        broker = int(parent.stdout.readline())
        assert _runs(broker)
        parent.send_signal(signal.SIGKILL)
    try:
        limit = time.monotonic() + PATIENCE
        while _runs(broker):
            assert time.monotonic() < limit, "it outlived its parent"
            time.sleep(0.05)
    finally:
        if _runs(broker):
            os.killpg(broker, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
