"""Certificates are renewed while the doors are open: the files are looked at, and connections from then on get the new.

A pair is written file by file, or all at once by a link that is turned (Kubernetes' ``..data``). So a change is taken
up when it has stood still from one look to the next; what cannot be taken up changes nothing, and is told.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TypeAlias

from ...clock import Clock
from ...errors import CannotStart
from ...notices import Notices, notices
from ...telemetry import logger
from .certificates import TLSFiles, load

LOOK_S = 1.0  # seconds between two looks at the files
WARN_S = 14 * 86_400.0  # seconds before the end from which on it is told
WARN_SHARE = 1 / 3  # of its whole time, where that is less: some live for a day
FAILED, EXPIRES = "tls/files", "tls/expiry"  # keys of the notices

Stamps: TypeAlias = tuple[tuple[int, int, int, int] | None, ...]

log = logger(__name__)


class Certificates:
    """The certificate in force. ``context`` is for any thread, and another one after a renewal; all else belongs to
    the thread that looks. Raises as ``load``: at the start there is none to go on with."""

    def __init__(self, files: TLSFiles, clock: Clock, to: Notices | None = None) -> None:
        self._files, self._clock, self._to = files, clock, to or notices()
        self._taken_up = self._seen = _stamps(files)
        self._certificate = load(files)
        self._tell_expiry()

    @property
    def context(self) -> ssl.SSLContext:
        return self._certificate.context

    def run(self, stop: Event) -> None:
        """Until told to stop."""
        while not stop.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Take up what is new, if it has been so for one look already, and say what goes wrong."""
        stamps = _stamps(self._files)
        if stamps == self._seen != self._taken_up:
            self._take_up(stamps)
        self._seen = stamps
        self._tell_expiry()

    def _take_up(self, stamps: Stamps) -> None:
        self._taken_up = stamps  # also what cannot be used: it is not tried again before it changes
        try:
            self._certificate = load(self._files)
        except CannotStart as error:
            self._to.tell(FAILED, f"the new TLS certificate is not used, and the one before goes on: {error}")
            return
        self._to.settle(FAILED)
        log.info("the TLS certificate was renewed", names=", ".join(self._certificate.names))

    def _tell_expiry(self) -> None:
        found = self._certificate
        left_s = found.valid_until - self._clock.now() / 1e6
        if left_s > min(WARN_S, (found.valid_until - found.valid_from) * WARN_SHARE):
            self._to.settle(EXPIRES)
            return
        day = datetime.fromtimestamp(found.valid_until, UTC).strftime("%Y-%m-%d, %H:%M UTC")
        reason = f"the TLS certificate {'expires on' if left_s > 0 else 'has expired on'} {day}"
        mend = f"put a new one in the place of {self._files.certificate}; it is taken up without a restart"
        self._to.tell(EXPIRES, reason, mend=mend)


def _stamps(files: TLSFiles) -> Stamps:
    """What tells a file from what is in its place later, a right to read it too; links are followed, so that one that
    is turned counts."""
    return tuple(_stamp(path) for path in files.paths)


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size
