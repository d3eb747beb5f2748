"""When a stage joins its group: at its first read, not before it can do anything with what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...batch import Batch, Write
from ...log.interface import Advance, Reader, Seek


class LateReader:
    """A ``Reader`` that is made by ``join`` when it is first used.

    A member holds its share from the moment it joins. While one is still importing the user's code or loading a model
    the others go on with all partitions, those of a killed process too.
    """

    def __init__(self, join: Callable[[], Reader]) -> None:
        self._join = join
        self._reader: Reader | None = None

    def read(self, max_events: int, wait: float) -> Sequence[Batch]:
        return self._joined().read(max_events, wait)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        self._joined().commit(done, outputs)

    def seek(self, where: Seek) -> None:
        self._joined().seek(where)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _joined(self) -> Reader:
        if self._reader is None:
            self._reader = self._join()
        return self._reader
