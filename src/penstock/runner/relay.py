"""What a runner writes to its standard output and error, past ``print`` too: to ours, and of a flood only so much.

Read in the parent: what a process says as it crashes is still in the pipe, and native code that writes while it holds
the interpreter waits for no thread of its own.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Thread

from ..clock import Clock, SystemClock
from .stdout import LONGEST_CHARS, Allowance

BURST_BYTES = 2 << 20  # that may come at once: more than ``stdout`` lets through, which puts a name before each line
RATE_BYTES = 128 << 10  # bytes a second, beyond that
_CHUNK = 64 << 10
_ERROR = 2  # by its number: what is written there is bytes
_GRACE_S = 0.5  # seconds that the last words have; a process that got away may hold the pipe open


class Relay:
    """``source``: the reading end of a pipe, closed once nobody has the other end any more."""

    def __init__(self, name: str, source: int, clock: Clock | None = None) -> None:
        self._name, self._source = name, source
        self._allowance = Allowance(clock or SystemClock(), BURST_BYTES, RATE_BYTES)
        self._lines = self._bytes = 0  # left out, and not told yet
        self._thread = Thread(target=self._run, name=f"relay {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Wait for the last words, a moment at most."""
        self._thread.join(_GRACE_S)

    def put(self, text: bytes) -> None:
        """Whole lines, all of them or none."""
        if not self._allowance.takes(len(text)):
            if not self._lines:
                self._say(f"writes more than {RATE_BYTES >> 10} KiB a second: from here on some of it is left out")
            self._lines, self._bytes = self._lines + text.count(b"\n"), self._bytes + len(text)
            return
        if self._lines:
            self._say(f"{self._lines:,} lines ({self._bytes:,} bytes) were left out here")
            self._lines = self._bytes = 0
        _write(text)

    def _run(self) -> None:
        begun = b""
        while chunk := os.read(self._source, _CHUNK):
            text = begun + chunk
            end = text.rfind(b"\n") + 1
            if len(text) - end > LONGEST_CHARS:
                text, end = text + b"\n", len(text) + 1
            begun = text[end:]
            if end:
                self.put(text[:end])
        if begun:
            self.put(begun + b"\n")
        os.close(self._source)

    def _say(self, what: str) -> None:
        _write(f"[{self._name}] {what}\n".encode())


def _write(text: bytes) -> None:
    with suppress(OSError):  # nobody reads it
        while text:
            text = text[os.write(_ERROR, text) :]
