"""What became of each dead letter, read from ``penstock.dead`` alone.

A letter is a row without a ``mark``. Marks follow it in its partition, in the order in which they were made:

``redriven``  somebody asked for the event to go to its stage once more; the row carries the event
``dropped``   somebody said that nothing is to be done about it
``done``      the stage dealt with it, in the transaction that stored this

Of the marks ``redriven`` and ``dropped`` on one letter the first counts and the others say nothing, whoever made them
and whatever they knew. An event that fails again is a new letter, of the next ``round``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...batch import DEAD, Batch, Indices
from ...log.interface import Log, Seek
from .dead import DONE, DROPPED, REDRIVEN

Became = Literal["dead", "redriven", "dropped", "done"]

AT_ONCE_ROWS = 10_000  # rows of one read


class LetterKey(NamedTuple):
    """Which event failed, and where: what a letter is known by."""

    topic: str
    partition: int
    offset: int
    stage: str

    @property
    def place(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(slots=True)
class LetterState:
    """The last letter of an event at a stage, and what became of it. ``at``: its position; ``marked``: that of the mark
    that counts; ``since``: when that was, or the letter, in microseconds since the epoch."""

    partition: int  # of penstock.dead
    at: int
    round: int
    since: int
    became: Became = "dead"
    marked: int = -1


class Ledger:
    """Folds rows of ``penstock.dead``, which are to come in their order within each partition.

    ``stages``: keep nothing but their letters that something may still become of.
    """

    def __init__(self, stages: Collection[str] | None = None) -> None:
        self.entries: dict[LetterKey, LetterState] = {}
        self._stages = stages

    def take(self, batch: Batch) -> None:
        rounds = column_of(batch.rows, "round").fill_null(0).to_pylist()
        marks = column_of(batch.rows, "mark").to_pylist()
        places = zip(batch.positions.tolist(), batch.appended.tolist(), strict=True)
        for failed, round_, mark, (at, when) in zip(failed_of(batch.rows), rounds, marks, places, strict=True):
            if self._stages is not None and failed.stage not in self._stages:
                continue
            entry = self.entries.get(failed)
            if mark is None:
                self.entries[failed] = LetterState(batch.partition, at, round_, when)
            elif entry is not None and entry.round == round_:
                _mark(entry, mark, at, when)
                if self._stages is not None and entry.became in (DONE, DROPPED):
                    del self.entries[failed]


def _mark(entry: LetterState, mark: str, at: int, when: int) -> None:
    if mark == DONE and entry.became == REDRIVEN:
        entry.became, entry.since = "done", when
    elif mark in (REDRIVEN, DROPPED) and entry.became == "dead":
        entry.became, entry.marked, entry.since = ("redriven" if mark == REDRIVEN else "dropped"), at, when


def failed_of(rows: pa.RecordBatch) -> list[LetterKey]:
    columns = (rows.column(name).to_pylist() for name in ("topic", "partition", "offset", "stage"))
    return [LetterKey(*each) for each in zip(*columns, strict=True)]


def column_of(rows: pa.RecordBatch, name: str) -> pa.Array:
    """A column of the letters; nulls where these rows are older than it."""
    index = rows.schema.get_field_index(name)
    return rows.column(index) if index >= 0 else pa.nulls(len(rows), _LATER[name])


_LATER: dict[str, pa.DataType] = {"round": pa.int64(), "mark": pa.string(), "event": pa.binary()}


def history(log: Log, through: Mapping[int, int], start: Mapping[int, int] | None = None) -> Iterator[Batch]:
    """All rows of these partitions of ``penstock.dead``, up to these positions and perhaps a little further.

    ``through`` names every partition, with -1 those that are not asked for; ``start``: where to begin, if not at the
    first.

    Raises ``Corrupt`` where one is damaged: nothing can be said of letters behind it.
    """
    left = {partition: last for partition, last in through.items() if last >= 0}
    reader = log.reader(None, [DEAD], "letters")
    try:
        for partition in through.keys() - left.keys():
            reader.seek(Seek(DEAD, partition, "pause"))
        for partition, first in (start or {}).items():
            reader.seek(Seek(DEAD, partition, first))
        while left and (batches := reader.read(AT_ONCE_ROWS, 0.0)):
            for batch in batches:
                yield batch
                if batch.through >= left.get(batch.partition, 0):
                    left.pop(batch.partition, None)
    finally:
        reader.close()


def asked_of(batch: Batch, stages: Collection[str]) -> Indices:
    """The rows that ask one of these stages to take its event once more."""
    marks = column_of(batch.rows, "mark")
    if marks.null_count == len(marks):
        return np.zeros(0, np.int64)
    theirs = pc.is_in(batch.rows.column("stage"), pa.array(list(stages), pa.string()))
    wanted = pc.and_(pc.equal(marks, REDRIVEN), theirs)
    return np.flatnonzero(wanted.fill_null(False).to_numpy(zero_copy_only=False))
