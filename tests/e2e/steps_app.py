"""The app of the fault tests: numbered steps of several writers, copied as they are.

With ``STEPS_ENCODING=json`` any client of Kafka can read them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import polars as pl

import penstock as ps

app = ps.App("steps")
encoding: Literal["arrow", "json"] = "json" if os.environ.get("STEPS_ENCODING") == "json" else "arrow"


@dataclass
class Step:
    key: str
    writer: int
    seq: int
    ballast: str = ""


steps = app.topic("steps", Step, key="key", partitions=4, encoding=encoding)
copies = app.topic("copies", Step, key="key", partitions=4, encoding=encoding)


@app.on(steps, to=copies)
def copy(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(ballast=pl.lit(""))
