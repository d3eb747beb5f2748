"""Some memory of a worker that outlives it: the supervisor holds it, and hands it to each life of the worker."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

HOW_BYTES = 64  # bytes at the beginning that say what ended the life before; none: nothing that concerns the next one


def make() -> int:
    """The descriptor of a file in memory without a name in the file system."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("outliving")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def died(file: int, how: str) -> None:
    os.pwrite(file, how.encode()[:HOW_BYTES].ljust(HOW_BYTES, b"\0"), 0)


def forget(file: int) -> None:
    os.ftruncate(file, 0)


@dataclass(frozen=True, slots=True)
class OutlivingSlot:
    """The ``nth`` part of so many bytes; ``how``: see ``HOW_BYTES``."""

    file: int
    nth: int
    size: int
    how: str

    @classmethod
    def of(cls, file: int, nth: int, size: int) -> OutlivingSlot:
        return cls(file, nth, size, os.pread(file, HOW_BYTES, 0).rstrip(b"\0").decode())

    def read(self) -> bytes:
        return os.pread(self.file, self.size, HOW_BYTES + self.nth * self.size).ljust(self.size, b"\0")

    def write(self, data: bytes, start: int = 0) -> None:
        os.pwrite(self.file, data, HOW_BYTES + self.nth * self.size + start)
