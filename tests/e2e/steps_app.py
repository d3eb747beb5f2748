"""The app of the fault tests: numbered steps of several writers, copied as they are."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("steps")


@dataclass
class Step:
    key: str
    writer: int
    seq: int
    ballast: str = ""


steps = app.topic("steps", Step, key="key", partitions=4)
copies = app.topic("copies", Step, key="key", partitions=4)


@app.on(steps, to=copies)
def copy(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(ballast=pl.lit(""))
