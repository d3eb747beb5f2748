"""Predict the arrival delay of every flight the moment it departs."""

from dataclasses import dataclass

import polars as pl

import penstock as ps
from penstock.demo import flights

app = ps.App("flights")


@dataclass
class Departure:
    month: int
    day: int
    sched_dep_time: int  # hhmm, local
    sched_arr_time: int
    dep_delay: float | None  # minutes; None: cancelled, as far as anybody knows
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    distance: int  # miles
    hour: int
    minute: int


@dataclass
class Delay:
    flight: int
    arr_delay: float  # minutes


departures = app.topic("departures", Departure, key="tailnum", partitions=4, retain="7d")
features = app.topic("features")  # columns: what prepare returns
delays = app.topic("delays", Delay)


@app.on(departures, to=features)
def prepare(rows: pl.DataFrame) -> pl.DataFrame:
    return flights.prepare(rows)


delay = app.model("delay", outputs=["arr_delay"])

app.score(features, delay, to=delays, keep=["flight"])
