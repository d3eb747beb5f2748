"""A log in another process: calls go over a pipe, so the process can be stopped and go on afterwards."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, cast

from penstock.batch import AppendResult, Batch, TopicSpec, Write
from penstock.errors import PenstockError
from penstock.log.interface import Advance, GroupState, Log, OwnedPartition, PartitionState, Reader, Seek, Start


class LogElsewhere:
    """Implements ``Log``, ``LogInspection`` and ``Offsets``. ``open`` is called in the other process. A call ends a
    stop."""

    def __init__(self, open: Callable[..., Log], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, open, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._closed = False
        self._mutex = threading.Lock()  # one call at a time, whoever asks
        self.ask(-1, "opened")

    def stop(self) -> None:
        """SIGSTOP, until the next call."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def ask(self, reader: int, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the log (``reader`` -1) or of one of its readers."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)
        with self._mutex:
            self._pipe.send((reader, method, arguments, named))
            failed, answer = self._pipe.recv()
        if failed:
            kind, said, attributes = answer
            error = kind.__new__(kind)
            error.args = said
            error.__dict__.update(attributes)
            raise error
        return answer

    def create(self, topic: TopicSpec, *, grow: bool = False) -> None:
        self.ask(-1, "create", topic, grow=grow)

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        found: Sequence[AppendResult] = self.ask(-1, "append", writes)
        return found

    def reader(
        self, group: str | None, topics: Sequence[str], member: str, *, start: Start = "earliest"
    ) -> ReaderElsewhere:
        return ReaderElsewhere(self, self.ask(-1, "reader", group, topics, member, start=start))

    def topics(self) -> Sequence[TopicSpec]:
        return cast(Sequence[TopicSpec], self.ask(-1, "topics"))

    def partitions(self, topic: str) -> Sequence[PartitionState]:
        return cast(Sequence[PartitionState], self.ask(-1, "partitions", topic))

    def groups(self) -> Sequence[GroupState]:
        return cast(Sequence[GroupState], self.ask(-1, "groups"))

    def ends(self, topic: str) -> Mapping[int, int]:
        return cast(Mapping[int, int], self.ask(-1, "ends", topic))

    def positions(self, groups: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str, int], int]:
        return cast(Mapping[tuple[str, str, int], int], self.ask(-1, "positions", list(groups)))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self.ask(-1, "close")
        finally:
            self._pipe.close()
            self._process.join(30)
            self._process.kill()


class ReaderElsewhere:
    """Implements ``Reader``."""

    def __init__(self, log: LogElsewhere, number: int) -> None:
        self._log, self._number = log, number

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        found: Sequence[Batch] = self._log.ask(self._number, "read", max_events, wait)
        return found

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        self._log.ask(self._number, "commit", done, outputs)

    def owned(self, topic: str) -> Mapping[int, OwnedPartition]:
        return cast(Mapping[int, OwnedPartition], self._log.ask(self._number, "owned", topic))

    def seek(self, where: Seek) -> None:
        self._log.ask(self._number, "seek", where)

    def close(self) -> None:
        self._log.ask(self._number, "close")


def _serve(pipe: Connection, open: Callable[..., Log], arguments: Sequence[Any]) -> None:
    log = open(*arguments)
    readers: list[Reader] = []
    while True:
        try:
            number, method, given, named = pipe.recv()
        except EOFError:
            return
        try:
            answer: Any = (
                None if method == "opened" else getattr(log if number < 0 else readers[number], method)(*given, **named)
            )
            if method == "reader":
                readers.append(answer)
                answer = len(readers) - 1
        except PenstockError as error:
            pipe.send((True, (type(error), error.args, error.__dict__)))
        else:
            pipe.send((False, answer))
        if method == "close" and number < 0:
            return
