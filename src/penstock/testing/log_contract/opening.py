"""What the tests of logs stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from ...batch import Batch
from ...clock import Clock, ManualClock, SystemClock
from ...log.interface import Log
from ...settings import Settings
from .words import BRISK, every_kind


class OpenedLogs:
    """How a log is opened, what its backend can do, and the logs that a test is given."""

    survives = True  # what was appended is there after the log is closed and opened again
    shared = True  # a directory may be open twice at once, as from two processes

    injected = True  # append times and retention follow the clock that the log was opened with
    gentle = True  # a partition whose rows are in hand changes its owner only after they were committed
    anonymous = True  # an event that was published without an id has none when it is read
    limit: int | None = None  # bytes that a row may about have, whatever its encoding adds
    settling = 0.0  # seconds within which members that read agree on who owns what

    def open(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        raise NotImplementedError

    def open_twin(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        """The same log once more, as another process has it."""
        return self.open(directory, clock, settings)

    def every_kind(self) -> pa.RecordBatch:
        """Three rows with a column of every type that the backend holds."""
        return every_kind()

    def silence(self, log: Log) -> None:
        """The process of this handle stops, without closing anything: its readers make no further call."""

    def plant(self, log: Log, topic: str, partition: int) -> int:
        """Store a row that cannot be decoded, and return its position; skip where a backend cannot have any."""
        pytest.skip("this backend decodes whatever it stored, or reports damage")

    def check_ids(self, batch: Batch, *expected: str | None) -> None:
        """Where an event without an id gets one as it is stored, any will do that no other has."""
        ids = batch.rows.column("_id").to_pylist()
        given = [i if e is None and not self.anonymous else e for i, e in zip(ids, expected, strict=True)]
        assert ids == given
        assert self.anonymous or len(set(ids)) == len(ids) == len(list(filter(None, ids)))

    # -- what the tests stand on ----------------------------------------------

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[Log]:
        log = self.open(tmp_path, SystemClock(), BRISK)
        yield log
        log.close()

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def timed(self, tmp_path: Path, clock: ManualClock) -> Iterator[Log]:
        """A log whose time the test moves."""
        if not self.injected:
            pytest.skip("this backend's append times are not ours to move")
        log = self.open(tmp_path / "timed", clock, BRISK)
        yield log
        log.close()

    @pytest.fixture
    def twin(self, log: Log, tmp_path: Path) -> Iterator[Log]:
        """The same log as another process has it, where that can be."""
        if not self.shared:
            yield log
            return
        twin = self.open_twin(tmp_path, SystemClock(), BRISK)
        yield twin
        twin.close()
