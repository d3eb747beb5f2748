"""Keys made in the log itself, by who holds it: the first one, without which nobody may make any over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..clock import Clock, SystemClock
from ..errors import LogUnusable
from ..settings import Settings
from ..system.snapshots import SNAPSHOT_TOPIC
from ..system.view import View
from .compose.backends import AppLog, open_log
from .compose.bootstrap import SYSTEM_TOPIC, open_registry
from .directory import DataDirectory


@dataclass(frozen=True, slots=True)
class Keeper:
    log: AppLog
    view: View
    clock: Clock


@contextmanager
def opened(data: Path, url: str) -> Iterator[Keeper]:
    """The log, whether or not a run is at work on it; made where there is none yet. Raises what ``open_log`` raises.

    ``url``: of a cluster, and then ``data`` is nothing.
    """
    directory, clock = DataDirectory(data), SystemClock()
    with ExitStack() as stack:
        if not url:
            stack.enter_context(_held(directory))
        log = stack.enter_context(closing(open_log(directory, clock, Settings.from_env(), url)))
        for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            log.create(topic)
        registry = stack.enter_context(closing(open_registry(log, clock, "keys")))
        yield Keeper(log, registry.view, clock)


@contextmanager
def _held(directory: DataDirectory) -> Iterator[None]:
    """Made and claimed, unless somebody is at work in it: then it is there."""
    try:
        directory.claim()
    except LogUnusable:
        if not (directory.root / "log.db").is_file():
            raise
        yield
    else:
        try:
            yield
        finally:
            directory.release()
