"""The data directory: where things lie in it, and that one supervisor at a time works on it.

DIR/log.db  write.lock  members/  wake/     the log's own
DIR/artifacts/sha256/                       models
DIR/cache/sha256/                           models, of which object storage has the lasting copy
DIR/run/token                               the secret that has code taken over HTTP, of this run; see ``tokens``
DIR/run/supervisor.lock                     held for as long as a supervisor lives
DIR/run/plan-PID-N                          the plan in force, of the supervisor with that process id
DIR/run/status/NAME.json                    how each process is; see ``process``
DIR/run/status/NAME.deliveries              what the endpoints of a courier answer; see ``compose.delivery_watch``
DIR/run/caught                              the webhooks that a gateway of `penstock dev` has caught, for the next one
DIR/run/metrics/                            prometheus_client's files
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from hashlib import blake2b
from pathlib import Path

from .. import tokens
from ..errors import LogUnusable

SOCKET_FOLDER_BYTES = 80  # bytes: the path of a Unix socket has at most 107, and the name in the folder needs some


class DataDirectory:
    """Paths under one directory. Nothing is created before ``claim``."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.run = self.root / "run"
        self.status = self.run / "status"
        self.metrics = self.run / "metrics"
        self.caught = self.run / "caught"
        self.token = tokens.path_in(self.root)
        self.artifacts = self.root / "artifacts"
        self.cache = self.root / "cache"
        self.sockets = self.run if len(os.fsencode(self.run)) <= SOCKET_FOLDER_BYTES else _short(self.root)
        self.secret = ""  # what is in the token's file, of who has claimed the directory
        self._lock: int | None = None

    def claim(self) -> None:
        """Create the directory and hold it until this process ends or ``release``.

        Raises ``LogUnusable``: another supervisor has it (named by its process id), or it cannot be written to.
        """
        try:
            self._make_private()
            for folder in (self.status, self.metrics):
                folder.mkdir(parents=True, exist_ok=True)
            self.sockets.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self.run / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode().strip() or "unknown"
            os.close(lock)
            raise LogUnusable(
                f"the data directory {self.root} is in use by the `penstock run` with process id {holder}; "
                "stop that one, or give another directory with --data DIR"
            ) from None
        self._lock = lock
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            self._sweep()
            self.secret = tokens.make(self.token)
        except OSError as error:  # such as no space left
            self.release()
            raise self._unusable(error) from None

    @property
    def lasting(self) -> list[Path]:
        """What stays one and the same file while it is used, where it is there at all."""
        log = [self.root / name for name in ("write.lock", "log.db", "log.db-wal", "log.db-shm")]
        return [self.run / "supervisor.lock", *log]

    @property
    def last_plan(self) -> Path | None:
        """Of the supervisor that is here, or was the last; None: none has run here."""
        plans = [path for path in self.run.glob("plan-*") if not path.suffix]
        return max(plans, key=lambda path: path.stat().st_mtime_ns, default=None)

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make_private(self) -> None:
        """Its owner's alone, when it is made and when it was ours before; a folder with other things stays as it is."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = (self.root / "log.db").exists() or self.run.exists() or not any(self.root.iterdir())
        found = self.root.stat()
        if ours and found.st_uid == os.geteuid() and found.st_mode & tokens.OTHERS:
            self.root.chmod(0o700)
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.run.chmod(0o700)

    def _unusable(self, error: OSError) -> LogUnusable:
        where = f" ({error.filename})" if error.filename else ""
        return LogUnusable(
            f"the data directory {self.root} cannot be used: {error.strerror}{where}; give another with --data DIR"
        )

    def _sweep(self) -> None:
        """What a run before this one left behind says nothing of the processes to come."""
        for left in (*self.status.iterdir(), *self.run.glob("plan-*"), self.caught, *self.sockets.glob("*.sock")):
            left.unlink(missing_ok=True)


def _short(root: Path) -> Path:
    """Where the sockets of a directory with a long path are: one folder for each, its owner's alone."""
    name = blake2b(os.fsencode(root), digest_size=10).hexdigest()
    return Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}"
