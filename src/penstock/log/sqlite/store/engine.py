"""The log file as one process has it: opened, checked, written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from ....batch import AppendResult, TopicSpec, Write
from ....clock import Clock
from ....errors import DiskFailed, LogUnusable, PartitionsChanged
from ...processes.directory import sync_folder
from ...steady import SteadyTime
from ...topic_schema import RowChecks
from . import tables
from .appending import Appender, Prepared
from .catalog import Catalog, clear, declare, remove, store_schema
from .expiring import Expirer
from .stored import encode_origin
from .tables import FILE, REPAIR, connect, read_state, write_state
from .transaction import Writer, translated


class Engine:
    """Every write of a process goes through here. Safe to use from several threads."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        tables.check_version(apsw.sqlite_lib_version())
        self.path = directory / FILE
        self.writer = Writer(directory)
        self.catalog = Catalog()
        self.steady = SteadyTime(clock)
        self._checks = RowChecks()
        self._expirer = Expirer(self.catalog)
        try:
            with self.writer.turn():
                self._open(directory)
        except BaseException:
            self.writer.abandon()
            raise

    def connect(self) -> apsw.Connection:
        """A connection for reading, for one thread at a time."""
        with translated(self.path):
            return connect(self.path, readonly=True)

    def refresh(self, db: apsw.Connection, state: tables.LogState) -> None:
        """The catalog as of ``state``, from a connection without uncommitted topics."""
        self.catalog.refresh(db, state)

    def create(self, spec: TopicSpec, *, grow: bool) -> bool:
        """``False`` when the topic already was as declared."""
        with self.writer.transaction() as db:
            state = self._current(db)
            made = declare(db, state, self.catalog.topics.get(spec.name), spec, grow=grow)
        with self.writer.transaction() as db:
            self._current(db)
        return made

    def reset(self, spec: TopicSpec) -> None:
        """See ``Alter``."""
        with self.writer.transaction() as db:
            state = self._current(db)
            known = self.catalog.topic(spec.name)
            if spec.partitions < len(known.tps):
                raise PartitionsChanged(f"topic '{spec.name}' has {len(known.tps)} partitions, and a reset keeps them")
            clear(db, self.catalog, state, known)
            declare(db, state, known, spec, grow=True, anew=True)
        with self.writer.transaction() as db:
            self._current(db)

    def delete(self, topic: str) -> None:
        """See ``Alter``."""
        with self.writer.transaction() as db:
            remove(db, self._current(db), self.catalog.topic(topic))
        self.catalog.forget(topic)

    def append(self, writes: Sequence[Write]) -> tuple[list[AppendResult], set[int]]:
        """The spans, and the topics that have something new."""
        return self.change(_nothing, writes)

    def change(
        self, first: Callable[[apsw.Connection], None], writes: Sequence[Write]
    ) -> tuple[list[AppendResult], set[int]]:
        """``first`` and the appends, in one transaction; what ``first`` raises undoes all of it.

        ``first`` may change positions and leases, and not the row of state.
        """
        prepared = self._prepared(writes)
        with self.writer.transaction() as db:
            state = self._current(db)
            first(db)
            self._check(writes)
            appender = Appender(db, self.catalog, state, self.steady.stamp())
            spans = appender.append(prepared)
            appender.finish()
            self._expirer.expire(db, state, self.steady.expiry(), appender.touched)
            write_state(db, state._replace(seq=state.seq + 1, time=appender.time))
            return spans, {row.topic for row in appender.touched}

    def expire(self) -> None:
        """What is due though nobody appends."""
        if self._expirer.due(self.steady.expiry()):
            self.append([])

    def close(self) -> None:
        self.writer.close()

    def _current(self, db: apsw.Connection) -> tables.LogState:
        state = read_state(db)
        self._expirer.know(self.catalog.refresh(db, state))
        return state

    def _check(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self.catalog.tp(write.topic, write.partition)
            self._checks.check(self.catalog.topic(write.topic).spec, write.rows)

    def _prepared(self, writes: Sequence[Write]) -> list[Prepared]:
        """What needs no turn is done before it is taken; a new schema is stored first, once for ever."""
        prepared = []
        for write in writes:
            schema = write.rows.schema.remove_metadata()
            number = self.catalog.known_schema(write.topic, schema)
            if number is None:
                with self.writer.transaction() as db:
                    self._current(db)
                    self._check([write])
                    number = store_schema(db, schema)
                self.catalog.learn_schema(schema, number)
            prepared.append(Prepared(write, number, write.rows.serialize(), encode_origin(write.origin)))
        return prepared

    def _open(self, directory: Path) -> None:
        db = connect(self.path, create=True)
        try:
            if tables.is_new(db):
                self._create(db, directory)
            tables.check(db, self.path)
            state = read_state(db)
            if state.seq < self.writer.committed:
                raise LogUnusable(
                    f"{self.path} ends at commit {state.seq}, though {self.writer.committed} were acknowledged: its "
                    f"WAL is damaged; {REPAIR}"
                )
            self._expirer.know(self.catalog.refresh(db, state))
        finally:
            db.close()

    def _create(self, db: apsw.Connection, directory: Path) -> None:
        if self.writer.committed:
            raise LogUnusable(
                f"{self.path} is missing or empty, though {self.writer.committed} commits were acknowledged: "
                "restore it, or remove write.lock beside it to begin anew"
            )
        tables.create(db)
        try:
            sync_folder(directory)
            sync_folder(directory.parent)
        except OSError as error:
            raise DiskFailed(f"{directory} could not be made durable ({error}): check the disk") from error


def _nothing(_db: apsw.Connection) -> None:
    """For a change that is only appends."""
