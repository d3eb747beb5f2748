"""Predict delays as flights depart; whoever registers a model sets off its review, outside of the system."""

from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("event-driven-workflow")
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
features = app.topic("features")
delays = app.topic("delays", Delay)


@app.on(departures, to=features)
def prepare(flights: pl.DataFrame) -> pl.DataFrame:
    code = pl.col("carrier").replace_strict(CARRIERS, default=-1)
    return flights.with_columns(carrier_code=code)


delay = app.model("delay", "delay.onnx", outputs=["arr_delay"])
app.score(features, delay, to=delays, keep=["flight"])

app.subscribe(
    ps.ModelRegistered,
    ps.env("REVIEW_URL"),
    where="model = 'delay'",
    format="eventgrid",  # it comes as Microsoft.MachineLearningServices.ModelRegistered
    retry=ps.Retry(attempts=3, ttl="1440m"),
    batch=(1, 64),
    secret=ps.secret("REVIEW_KEY"),
    allow_http=True,  # the reviewer is on this machine
    allow_private=True,
)
