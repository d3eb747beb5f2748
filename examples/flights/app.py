"""Predict the arrival delay of every flight the moment it departs."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("flights")
CARRIERS = {"UA": 1, "AA": 2}


@dataclass
class Departure:
    flight: int
    carrier: str
    dep_delay: float
    distance: int
    tailnum: str | None = None


@dataclass
class Delay:
    flight: int
    arr_delay: float


departures = app.topic("departures", Departure, key="tailnum", partitions=4, retain="7d")
features = app.topic("features")  # columns: from a zero-row call of prepare
delays = app.topic("delays", Delay)


@app.on(departures, to=features)
def prepare(flights: pl.DataFrame) -> pl.DataFrame:
    code = pl.col("carrier").replace_strict(CARRIERS, default=-1)
    return flights.with_columns(carrier_code=code)


delay = app.model("delay", "delay.onnx", outputs=["arr_delay"])

app.score(features, delay, to=delays, keep=["flight"])  # on every event
# on a call: POST /topics/departures/events?wait=delays


@dataclass
class Holdout:
    rows: pl.DataFrame  # the columns of features, and the actual delay


@app.resource
def holdout(path: str = ps.env("HOLDOUT", "holdout.parquet")) -> Iterator[Holdout]:
    yield Holdout(pl.read_parquet(path))


@app.on(ps.ModelRegistered, where="model = 'delay'", timeout="1h")
def evaluate(new: ps.ModelRegistered, models: ps.Models, holdout: Holdout) -> None:
    if mae(models.load(f"delay/{new.version}"), holdout.rows) < mae(models.load("delay@champion"), holdout.rows):
        models.promote("delay", new.version)


def mae(model: ps.Loaded, rows: pl.DataFrame) -> float:
    miss = model.predict(rows)["arr_delay"] - rows["actual"]
    return float(miss.abs().mean())  # type: ignore[arg-type]
