"""Score every card payment, with the risk of its merchant looked up on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import httpx
import polars as pl

import penstock as ps

app = ps.App("fraud")


@dataclass
class Payment:
    payment_id: str
    card_id: str
    merchant: str
    amount: float
    at: datetime


@dataclass
class Inputs(Payment):
    merchant_risk: float | None


@dataclass
class Score:
    payment_id: str
    score: float


payments = app.topic("payments", Payment, key="card_id", partitions=16, retain="7d")
inputs = app.topic("inputs", Inputs, key="card_id")
scores = app.topic("scores", Score, key="payment_id", retain="90d")


@dataclass
class Risks:
    table: pl.DataFrame  # merchant, merchant_risk


@app.resource
def client(url: str = ps.env("RISKS_URL")) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=5) as made:
        yield made


@app.resource
def risks(client: httpx.Client) -> Iterator[Risks]:
    yield Risks(pl.DataFrame(client.get("/risks").raise_for_status().json()))


@app.on(payments, to=inputs)
def prepare(rows: pl.DataFrame, risks: Risks) -> pl.DataFrame:
    return rows.join(risks.table, on="merchant", how="left", maintain_order="left")


fraud = app.model("fraud", "fraud.onnx", outputs=["score"])
app.score(inputs, fraud, to=scores, keep=["payment_id"])
