"""Topics of a log that nothing runs on: emptied, deleted, or given more partitions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..batch import DEAD, SYSTEM, TopicSpec
from ..clock import SystemClock
from ..errors import CannotStart, LogUnusable, NotFound, PartitionsChanged
from ..settings import Settings
from .compose.backends import AppLog, open_log
from .directory import DataDirectory


@dataclass(frozen=True, slots=True)
class Affected:
    """What a change is about, to be told before it is made."""

    topic: TopicSpec
    events: int
    groups: list[str]  # that have positions in it


@contextmanager
def opened(data: Path, url: str) -> Iterator[AppLog]:
    """The log with nothing else at work on it.

    Raises ``LogUnusable`` while a run uses it, ``CannotStart`` where there is none.
    """
    directory = DataDirectory(data)
    with ExitStack() as stack:
        if not url:
            if not (directory.root / "log.db").is_file():
                raise CannotStart(f"there is no log in {data}: name the --data directory of the app")
            directory.claim()
            stack.callback(directory.release)
        log = stack.enter_context(closing(open_log(directory, SystemClock(), Settings.from_env(), url)))
        if owners := {f"{state.group} ({state.owner})" for state in log.groups() if state.owner is not None}:
            raise LogUnusable(f"the log is in use by {', '.join(sorted(owners))}: stop every run on it first")
        yield log


def affected(log: AppLog, name: str) -> Affected:
    """Raises ``NotFound``, and ``CannotStart`` for a topic of Penstock's own."""
    if name in (SYSTEM, DEAD) or name.startswith("penstock."):
        raise CannotStart(f"'{name}' is Penstock's own: models and dead letters are in it, and it stays as it is")
    specs = {spec.name: spec for spec in log.topics()}
    if name not in specs:
        raise NotFound(f"there is no topic '{name}'; there are: {', '.join(sorted(specs))}")
    groups = sorted({state.group for state in log.groups() if state.topic == name})
    return Affected(specs[name], sum(state.events for state in log.partitions(name)), groups)


def reset(log: AppLog, about: Affected) -> None:
    log.reset(about.topic)


def delete(log: AppLog, about: Affected) -> None:
    log.delete(about.topic.name)


def grow(log: AppLog, about: Affected, partitions: int) -> None:
    """Raises ``PartitionsChanged`` for fewer than there are, or as many."""
    if partitions <= about.topic.partitions:
        has = about.topic.partitions
        raise PartitionsChanged(f"topic '{about.topic.name}' has {has} partitions: a topic only grows, so name more")
    log.create(replace(about.topic, partitions=partitions), grow=True)
