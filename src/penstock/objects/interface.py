"""The interface to object storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Objects(Protocol):
    """Objects are written once and never changed. For any thread, and for several processes and hosts at once.

    A name has parts of letters, digits, ``.``, ``-`` and ``_``, with ``/`` between them; none begins with a dot.
    Every method raises ``StoreUnreachable`` while the storage does not answer, and ``StoreUnusable`` when trying again
    changes nothing: no such bucket or folder, credentials missing or refused.
    """

    @property
    def place(self) -> str:
        """Where this is, as a URL without secrets."""
        ...

    def create(self, name: str, file: Path) -> bool:
        """Store the file's bytes under that name, durable on return; a crash leaves them whole or not at all.

        False: something has that name, and stays as it is. Of two who create one name at the same moment, one may
        replace the other's bytes where they are many: then give names only to what is the same for both. Raises
        ``LogFull`` without space.
        """
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes in parts, none of which is large. Raises ``NotFound`` before the first."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Of all objects below ``prefix``, which ends where a part of a name does, in any order."""
        ...
