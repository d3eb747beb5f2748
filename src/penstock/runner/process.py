"""The child as the operating system sees it: how it starts, what it holds, and that nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock

import psutil

from ..telemetry import LOG_ENV
from .orphans import adopt_orphans
from .relay import Relay

PROCESS_LIMIT = 64  # a runner and all it started; more is a fork bomb
HUNTS = 20  # rounds of looking for what it left behind
ONE_THREAD = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)

_births = Lock()  # held while a runner is started: until it is known it looks like something left behind
_runners: set[int] = set()
_adopting = False


class RunnerProcess:
    """One runner child: a session of its own, killed as a whole.

    ``given`` are the descriptors it inherits. It also inherits the reading end of a pipe that nobody writes to: when
    this process dies, however it does, the kernel tells the child's whole group (``main.die_with``).
    """

    def __init__(self, name: str, sock: socket.socket, given: Sequence[int]) -> None:
        lifeline, self._hold = os.pipe()
        fds = [sock.fileno(), lifeline, *given]
        said, saying = os.pipe()
        command = [sys.executable, "-P", "-m", "penstock.runner.main", ",".join(map(str, fds)), name]
        try:
            with _births:
                self._popen = subprocess.Popen(
                    command,
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stderr=saying,
                    pass_fds=fds,
                    start_new_session=True,
                )
                _runners.add(self._popen.pid)
        except BaseException:
            os.close(self._hold)
            os.close(said)
            raise
        finally:
            os.close(lifeline)
            os.close(saying)
        self._relay = Relay(name, said)
        self._relay.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def excess(self, memory: int) -> str | None:
        """What the child and all it started hold beyond the limits, in words; None: nothing."""
        family = list(islice(_family(self.pid), PROCESS_LIMIT + 1))
        if len(family) > PROCESS_LIMIT:
            return f"it started more than {PROCESS_LIMIT} processes"
        total = sum(map(_resident, family))
        if total > memory:
            return f"it used {total >> 20} MiB of memory, the limit is {memory >> 20} MiB"
        return None

    def how_it_ended(self) -> str:
        """Waits a second for the end that a closed socket announces."""
        try:
            code = self._popen.wait(1.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code >= 0:
            return f"it exited with status {code}"
        name = signal.Signals(-code).name
        return f"it was killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")

    def wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)

    def kill(self) -> None:
        """End it and everything it started, also what went into another session. Harmless when it is dead."""
        if self.alive():
            # Whoever left the group is still below the child, which adopts orphans: so the child dies last, and is
            # stopped meanwhile.
            _signal(self.pid, signal.SIGSTOP)
            kill_strays(self.pid)
        kill_group(self.pid)
        self._popen.wait()
        with _births:
            _runners.discard(self.pid)
            if _adopting:
                _end_adopted()
        self._relay.finish()
        os.close(self._hold)


def adopt_strays() -> None:
    """For a process that starts nothing but runners: what one of them leaves behind when it dies by itself comes to
    this process, and is ended."""
    global _adopting
    adopt_orphans()
    _adopting = True


def _end_adopted() -> None:
    """Every child that is no runner. Killed ones are waited for: nobody else would, and their children come next."""
    for _ in range(HUNTS):
        found = [pid for pid in _children(os.getpid()) if pid not in _runners]
        if not found:
            return
        for pid in found:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.005)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def kill_strays(pid: int) -> None:
    """Everything below that process. A group is killed at once, and a fork cannot slip through; these are hunted in
    rounds."""
    seen = {pid}
    for _ in range(HUNTS):
        found = set(_family(pid)) - seen
        if not found:
            return
        for each in found:
            _signal(each, signal.SIGKILL)
        seen |= found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Ours without Penstock's own settings and secrets but how lines are logged, and with one thread a library."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_") or k == LOG_ENV}
    if sys.stderr.isatty():  # the child sees a pipe, and would take that for a file
        mine.setdefault(LOG_ENV, "text")
    return mine | dict.fromkeys(ONE_THREAD, "1")


def _family(pid: int) -> Iterator[int]:
    """The process and its descendants; those that end meanwhile may be missing."""
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():
        yield from _family_by_scan(pid)
        return
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        yield parent
        waiting += _children(parent)


def _children(parent: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def _family_by_scan(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(psutil.Error):
        yield from (p.pid for p in psutil.Process(pid).children(recursive=True))


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def shared_file(name: str) -> int:
    """A file in memory without a name in the file system, for two processes that hold its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
