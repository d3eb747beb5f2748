"""Where a runner's prints go: to standard error, each line behind the runner's name."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO

LONGEST = 8_192  # characters that are held back for the end of their line


class Prefixed(io.TextIOBase):
    """Lines are written whole, so that those of several runners do not mix. What native code prints has no prefix."""

    def __init__(self, name: str) -> None:
        self._prefix, self._begun = f"[{name}] ", ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            sys.stderr.write(f"{self._prefix}{line}\n")
        if len(self._begun) > LONGEST:
            self.write("\n")
        return len(text)

    @property
    def buffer(self) -> BinaryIO:
        return sys.stderr.buffer

    def fileno(self) -> int:
        return sys.stderr.fileno()

    def flush(self) -> None:
        sys.stderr.flush()
