"""An archive that commits late: it keeps rows of many passes, and writes them out by number or by time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from penstock.batch import TopicSpec
from penstock.clock import Clock
from penstock.stages.failures.poison_policy import Sick
from penstock.stages.interface import Outcome, Output, Work

MANIFEST = TopicSpec("manifest", pa.schema([pa.field("file", pa.int64(), nullable=False)]), 1)
FULL = 100  # rows
OLD_S = 300.0


@dataclass
class Files:
    """Outside the log. A file counts once the manifest names it; others were left behind."""

    away: Callable[[], bool] = lambda: False
    written: dict[int, list[int]] = field(default_factory=dict)

    def write(self, rows: list[int]) -> int:
        if self.away():
            raise Sick("the bucket is away", unavailable=True)
        number = len(self.written)
        self.written[number] = rows
        return number


class Archive:
    name, source = "archive", "in"

    def __init__(self, files: Files, clock: Clock) -> None:
        self._files, self._clock = files, clock
        self.kept: dict[int, list[tuple[int, int]]] = {}  # position and value, by partition
        self.since: float | None = None  # when the first of them came
        self.told: list[tuple[str, int, int | None]] = []

    def assigned(self, partition: int, through: int | None) -> None:
        self.told.append(("assigned", partition, through))

    def revoked(self, partition: int) -> None:
        self.told.append(("revoked", partition, None))
        self.kept.pop(partition, None)

    def handle(self, work: Work) -> Outcome:
        now = self._clock.monotonic()
        ns = work.rows.column("n").to_numpy()
        if work.again:  # beside what is kept
            return Outcome([self._write(ns.tolist())])
        for partition in np.unique(work.partitions).tolist():
            mine = work.partitions == partition
            rows = zip(work.positions[mine].tolist(), ns[mine].tolist(), strict=True)
            self.kept.setdefault(partition, []).extend(rows)
        if not self.kept:
            self.since = None
            return Outcome(done={})
        self.since = now if self.since is None else self.since
        left = self.since + OLD_S - now
        if left > 0 and sum(map(len, self.kept.values())) < FULL:
            return Outcome(done={}, wake=left)
        return self._write_out()

    def _write_out(self) -> Outcome:
        done = {partition: rows[-1][0] for partition, rows in self.kept.items()}
        written = self._write([n for rows in self.kept.values() for _, n in rows])
        self.kept, self.since = {}, None
        return Outcome([written], done=done)

    def _write(self, ns: list[int]) -> Output:
        file = self._files.write(ns)
        return Output(
            MANIFEST.name, pa.RecordBatch.from_arrays([pa.array([file], pa.int64())], schema=MANIFEST.schema), None
        )
