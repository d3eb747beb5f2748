"""Artifacts on disk under the name of their content: a file is its SHA-256, or it is damaged."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ArtifactDamaged, LogFull, NotFound, TooLarge

CHUNK = 1 << 20
LIMIT_BYTES = 1 << 30  # bytes of one artifact, where the settings do not say
ABANDONED_S = 86_400  # seconds after which a half-written file is nobody's any more
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Stored:
    """``mark`` names this very storing, for ``forget``; None: the bytes were there before."""

    digest: str
    mark: int | None


class Artifacts:
    """A content-addressed store: ``root/sha256/ab/ab12…``. Safe for several processes at once.

    A name appears only once all of its bytes are on disk: a crash leaves a whole artifact or none.
    """

    def __init__(self, root: Path, *, limit: int = LIMIT_BYTES, hint: str = "") -> None:
        """``hint``: what to do about an artifact that is not there, for the message."""
        self._root = root / "sha256"
        self._incoming = root / "incoming"
        self._limit = limit
        self._hint = hint
        for folder in (self._root, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def put(self, source: Path | bytes | BinaryIO | Iterable[bytes]) -> str:
        """Store and return the SHA-256 in hex, durable on return. The same bytes again change nothing.

        Raises ``TooLarge`` beyond the limit and ``LogFull`` without space; nothing is kept then.
        """
        return self.store(source).digest

    def store(self, source: Path | bytes | BinaryIO | Iterable[bytes]) -> Stored:
        """As ``put``, for who may have to ``forget`` it."""
        return self._keep(chunks(source))

    def forget(self, stored: Stored) -> None:
        """Give back the space of what was refused, unless others stored the same bytes before or since.

        The caller has seen that no version has this digest, and that no registration of it waits for its answer.
        """
        place, aside = self._place(stored.digest), self._incoming / f"{stored.digest}.refused"
        with suppress(FileNotFoundError):
            if stored.mark is None or place.stat().st_ino != stored.mark:
                return
            place.rename(aside)
            if aside.stat().st_ino == stored.mark:
                aside.unlink()
            else:  # stored again between the two looks
                aside.replace(place)

    def path(self, digest: str, *, model: str) -> Path:
        """Where that artifact is. Raises ``NotFound`` naming ``model``."""
        if DIGEST.fullmatch(digest) and (path := self._place(digest)).is_file():
            return path
        hint = f"; {self._hint}" if self._hint else ""
        raise NotFound(f"model {model}: no artifact sha256:{digest} in {self._root}{hint}")

    def checked(self, digest: str, *, model: str) -> Path:
        """Its path, after reading it through. Raises ``NotFound``, and ``ArtifactDamaged`` naming ``model``."""
        return verify(self.path(digest, model=model), digest, model=model)

    def digests(self) -> Iterator[str]:
        """Of all that are in this folder."""
        return (path.name for path in self._root.glob("??/*"))

    def _keep(self, parts: Iterable[bytes], check: Callable[[str], None] = lambda digest: None) -> Stored:
        """``check`` may raise for a digest; then nothing gets a name."""
        handle, name = tempfile.mkstemp(dir=self._incoming)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as target:
                digest = self._write(parts, target)
            check(digest)
            new = not self._place(digest).exists()
            mark = temporary.stat().st_ino
            self._publish(temporary, digest)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LogFull(f"no space left for an artifact in {self._root}") from error
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return Stored(digest, mark if new else None)

    def _place(self, digest: str) -> Path:
        return self._root / digest[:2] / digest

    def _write(self, parts: Iterable[bytes], target: BinaryIO) -> str:
        sha, size = hashlib.sha256(), 0
        for part in parts:
            size += len(part)
            if size > self._limit:
                raise TooLarge(f"an artifact may have {self._limit} bytes; this one has more")
            sha.update(part)
            target.write(part)
        target.flush()
        os.fsync(target.fileno())
        return sha.hexdigest()

    def _publish(self, temporary: Path, digest: str) -> None:
        # The order is the promise: bytes on disk (done), then the name, then the directories that hold the name.
        # Replacing also mends an artifact that was damaged since.
        place = self._place(digest)
        place.parent.mkdir(exist_ok=True)
        temporary.chmod(0o400)
        temporary.replace(place)
        sync_directory(place.parent)
        sync_directory(self._root)

    def _sweep(self) -> None:
        for left in self._incoming.iterdir():
            if time.time() - left.stat(follow_symlinks=False).st_mtime > ABANDONED_S:
                left.unlink(missing_ok=True)


def verify(path: Path, digest: str, *, model: str) -> Path:
    """The same path if its bytes have that SHA-256. Raises ``ArtifactDamaged`` with both digests."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtifactDamaged(f"model {model}: its artifact {path} is gone; register it again") from None
    if found != digest:
        raise ArtifactDamaged(
            f"model {model}: the artifact {path} has sha256:{found}, registered was sha256:{digest}; "
            "it is not loaded: restore the file or register it again"
        )
    return path


def chunks(source: Path | bytes | BinaryIO | Iterable[bytes]) -> Iterable[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb") as file:
            yield from chunks(file)
    elif (read := getattr(source, "read", None)) is not None:
        while part := read(CHUNK):
            yield part
    else:
        yield from source


def sync_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
