"""The log on one machine: a SQLite file in a directory that any number of processes share."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import apsw

from ..batch import AppendResult, TopicSpec, Write
from ..clock import Clock, SystemClock
from ..settings import Settings
from .interface import GroupState, PartitionState, Start
from .processes.directory import prepare
from .processes.heartbeat import Heartbeat
from .processes.wake import Wakeups
from .processes.write_lock import HolderWatch
from .sqlite import states
from .sqlite.pulse import Pulse
from .sqlite.reader import EmbeddedReader
from .sqlite.store.engine import Engine
from .sqlite.store.tables import read_state
from .sqlite.store.transaction import translated
from .topic_schema import check_spec


class EmbeddedLog:
    """Implements ``Log``, ``LogInspection``, ``Offsets`` and ``Alter``. Safe for several threads and processes at once.

    The first reader makes this process a member: it then has a thread that beats its heart, wakes its readers and
    notices dead neighbours. Raises ``LogUnusable`` or ``LogFull`` for a directory that will not do; after a failed
    write every call raises ``DiskFailed``, and the process must exit with an error.
    """

    def __init__(self, directory: Path, *, clock: Clock | None = None, settings: Settings | None = None) -> None:
        prepare(directory)
        self._clock: Clock = clock or SystemClock()
        self._settings = settings or Settings()
        with ExitStack() as opened:
            self._engine = Engine(directory, self._clock)  # the first to be refused, with nothing else open yet
            opened.callback(self._engine.close)
            self._presence = Heartbeat(directory / "members", self._settings.member_timeout)
            opened.callback(self._presence.leave)
            self._wakeups = Wakeups(directory / "wake", self._presence.name)
            opened.callback(self._wakeups.close)
            self._db = self._engine.connect()
            opened.pop_all()
        self._mutex = threading.RLock()
        self._readers: list[EmbeddedReader] = []
        self._pulse: Pulse | None = None
        self._closed = False

    # -- Log ------------------------------------------------------------------

    def create(self, topic: TopicSpec, *, grow: bool = False) -> None:
        check_spec(topic)
        if self._engine.create(topic, grow=grow):
            self._wakeups.announce(None)

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        spans, topics = self._engine.append(writes)
        if topics:
            self._wakeups.announce(topics)
        return spans

    def reader(
        self, group: str | None, topics: Sequence[str], member: str, *, start: Start = "earliest"
    ) -> EmbeddedReader:
        with self._mutex:
            self._engine.writer.check_alive()
            if self._pulse is None:
                self._pulse = Pulse(self._engine, self._presence, self._wakeups)
            name, wakeups = self._presence.name, self._wakeups
            reader = EmbeddedReader(
                self._engine, wakeups, name, self._clock, self._settings, group, topics, member, start
            )
            self._readers = [r for r in self._readers if not r.closed] + [reader]
            return reader

    def close(self) -> None:
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            for reader in self._readers:
                reader.close()
            if self._pulse is not None:
                self._pulse.stop()
            self._wakeups.close()
            self._presence.leave()
            self._db.close()
            self._engine.close()

    # -- Inspect --------------------------------------------------------------

    def topics(self) -> Sequence[TopicSpec]:
        with self._looking() as db:
            self._engine.refresh(db, read_state(db))
            return [topic.spec for topic in list(self._engine.catalog.topics.values())]

    def partitions(self, topic: str) -> Sequence[PartitionState]:
        with self._looking() as db:
            self._engine.refresh(db, read_state(db))
            return states.partition_states(db, self._engine.catalog, topic)

    def groups(self) -> Sequence[GroupState]:
        with self._looking() as db:
            self._engine.refresh(db, read_state(db))
            return states.group_states(db, self._engine.catalog, self._engine.steady.stamp())

    def ends(self, topic: str) -> Mapping[int, int]:
        with self._looking() as db:
            self._engine.refresh(db, read_state(db))
            return states.ends(db, self._engine.catalog, topic)

    def positions(self, groups: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str, int], int]:
        with self._looking() as db:
            self._engine.refresh(db, read_state(db))
            return states.positions(db, self._engine.catalog, groups)

    # -- Alter ----------------------------------------------------------------

    def reset(self, topic: TopicSpec) -> None:
        check_spec(topic)
        self._engine.reset(topic)
        self._wakeups.announce(None)

    def delete(self, topic: str) -> None:
        self._engine.delete(topic)
        self._wakeups.announce(None)

    @contextmanager
    def _looking(self) -> Iterator[apsw.Connection]:
        with self._mutex, translated(self._engine.path):
            self._engine.writer.check_alive()
            yield self._db


def holder_watch(directory: Path, *, clock: Clock | None = None, settings: Settings | None = None) -> HolderWatch:
    """For a supervisor: ask its ``stuck()`` about once a second, and kill the process that it names."""
    timeout = (settings or Settings()).holder_timeout
    return HolderWatch(directory / "write.lock", clock or SystemClock(), timeout)
