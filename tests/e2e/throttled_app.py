"""The app of the test of a throttled cluster: texts, copied as they are, a record each."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("throttled")


@dataclass
class Text:
    n: int
    key: str
    text: str


texts = app.topic("texts", Text, key="key", partitions=4, encoding="json")
copies = app.topic("copies", Text, key="key", partitions=4, encoding="json")


@app.on(texts, to=copies)
def copy(rows: pl.DataFrame) -> pl.DataFrame:
    return rows
