"""The one way to write: take the turn, begin, commit with an fsync, checkpoint when due, give the turn up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from ....errors import DiskFailed, LogError, LogFull, LogGone, LogUnusable
from ...processes.in_place import InPlace
from ...processes.write_lock import WriteLock
from .tables import FILE, REPAIR, connect

CHECKPOINT_PAGES = 4_000  # keeps the WAL near 17 MB
WRITING = (apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC, apsw.SQLITE_IOERR_TRUNCATE)


class Writer:
    """The process's connection for writing. Safe to use from several threads, one at a time.

    After a failed write or fsync what is on disk is unknown, as the kernel may have dropped the pages that it could
    not write: nothing more is written, acknowledged or tried again, and every later call raises ``DiskFailed``; or
    ``LogGone``, once its files are no longer in their places.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._turnstile = WriteLock(directory / "write.lock")
        self._mutex = threading.Lock()
        self._db: apsw.Connection | None = None
        self._pages = 0
        self._failed: DiskFailed | LogGone | None = None
        self._in_place = InPlace(())
        self._closed = False

    @property
    def committed(self) -> int:
        """The last commit that any process noted as durable, as of this process's last turn."""
        return self._turnstile.last.committed

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Alone in the file, outside of a transaction; for opening."""
        with self._mutex:
            self._turnstile.enter()
            try:
                with self._translated():
                    yield
                self._in_place = InPlace(self._files())
            finally:
                self._turnstile.leave(None)

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """All that the body writes, or nothing; durable when the block has ended."""
        with self._mutex:
            self.check_alive()
            self._turnstile.enter()
            committed = None
            try:
                with self._translated():
                    db = self._connection()
                    db.execute("BEGIN IMMEDIATE")
                    try:
                        yield db
                        seq = db.execute("SELECT seq FROM state").get
                        db.execute("COMMIT")
                    except BaseException as error:
                        self._undo(db)
                        if isinstance(error, apsw.FullError):
                            self._pages = CHECKPOINT_PAGES  # a WAL that is begun anew needs no more space
                            self._checkpoint(db)
                        raise
                    committed = seq
                    self._check_in_place()
                    self._checkpoint(db)
            finally:
                self._turnstile.leave(committed)

    def check_alive(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._closed:
            raise LogError("the log is closed")

    def abandon(self) -> None:
        """Close without touching the log file."""
        self._closed = True
        self._turnstile.close()

    def close(self) -> None:
        """Raises ``DiskFailed`` for a write or an fsync that failed here: all is closed then, and nothing is lost."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            try:
                if self._db is not None and self._failed is None:
                    self._fold(self._db)
            finally:
                if self._db is not None:
                    self._db.close()
                self._turnstile.close()

    def _check_in_place(self) -> None:
        """After the commit, before anybody is told of it."""
        try:
            self._in_place.check()
        except LogGone as error:
            self._failed = error
            raise

    def _files(self) -> list[Path]:
        """Those that hold what is acknowledged. The supervisor looks at the others too, and not at each commit."""
        return [self._path, self._path.with_name(f"{FILE}-wal")]

    def _connection(self) -> apsw.Connection:
        if self._db is None:
            self._db = connect(self._path)
            self._db.set_wal_hook(self._count_pages)
        return self._db

    def _count_pages(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    @staticmethod
    def _undo(db: apsw.Connection) -> None:
        if db.in_transaction:
            db.execute("ROLLBACK")

    def _checkpoint(self, db: apsw.Connection) -> None:
        if self._pages < CHECKPOINT_PAGES:
            return
        self._pages = 0
        try:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.FullError, apsw.BusyError):
            return  # the commit itself is on disk; the next one tries again

    def _fold(self, db: apsw.Connection) -> None:
        """Leave a tidy file behind."""
        self._turnstile.enter()
        try:
            db.set_busy_timeout(0)
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:  # the WAL keeps everything
            if getattr(error, "extendedresult", 0) in WRITING:
                raise self._failure(error) from error
        finally:
            self._turnstile.leave(None)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self._path):
            try:
                yield
            except apsw.IOError as error:
                if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:  # no space for the WAL's index
                    raise LogFull(f"no space is left for {self._path}: free some") from error
                raise self._failure(error) from error

    def _failure(self, error: apsw.Error) -> DiskFailed:
        self._failed = DiskFailed(
            f"{self._path} could not be written ({error}): what is on disk is unknown, so this process must stop. "
            "Check the disk; a restart recovers all that was acknowledged"
        )
        return self._failed


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, with what to do."""
    try:
        yield
    except apsw.FullError as error:
        raise LogFull(f"no space is left for {path}: free some; nothing of this was stored") from error
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        raise LogUnusable(f"{path} is damaged ({error}): {REPAIR}") from error
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError) as error:
        raise LogUnusable(f"{path} cannot be opened for writing ({error}): check its owner and its disk") from error
    except apsw.BusyError as error:
        raise LogUnusable(f"{path} is locked by a program that is not Penstock: close it") from error
