"""Objects in a bucket of Amazon S3, Google Cloud Storage or Azure Blob Storage, or of what speaks as one of them.

Credentials and endpoints come from the environment, by the names that the clouds' own tools use
(``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_NAME`` and so
on), or from the machine's own identity.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, from_url

from ..errors import NotFound, StoreUnreachable, StoreUnusable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

PART_BYTES = 8 << 20  # bytes of one request, so that none lasts long
LARGE_BYTES = 32 << 20  # bytes beyond which an object is sent in several requests, which no cloud makes conditional
REQUEST = timedelta(seconds=60)
CONNECT = timedelta(seconds=5)
RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
REFUSED = ("401 Unauthorized", "403 Forbidden")
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
MACHINE = ("/latest/api/token", "/computeMetadata/", "/metadata/identity/")  # asked for credentials that are not given


class Cloud:
    """``Objects`` in a bucket, below the URL's path. ``store`` is one of obstore's."""

    def __init__(self, store: ObjectStore, place: str) -> None:
        self._store = store
        self._place = place

    @classmethod
    def at(cls, url: str) -> Cloud:
        """Asks nothing of the cloud yet. Raises ``StoreUnusable`` for what is no URL of a bucket."""
        try:
            store = from_url(url, client_options=_client(), retry_config=RETRIES)
        except BaseError as error:
            raise StoreUnusable(f"{url} cannot be used: {_first(error)}") from error
        return cls(store, url.rstrip("/"))

    @property
    def place(self) -> str:
        return self._place

    def create(self, name: str, file: Path) -> bool:
        with file.open("rb") as source, self._told():
            try:
                if os.fstat(source.fileno()).st_size <= LARGE_BYTES:
                    obstore.put(self._store, name, source, mode="create")
                elif self._has(name):
                    return False
                else:
                    obstore.put(self._store, name, source, chunk_size=PART_BYTES, max_concurrency=4)
            except AlreadyExistsError:
                return False
        return True

    def read(self, name: str) -> Iterator[bytes]:
        with self._told():
            try:
                found = obstore.get(self._store, name)
            except FileNotFoundError as error:
                if _names(error, NO_BUCKET):
                    raise
                raise NotFound(f"no object {name} in {self.place}") from None
            size = found.meta["size"]
            first = bytes(found.bytes()) if size <= PART_BYTES else b""
        return iter((first,)) if size <= PART_BYTES else self._ranges(name, size)

    def names(self, prefix: str) -> Iterator[str]:
        with self._told():
            for page in obstore.list(self._store, prefix=prefix):
                yield from (meta["path"] for meta in page)

    def _ranges(self, name: str, size: int) -> Iterator[bytes]:
        with self._told():
            for start in range(0, size, PART_BYTES):
                yield bytes(obstore.get_range(self._store, name, start=start, end=min(start + PART_BYTES, size)))

    def _has(self, name: str) -> bool:
        try:
            obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, BaseError) as error:
            if _names(error, NO_BUCKET):
                raise StoreUnusable(f"there is no bucket {self.place}: make it, or mend the URL") from error
            if _names(error, MACHINE):
                raise StoreUnusable(
                    f"{self.place}: no credentials in the environment, and none from this machine: {_first(error)}"
                ) from error
            if _names(error, REFUSED):
                raise StoreUnusable(
                    f"{self.place} refuses these credentials; they need the right to list, read and write there: "
                    f"{_first(error)}"
                ) from error
            raise StoreUnreachable(f"{self.place} does not answer: {_first(error)}") from error


def _client() -> ClientConfig:
    # Options that are given hide those of the environment, and this one is asked for by servers on one's own machine.
    http = any(os.environ.get(f"{cloud}_ALLOW_HTTP", "").lower() == "true" for cloud in ("AWS", "AZURE", "GOOGLE"))
    return {"timeout": REQUEST, "connect_timeout": CONNECT, "allow_http": http}


def _names(error: Exception, signs: tuple[str, ...]) -> bool:
    return any(sign in str(error) for sign in signs)


def _first(error: Exception) -> str:
    """Without obstore's own debugging details below it."""
    return str(error).partition("\n")[0]
