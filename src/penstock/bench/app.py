"""The app that the bench runs: thirteen fields in, scored where they land, predictions out."""

import os

import penstock as ps
from penstock.bench.bare import BareDelay, BareDeparture

app = ps.App("bench")
departures = app.topic("departures", BareDeparture, key="tailnum", partitions=4)
delays = app.topic("delays", BareDelay)
delay = app.model("delay", os.environ["PENSTOCK_BENCH_MODEL"], outputs=["arr_delay"])
app.score(departures, delay, to=delays, keep=["flight"])
