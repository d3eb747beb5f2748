"""Objects as files of a folder, such as one on a network file system that every host mounts.

It is written here, and not obstore's, which gives a file its name before its bytes are on disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import LogFull, NotFound, StoreUnreachable, StoreUnusable

PART = 1 << 20
INCOMING = ".incoming-"
ABANDONED_S = 86_400  # seconds after which a half-written file is nobody's any more
LASTING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


class Folder:
    """``Objects`` in a folder, which is never made: one that is missing may be a share that is not mounted."""

    def __init__(self, root: Path) -> None:
        """Asks nothing of the folder yet but to be rid of what was left in it."""
        self._root = root
        with suppress(OSError):
            self._sweep()

    @property
    def place(self) -> str:
        return self._root.as_uri()

    def create(self, name: str, file: Path) -> bool:
        with file.open("rb") as source, self._told():
            handle, incoming = tempfile.mkstemp(dir=self._root, prefix=INCOMING)
            temporary = Path(incoming)
            try:
                with os.fdopen(handle, "wb") as target:
                    shutil.copyfileobj(source, target, PART)
                    target.flush()
                    os.fchmod(target.fileno(), 0o444)  # hosts may run under several users
                    os.fsync(target.fileno())
                return self._name(temporary, self._root / name)
            finally:
                temporary.unlink(missing_ok=True)

    def read(self, name: str) -> Iterator[bytes]:
        with self._told():
            try:
                file = (self._root / name).open("rb")
            except FileNotFoundError:
                raise NotFound(f"no object {name} in {self.place}") from None
        return self._parts(file)

    def names(self, prefix: str) -> Iterator[str]:
        with self._told():
            for folder, _, files in os.walk(self._root / prefix):
                yield from (
                    (Path(folder) / file).relative_to(self._root).as_posix()
                    for file in files
                    if not file.startswith(INCOMING)
                )

    def _parts(self, file: BinaryIO) -> Iterator[bytes]:
        with self._told(), file:
            while part := file.read(PART):
                yield part

    def _name(self, temporary: Path, place: Path) -> bool:
        # The order is the promise: bytes on disk (done), then the name, then the directories that hold the name. Also
        # for a name that another has given: it may not have come so far.
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(temporary, place)
            created = True
        except FileExistsError:
            created = False
        folder = place.parent
        while folder != self._root.parent:
            _sync(folder)
            folder = folder.parent
        return created

    def _sweep(self) -> None:
        for left in self._root.glob(f"{INCOMING}*"):
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                left.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        if not self._root.is_dir():
            raise StoreUnusable(f"there is no folder {self._root}: mount it, or make it")
        try:
            yield
        except OSError as error:
            where = f"{self.place}: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LogFull(f"no space left in {where}") from error
            if error.errno in LASTING:
                raise StoreUnusable(
                    f"{where} ({error.filename}): give this process the right to read and write"
                ) from error
            raise StoreUnreachable(where) from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
