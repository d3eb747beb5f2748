"""Starting, stopping and reading children of the crash tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.log.embedded import EmbeddedLog

CHILD = Path(__file__).with_name("child.py")

# In CI an absent strace is a failure, not a skip that nobody sees.
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None and not os.environ.get("CI"), reason="strace injects the faults"
)


def start(*arguments: object, strace: list[str] | None = None) -> subprocess.Popen[str]:
    before = ["strace", "-f", "-q", *strace] if strace is not None else []
    command = [*before, sys.executable, str(CHILD), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(child: subprocess.Popen[str], timeout: float = 60) -> tuple[int, list[str]]:
    out, _ = child.communicate(timeout=timeout)
    return child.returncode, out.split("\n")[:-1]


@contextmanager
def killed_at_last(children: list[subprocess.Popen[str]]) -> Iterator[None]:
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.communicate()


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def stored(directory: Path, topic: str) -> dict[int, list[int]]:
    """All numbers of a topic by partition, read by a fresh log with every check that reading does."""
    log = EmbeddedLog(directory)
    try:
        if topic not in {spec.name for spec in log.topics()}:
            return {}
        found: dict[int, list[int]] = {}
        reader = log.reader(None, [topic], "check")
        while batches := reader.read(10_000, 0):
            for batch in batches:
                found.setdefault(batch.partition, []).extend(pa.array(batch.rows.column("n")).to_pylist())
        return found
    finally:
        log.close()


def wait_until(what: object, timeout: float = 20) -> float:
    began = time.monotonic()
    assert callable(what)
    while not what():
        assert time.monotonic() - began < timeout, f"not within {timeout} s"
        time.sleep(0.02)
    return time.monotonic() - began
