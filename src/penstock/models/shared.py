"""Artifacts in object storage, so that every host loads what any host has registered."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..errors import ArtifactDamaged, NotFound, StoreError, TooLarge
from ..objects.interface import Objects
from ..telemetry import logger
from .artifacts import DIGEST, LIMIT_BYTES, Artifacts, Stored

FOLDER = "sha256"

log = logger(__name__)


class SharedArtifacts(Artifacts):
    """A store, and a folder of this host that keeps what was put or fetched here. Safe for several hosts at once.

    What is in the folder is read from there, also while the store is away.
    """

    def __init__(self, cache: Path, store: Objects, *, limit: int = LIMIT_BYTES) -> None:
        super().__init__(cache, limit=limit)
        self._store = store

    def store(self, source: Path | bytes | BinaryIO | Iterable[bytes]) -> Stored:
        """As ``Artifacts.store``; durable in the store on return.

        Raises ``StoreError`` too, and ``ArtifactDamaged`` when the store has other bytes under this digest.
        """
        stored = super().store(source)
        self._share(stored.digest, self._place(stored.digest))
        return stored

    def path(self, digest: str, *, model: str) -> Path:
        """Where that artifact is on this host; it is fetched when it is not.

        Raises ``NotFound``, ``ArtifactDamaged`` or ``StoreError``, naming ``model`` and where it should be.
        """
        try:
            found = super().path(digest, model=model)
        except NotFound:
            if not DIGEST.fullmatch(digest):
                raise
            return self._fetch(digest, model)
        with suppress(OSError):  # a disk that is full keeps nobody from reading
            os.utime(found)  # what was used last is kept longest; see ``trim``
        return found

    def take_in(self, local: Artifacts) -> None:
        """Share what this host registered while it had no store. Raises ``StoreError``, also when there is nothing."""
        there = {name.rpartition("/")[2] for name in self._store.names(FOLDER)}
        for digest in set(local.digests()) - there:
            try:
                self._share(digest, local.checked(digest, model="that this host had before"))
            except ArtifactDamaged as error:
                log.warning("an artifact is not shared", reason=str(error))

    def _share(self, digest: str, file: Path) -> None:
        name = _name(digest)
        if not self._store.create(name, file) and (found := _digest(self._store.read(name))) != digest:
            raise ArtifactDamaged(
                f"the artifact {self._store.place}/{name} has sha256:{found}; delete that object and try again"
            )

    def _fetch(self, digest: str, model: str) -> Path:
        """To disk first, and it gets its name once its bytes are those of its digest."""
        place, name = self._place(digest), _name(digest)
        where = f"{self._store.place}/{name}"
        with self._alone(digest):
            if place.is_file():
                return place
            try:
                self._keep(self._store.read(name), partial(_same, digest, where, model))
            except NotFound:
                raise NotFound(
                    f"model {model}: there is no artifact {where}, and none on this host; register it again, or start "
                    "the host that has it with the same --artifacts"
                ) from None
            except TooLarge as error:
                raise ArtifactDamaged(f"model {model}: {where}: {error}") from None
            except StoreError as error:
                raise type(error)(f"model {model}: its artifact is not on this host, and {error}") from error
        log.info("artifact fetched", model=model, place=where)
        return place

    @contextmanager
    def _alone(self, digest: str) -> Iterator[None]:
        """A host's processes and threads want a new version all at once; one of them fetches it."""
        with (self._incoming / f"{digest}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def trim(cache: Path, limit: int) -> None:
    """Remove what was used longest ago until the rest has at most ``limit`` bytes.

    Only while no process of this host runs: what one has loaded must be there when its runner comes back, also while
    the store is away.
    """
    kept = 0
    for path in sorted((cache / FOLDER).glob("??/*"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        kept += path.stat().st_size
        if kept > limit:
            path.unlink()


def _name(digest: str) -> str:
    return f"{FOLDER}/{digest[:2]}/{digest}"


def _same(digest: str, where: str, model: str, found: str) -> None:
    if found != digest:
        raise ArtifactDamaged(
            f"model {model}: the artifact {where} has sha256:{found}, registered was sha256:{digest}; it is not "
            "loaded: delete that object and register it again"
        )


def _digest(parts: Iterable[bytes]) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.hexdigest()
