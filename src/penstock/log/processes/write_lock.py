"""Whose turn it is to write: a queue kept by the operating system, which also frees it when the holder dies.

SQLite's own busy handler polls and is unfair: under load its slowest commits took 25 times as long.
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from ...clock import Clock
from .directory import unusable

_RECORD = struct.Struct("<qqq")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class LockState:
    """What the lock file says. ``committed`` is the last commit that was on disk when it was written."""

    pid: int = 0  # 0: nobody is in
    number: int = 0
    committed: int = 0


class WriteLock:
    """One process at a time; its threads take turns before they come here.

    The file is never synced. As ``committed`` is written only after the commit is on disk, it can lag behind the log
    but never lead it: a log that is behind it has lost commits.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(path, error) from error
        self.last = LockState()

    def enter(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        before = read(self._file)
        self._write(LockState(os.getpid(), before.number + 1, before.committed))

    def leave(self, committed: int | None) -> None:
        """``None``: nothing was committed in this turn."""
        kept = self.last.committed if committed is None else committed
        self._write(LockState(0, self.last.number, kept))
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)

    def _write(self, turn: LockState) -> None:
        record = _RECORD.pack(turn.pid, turn.number, turn.committed)
        self.last = turn
        try:
            os.pwrite(self._file, record + _CRC.pack(crc32(record)), 0)
        except OSError:  # a full disk must not keep the lock; the record only helps to find a stuck holder
            self.last = turn


class HolderWatch:
    """For the supervisor: finds a process that went in and does not come out, stopped or hanging."""

    def __init__(self, path: Path, clock: Clock, timeout: float) -> None:
        self._path = path
        self._clock = clock
        self._timeout = timeout
        self._seen = LockState()
        self._since = clock.monotonic()

    def stuck(self) -> int | None:
        """The pid that has held the lock for longer than the timeout, to be killed; ask about once a second."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            turn, now = read(descriptor), self._clock.monotonic()
            if turn != self._seen or not turn.pid:
                self._seen, self._since = turn, now
            if now - self._since <= self._timeout or _free(descriptor):
                return None
            return turn.pid
        finally:
            os.close(descriptor)


def read(descriptor: int) -> LockState:
    """A record that is damaged, or not there yet, counts as empty."""
    raw = os.pread(descriptor, _RECORD.size + _CRC.size, 0)
    if len(raw) < _RECORD.size + _CRC.size or raw[_RECORD.size :] != _CRC.pack(crc32(raw[: _RECORD.size])):
        return LockState()
    return LockState(*_RECORD.unpack_from(raw))


def _free(descriptor: int) -> bool:
    """Whether nobody is in, whatever the record says: a killed holder leaves its name behind."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
