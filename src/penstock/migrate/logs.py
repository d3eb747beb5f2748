"""The two ends of a migration as URLs: ``sqlite:DIR``, or a cluster's with the directory of its artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..clock import SystemClock
from ..errors import CannotStart, Corrupt, LogError
from ..run.compose.backends import open_artifacts, open_log
from ..run.directory import DataDirectory
from ..settings import Settings
from .comparing import Difference
from .migrate import End, Step, migrate

SQLITE = "sqlite:"


def migrate_urls(source: str, target: str, data: Path, artifacts: str, step: Step) -> list[Difference]:
    """``artifacts``: the object storage of a cluster's app; else its artifacts are in ``data`` on this host.

    Raises ``CannotStart``, and ``LogUnusable`` for a directory that a `penstock run` uses.
    """
    if _directory(source, data) == _directory(target, data) and _is_same(source, target):
        raise CannotStart(f"--from and --to are both {source}")
    if source.startswith(SQLITE) and not (_directory(source, data) / "log.db").is_file():
        raise CannotStart(f"--from {source}: there is no log.db in that directory")
    with ExitStack() as stack:
        for directory in sorted({_directory(source, data), _directory(target, data)}):
            stack.enter_context(_claimed(directory))
        ends = [stack.enter_context(_opened(url, data, artifacts)) for url in (source, target)]
        try:
            return migrate(ends[0], ends[1], step)
        except Corrupt as error:
            place = f"{error.topic}/{error.partition}"
            raise LogError(
                f"{place}: the events at {error.position} are damaged; `penstock repair` their directory, then migrate"
            ) from None


def _is_same(source: str, target: str) -> bool:
    return source == target or (source.startswith(SQLITE) and target.startswith(SQLITE))


def _directory(url: str, data: Path) -> Path:
    kind, _, place = url.partition(":")
    if not place or not (kind == "sqlite" or kind.startswith("kafka")):
        raise CannotStart(f"{url}: no such log; there are sqlite:DIR and kafka://HOST:PORT[/NAMESPACE]")
    return (Path(place) if kind == "sqlite" else data).resolve()


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """No `penstock run` works on it meanwhile."""
    claim = DataDirectory(directory)
    claim.claim()
    try:
        yield
    finally:
        claim.release()


@contextmanager
def _opened(url: str, data: Path, artifacts: str) -> Iterator[End]:
    directory, local = DataDirectory(_directory(url, data)), url.startswith(SQLITE)
    files = open_artifacts(directory, "" if local else artifacts)
    settings = Settings.from_env()
    log = open_log(directory, SystemClock(), settings, "" if local else url)
    try:
        yield End(url, log, files, owners=not local, noticed=settings.member_timeout + 2.0)
    finally:
        log.close()
