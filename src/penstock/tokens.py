"""The secret that has code taken over HTTP: who can read it could run code as the server's user anyway.

DIR/run/token               of whoever serves on the data directory DIR, made anew at each start
TMP/penstock-UID/HOST:PORT  the same secret, for clients of this user that know only the address

Neither is ever asked of the server: whoever holds the port could name any file.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from .errors import Forbidden
from .loopback import is_loopback
from .telemetry import logger

SECRET_BYTES = 32
LONGEST_BYTES = 4_096  # bytes that are read of a file
OTHERS = 0o077  # mode bits by which the group or everybody may do something

log = logger(__name__)


def path_in(data: Path) -> Path:
    """Where the secret of a data directory is."""
    return data / "run" / "token"


def make(path: Path) -> str:
    """A new secret, in a file that only this user can read, in place of what was there. Raises ``OSError``."""
    secret = secrets.token_hex(SECRET_BYTES)
    _write(path, secret)
    return secret


def read(path: Path) -> str:
    """Raises ``Forbidden`` where there is none, and for one that is not this user's alone."""
    again = "start `penstock run` again, which makes another"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Forbidden(
            f"the secret {path} cannot be read ({error.strerror}); is `penstock run` at work there?"
        ) from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise Forbidden(f"the secret {path} is not a file of this user's; ask who runs `penstock run` there")
        if found.st_mode & OTHERS:
            mode = f"{stat.S_IMODE(found.st_mode):o}"
            raise Forbidden(f"the secret {path} is open to others (its mode is {mode}), so it is none now: {again}")
        if not (secret := os.read(handle, LONGEST_BYTES).decode("ascii", "replace").strip()):
            raise Forbidden(f"the file {path} holds no secret: {again}")
        return secret
    finally:
        os.close(handle)


def is_shown(authorization: str, path: Path) -> bool:
    """Does a header ``Authorization: Bearer SECRET`` (RFC 6750 §2.1) hold what is in the file? Raises as ``read``."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), read(path).encode())


def find(url: str, data: Path | None = None) -> str | None:
    """The secret of the server at an address of this machine; None: it is not known here.

    ``data``: the server's data directory. Without one it is told by the address, or else in PENSTOCK_DATA, for a server
    of another TMP, as in a container. Raises ``Forbidden`` for a directory without a secret, or one that others know.
    """
    host, port = _place(url)
    if not is_loopback(host):
        return None
    if data is None:
        for name in ("127.0.0.1", "::1") if host == "localhost" else (host,):
            if (path := _announced_at(name, port)).exists() and _is_private(path.parent):
                return read(path)
        data = Path(os.environ["PENSTOCK_DATA"]) if "PENSTOCK_DATA" in os.environ else None
    return None if data is None else read(path_in(data))


@contextmanager
def announced(host: str, port: int, secret: str) -> Iterator[None]:
    """Meanwhile clients of this user find the secret by the address."""
    path = _announced_at(host, port)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(path.parent):
            raise OSError(f"{path.parent} is not a folder of this user's alone")
        _write(path, secret)
    except OSError as error:
        log.warning("clients do not find the secret by the address: give them --data or PENSTOCK_DATA", why=str(error))
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError, Forbidden):
            if read(path) == secret:  # not another server's, which has the port by now
                path.unlink()


def _write(path: Path, secret: str) -> None:
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secret + "\n")
    draft.replace(path)


def _announced_at(host: str, port: int) -> Path:
    return Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}" / f"{ip_address(host)}:{port}"


def _is_private(folder: Path) -> bool:
    """Anybody may make a folder of that name in TMP before we do."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & OTHERS


def _place(url: str) -> tuple[str, int]:
    """Raises ``Forbidden`` for a port that is none: the address is the user's."""
    parts = urlsplit(url)
    try:
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Forbidden(f"{url}: {error}") from None
