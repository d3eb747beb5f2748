"""The app of the scaling test: numbered steps in five partitions, of which a worker copies about 200 a second."""

from __future__ import annotations

import time
from dataclasses import dataclass

import polars as pl

import penstock as ps

STEP_S = 0.005  # seconds that a step takes, without a core being busy with it

app = ps.App("scaled")


@dataclass
class Step:
    key: str
    writer: int
    seq: int


steps = app.topic("steps", Step, key="key", partitions=5)
copies = app.topic("copies", Step, key="key", partitions=5)


@app.on(steps, to=copies)
def copy(rows: pl.DataFrame) -> pl.DataFrame:
    time.sleep(rows.height * STEP_S)
    return rows
