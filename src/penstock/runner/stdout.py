"""Where a runner's prints go: to standard error, each line behind the runner's name; of a flood only so much."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO

from ..clock import Clock, SystemClock

LONGEST_CHARS = 8_192  # characters that are held back for the end of their line
BURST_CHARS = 1 << 20  # characters that may come at once
RATE_CHARS = 64 << 10  # characters a second, beyond that


class Allowance:
    """So much at once, and so much a second."""

    def __init__(self, clock: Clock, burst: int, rate: int) -> None:
        self._clock, self._burst, self._rate = clock, burst, rate
        self._room, self._at = float(burst), clock.monotonic()

    def takes(self, size: int) -> bool:
        """Is there room for it? If not, what comes next waits until there is room again, however short it is."""
        now = self._clock.monotonic()
        self._room, self._at = min(self._burst, self._room + self._rate * (now - self._at)), now
        if size > self._room:
            self._room = min(self._room, 0.0)
            return False
        self._room -= size
        return True


class Prefixed(io.TextIOBase):
    """Lines are written whole, so that those of several runners do not mix. What native code prints has no prefix.

    Of a flood the first ``BURST_CHARS`` are written, and ``RATE_CHARS`` a second; how much was left out is told.
    """

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self._prefix, self._begun = f"[{name}] ", ""
        self._allowance = Allowance(clock or SystemClock(), BURST_CHARS, RATE_CHARS)
        self._lines = self._characters = 0  # left out, and not told yet

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._put(line)
        if len(self._begun) > LONGEST_CHARS:
            self.write("\n")
        return len(text)

    @property
    def buffer(self) -> BinaryIO:
        return sys.stderr.buffer

    def fileno(self) -> int:
        return sys.stderr.fileno()

    def flush(self) -> None:
        sys.stderr.flush()

    def _put(self, line: str) -> None:
        if not self._allowance.takes(len(line) + 1):
            if not self._lines:
                self._say(f"prints more than {RATE_CHARS >> 10} KiB a second: from here on some of it is left out")
            self._lines, self._characters = self._lines + 1, self._characters + len(line)
            return
        if self._lines:
            self._say(f"{self._lines:,} lines ({self._characters:,} characters) were left out here")
            self._lines = self._characters = 0
        self._say(line)

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{self._prefix}{line}\n")
