"""The app of the tests of large events: each is copied, and some grow."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("large")
GROWN = 3 << 20  # characters


@dataclass
class Text:
    n: int
    text: str = ""
    grows: bool = False


texts = app.topic("texts", Text, partitions=1, encoding="json")
batches = app.topic("batches", Text, partitions=1)
copies = app.topic("copies", Text, partitions=1)


def grown(rows: pl.DataFrame) -> pl.DataFrame:
    noise = pl.lit("".join(map(chr, range(33, 127))) * (GROWN // 94))
    return rows.with_columns(text=pl.when("grows").then(noise).otherwise("text"))


@app.on(texts, to=copies)
def copy_text(rows: pl.DataFrame) -> pl.DataFrame:
    return grown(rows)


@app.on(batches, to=copies)
def copy_batch(rows: pl.DataFrame) -> pl.DataFrame:
    return grown(rows)
