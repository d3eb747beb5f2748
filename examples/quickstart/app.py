"""Score every payment, the moment it comes in."""

from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("quickstart")


@dataclass
class Payment:
    id: str
    card: str
    amount: float
    country: str


@dataclass
class Score:
    id: str
    risk: float


payments = app.topic("payments", Payment, key="card", partitions=4, retain="7d")
features = app.topic("features")  # its columns are what prepare returns
scores = app.topic("scores", Score)


@app.on(payments, to=features)  # a DataFrame in: called with a batch, as large as what is there
def prepare(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(abroad=(pl.col("country") != "NL").cast(pl.Float64))


risk = app.model("risk", "risk.py", inputs=["amount", "abroad"], outputs=["risk"])

app.score(features, risk, to=scores, keep=["id"])
