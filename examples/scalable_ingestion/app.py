"""Departures come in from any Kafka client; what is quick keeps up, and what is slow follows at its own speed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("scalable-ingestion")


@dataclass
class Departure:
    month: int
    day: int
    sched_dep_time: int  # hhmm, local
    sched_arr_time: int
    dep_delay: float | None  # minutes; None: cancelled
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    distance: int  # miles
    hour: int
    minute: int


@dataclass
class Features(Departure):
    route: str
    is_late: bool


@dataclass
class Stranded:
    flight: int
    tailnum: str | None
    passengers: int


departures = app.topic("departures", Departure, key="tailnum", partitions=4, retain="1d", encoding="json")
features = app.topic("features", Features, key="tailnum", partitions=4, retain="1d")
stranded = app.topic("stranded", Stranded, key="tailnum", partitions=4, retain="1d", encoding="json")


@app.on(departures, to=features)  # quick: all that waits, at once
def prepare(rows: pl.DataFrame) -> pl.DataFrame:
    late = (pl.col("dep_delay") > 15).fill_null(True)
    return rows.with_columns(route=pl.col("origin") + "-" + pl.col("dest"), is_late=late)


@dataclass
class Bookings:
    """Stands for a service elsewhere, which answers one question at a time."""

    seconds: float

    def missed_connections(self, departure: Departure) -> int:
        time.sleep(self.seconds)
        return departure.distance // 100 if departure.dep_delay is None else int(max(departure.dep_delay, 0) // 15)


@app.resource
def bookings(seconds: str = ps.env("BOOKINGS_SECONDS", "0.01")) -> Iterator[Bookings]:
    yield Bookings(float(seconds))


@app.on(departures, to=stranded)  # slow: one by one, in a group of its own
def rebook(departure: Departure, bookings: Bookings) -> Stranded:
    return Stranded(departure.flight, departure.tailnum, bookings.missed_connections(departure))
