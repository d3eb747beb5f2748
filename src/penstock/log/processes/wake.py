"""Waking readers: one datagram socket a process, and an event a waiting reader.

A datagram only says "look again", so a lost one costs a poll interval and never an event: a reader clears its bell,
looks at the log, and only then waits. Watching the WAL file instead is unsound: a change can be missed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path

from .directory import unusable

PATH_LIMIT_BYTES = 100  # bytes; the system's own limit is 104 or 108
TOPIC_LIMIT = 64  # topics named in one datagram; none named means any
QUEUE_LIMIT = 8  # datagrams waiting, from which on some may have been dropped; Linux keeps 10


class Bell:
    """Rung when one of its topics may have something new."""

    def __init__(self, topics: Collection[int]) -> None:
        self.topics = frozenset(topics)
        self.event = threading.Event()


class Wakeups:
    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._watched = folder, str(folder)
        self._name = name
        self._bells: set[Bell] = set()
        self._mutex = threading.Lock()
        self._short: Path | None = None  # a folder of its own where the data directory's path is too long
        self._socket: socket.socket | None = None
        self._poll = select.poll()  # not select(), which refuses descriptors from 1,024 on
        self._known: tuple[int, list[str]] = (-1, [])
        try:
            self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError as error:
            raise unusable(folder, error) from error
        self._out.setblocking(False)

    # -- being woken ----------------------------------------------------------

    def add(self, topics: Collection[int]) -> Bell:
        bell = Bell(topics)
        with self._mutex:
            self._bells = {*self._bells, bell}
        return bell

    def remove(self, bell: Bell) -> None:
        with self._mutex:
            self._bells = self._bells - {bell}

    def bind(self) -> None:
        """Raises ``LogUnusable`` or ``LogFull`` where no socket can be made."""
        try:
            self._bind()
        except OSError as error:
            self._unbind()
            raise unusable(self._folder, error) from error

    def _bind(self) -> None:
        path = self._folder / f"{self._name}.sock"
        if len(os.fsencode(path)) > PATH_LIMIT_BYTES:
            self._short = Path(tempfile.mkdtemp(prefix="penstock-"))
            path = self._short / "wake"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        self._poll.register(self._socket, select.POLLIN)
        if self._short is not None:
            note = self._folder / f".{self._name}"
            note.write_text(str(path))
            note.rename(self._folder / f"{self._name}.at")

    def listen(self, seconds: float) -> None:
        """Wait up to ``seconds`` for datagrams, and ring the bells that they concern."""
        assert self._socket is not None
        if not self._poll.poll(seconds * 1_000):
            return
        topics: set[int] = set()
        count, unnamed = 0, False
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self._socket.recv(4 * TOPIC_LIMIT)
                count += 1
                unnamed |= not message
                topics.update(struct.unpack(f"<{len(message) // 4}I", message))
        self.ring(None if unnamed or count >= QUEUE_LIMIT else topics)

    def interrupt(self) -> None:
        """Make ``listen`` return; from another thread of this process."""
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            self._out.sendto(b"", self._socket.getsockname())

    def ring(self, topics: Collection[int] | None) -> None:
        """In this process alone; ``None``: every bell."""
        for bell in self._bells:
            if topics is None or not bell.topics.isdisjoint(topics):
                bell.event.set()

    # -- waking others --------------------------------------------------------

    def announce(self, topics: Collection[int] | None) -> None:
        self.ring(topics)
        named = sorted(topics) if topics is not None and len(topics) <= TOPIC_LIMIT else []
        message = struct.pack(f"<{len(named)}I", *named)
        for path in self._others():
            try:
                self._out.sendto(message, path)
            except ConnectionRefusedError:
                self._forget(path)  # its process died
            except OSError:
                continue  # gone meanwhile, or its queue is full and it has cause to look already

    def _others(self) -> list[str]:
        try:
            stamp = os.stat(self._watched).st_mtime_ns  # noqa: PTH116  # a third of the time, at each commit
            if stamp != self._known[0]:
                self._known = stamp, [p for entry in self._folder.iterdir() if (p := self._address(entry))]
        except OSError:
            return self._known[1]
        return self._known[1]

    def _address(self, entry: Path) -> str | None:
        if entry.stem == self._name or entry.name.startswith("."):
            return None
        return entry.read_text() if entry.suffix == ".at" else str(entry)

    def _forget(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)
        for note in self._folder.glob("*.at"):
            with contextlib.suppress(OSError):
                if note.read_text() == path:
                    note.unlink()

    def close(self) -> None:
        self._out.close()
        self._unbind()

    def _unbind(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for suffix in ("sock", "at"):
            (self._folder / f"{self._name}.{suffix}").unlink(missing_ok=True)
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None
