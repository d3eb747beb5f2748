"""One child process as the supervisor sees it: started, told the plan, found dead, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .restarts import Restarts

# One thread a library: the work scales by partitions, and idle pools cost memory. Two arenas: each thread's own
# would keep what the largest batch it ever saw needed.
ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


class Child:
    """``module`` is run as ``python -m MODULE ARGUMENTS``, by spawn, with its standard input as its lifeline."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], fds: Sequence[int] = ()) -> None:
        self.name = name
        # -P: files that lie where the user works must not shadow the modules that we import.
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._fds = tuple(fds)
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None  # asked to stop: when patience ends
        self.restarts = Restarts()

    def start(self, plan: Path | None = None) -> None:
        """With no plan yet the child prepares as far as it can, and waits for ``tell``."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            bufsize=0,
            pass_fds=self._fds,
            env=os.environ | {k: os.environ.get(k, v) for k, v in ENVIRONMENT.items()},
            start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor only
        )
        self._deadline = None
        if plan is not None:
            self.tell(plan)

    def tell(self, plan: Path) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(os.fsencode(plan) + b"\n")
        except BrokenPipeError:
            return  # already dead: the next look at it finds out why

    @property
    def pid(self) -> int:
        """0: it does not live. For any thread."""
        process = self._process
        return process.pid if process else 0

    @property
    def alive(self) -> bool:
        return self._process is not None

    @property
    def asked(self) -> bool:
        """Has it been told to stop?"""
        return self._deadline is not None

    def ended(self) -> int | None:
        """The exit code, once, when the child has ended since the last look; what it left running is killed.

        Negative: the signal that ended it. A child that stays longer than it was given is killed here.
        """
        if self._process is None:
            return None
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.kill()
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.kill()  # its runners; and before it is reaped, until when its group's number is nobody else's
        code = self._process.wait()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # what it was told and never read is lost with it
                self._process.stdin.close()
        self._process = None
        return code

    def terminate(self, patience: float) -> None:
        """Ask it to finish what it has in hand, within so many seconds. Its runners hear of it from itself."""
        if self._process is not None and self._deadline is None:
            self._deadline = time.monotonic() + patience
            os.kill(self._process.pid, signal.SIGTERM)  # not Popen.terminate, which would reap it unseen

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):  # nobody is left in the group
                os.killpg(self._process.pid, signal.SIGKILL)
