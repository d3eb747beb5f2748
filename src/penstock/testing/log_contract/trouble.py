"""Logs that end, and rows that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...clock import SystemClock
from ...errors import PenstockError
from ...log.interface import Log
from .opening import OpenedLogs
from .words import BRISK, again, drain, numbers, through, values, write


class TroubleContract(OpenedLogs):
    def test_what_was_acknowledged_is_there_after_opening_again(self, tmp_path: Path) -> None:
        if not self.survives:
            pytest.skip("nothing survives this backend's process")
        log = self.open(tmp_path, SystemClock(), BRISK)
        log.create(numbers())
        log.append([write(range(10))])
        reader = log.reader("g", ["t"], "m")
        reader.commit(through(reader.read(4, 0)), [])
        log.close()
        log = self.open(tmp_path, SystemClock(), BRISK)
        assert values(drain(log.reader("g", ["t"], "m"))) == list(range(4, 10))
        (span,) = log.append([write([10])])
        assert span.first >= 10
        log.close()

    def test_undecodable_rows_come_as_rejected_in_their_place(self, log: Log) -> None:
        log.create(numbers())
        log.append([write([0, 1])])
        at = self.plant(log, "t", 0)
        log.append([write([2])])
        reader = log.reader("g", ["t"], "m")
        got = drain(reader)
        assert values(got) == [0, 1, 2]
        assert [r.position for b in got for r in b.rejected] == [at]
        reader.commit(through(got), [])
        assert drain(again(log, reader)) == []

    def test_a_closed_log_refuses_and_does_not_hang(self, log: Log) -> None:
        log.create(numbers())
        reader = log.reader("g", ["t"], "m")
        reader.close()
        log.close()
        for act in (lambda: log.append([write([1])]), lambda: reader.read(1, 5), lambda: log.create(numbers("u"))):
            with pytest.raises(PenstockError):
                act()
        reader.close()
        log.close()
