"""When a stage joins its groups: at its first read, not before it can do anything with what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from ...batch import Batch, Write
from ...log.interface import Advance, OwnedPartition, Reader, Seek
from ...stages.scoring.loading import Background


class LazyReader:
    """A ``Reader`` that is made by ``join`` when it is first used.

    A member holds its share from the moment it joins. While one is still importing the user's code or loading a model
    the others go on with all partitions, those of a killed process too.
    """

    def __init__(self, join: Callable[[], Reader]) -> None:
        self._join = join
        self._reader: Reader | None = None

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        return self._joined().read(max_events, wait)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        self._joined().commit(done, outputs)

    def owned(self, topic: str) -> Mapping[int, OwnedPartition]:
        return self._joined().owned(topic)

    def seek(self, where: Seek) -> None:
        self._joined().seek(where)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _joined(self) -> Reader:
        if self._reader is None:
            self._reader = self._join()
        return self._reader


class ReaderBeside:
    """A ``Reader`` that joins at its first read, in the ``background``; until it has, there is nothing to read.

    On a cluster it may take seconds until a group takes a member, and the thread that reads here has other work.
    """

    def __init__(self, join: Callable[[], Reader], background: Background) -> None:
        self._join, self._background = join, background
        self._joining: Future[Reader] | None = None
        self._reader: Reader | None = None

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        """Raises as well why it did not join; the next read tries again."""
        if self._reader is None:
            if self._joining is None:
                self._joining = joining = Future[Reader]()
                self._background(lambda: _keep(joining, self._join))
            if not self._joining.done():
                return ()
            joined, self._joining = self._joining, None
            self._reader = joined.result()
        return self._reader.read(max_events, wait)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        assert self._reader is not None  # nothing was read before
        self._reader.commit(done, outputs)

    def owned(self, topic: str) -> Mapping[int, OwnedPartition]:
        return {} if self._reader is None else self._reader.owned(topic)

    def seek(self, where: Seek) -> None:
        """Nothing before it has joined: it begins where its group is."""
        if self._reader is not None:
            self._reader.seek(where)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        elif self._joining is not None:
            self._joining.add_done_callback(_leave)


def _keep(joining: Future[Reader], join: Callable[[], Reader]) -> None:
    try:
        joining.set_result(join())
    except Exception as error:
        joining.set_exception(error)


def _leave(joined: Future[Reader]) -> None:
    if joined.exception() is None:
        joined.result().close()
