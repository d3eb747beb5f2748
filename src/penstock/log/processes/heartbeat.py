"""Which processes live: a lock that the system drops when one dies, and a heartbeat that stops when one is stopped.

Neither is written to disk or to SQLite. Ages are measured by the observer's own monotonic clock, so that a jump of the
wall clock kills nobody; they only decide how soon leases move, the epoch decides who may commit.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from .directory import unusable


class Heartbeat:
    """This process's own sign of life, and its view of the others'."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder
        self._timeout = timeout
        self._seen: dict[str, tuple[int, float]] = {}  # name -> heartbeat, and when this process saw it change
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file = self._enter()

    def beat(self) -> None:
        now = time.time_ns()
        os.utime(self._file, ns=(now, now))

    def gone(self, remove: Callable[[str], None]) -> set[str]:
        """Call ``remove`` for each process that died or fell silent; returns the names of those that live.

        Raises ``LogUnusable`` when the folder or a file in it cannot be opened.
        """
        try:
            return self._gone(remove)
        except OSError as error:
            raise unusable(self._folder, error) from error

    def _gone(self, remove: Callable[[str], None]) -> set[str]:
        living, now = {self.name}, time.monotonic()
        for path in list(self._folder.iterdir()):
            if path.name.startswith(".") or path.name == self.name:
                continue
            if self._dead(path, remove):
                self._seen.pop(path.name, None)
            elif self._silent(path, now):
                remove(path.name)
            else:
                living.add(path.name)
        return living

    def leave(self) -> None:
        (self._folder / self.name).unlink(missing_ok=True)
        os.close(self._file)

    def _enter(self) -> int:
        # locked before it has its name: an unlocked file of that name is a dead process
        hidden = self._folder / f".{self.name}"
        try:
            descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            hidden.rename(self._folder / self.name)
        except OSError as error:
            raise unusable(self._folder, error) from error
        return descriptor

    @staticmethod
    def _dead(path: Path, remove: Callable[[str], None]) -> bool:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            remove(path.name)  # before its file goes, so that a crash here leaves it to the next observer
            path.unlink(missing_ok=True)
            return True
        finally:
            os.close(descriptor)

    def _silent(self, path: Path, now: float) -> bool:
        try:
            beat = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if self._seen.get(path.name, (None, 0))[0] != beat:
            self._seen[path.name] = beat, now
        return now - self._seen[path.name][1] > self._timeout
