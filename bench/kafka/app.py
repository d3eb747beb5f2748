"""The job as an app: flight events from one topic of Kafka, scored, to another."""

import os
from typing import Literal, cast

import penstock as ps
from penstock.bench.bare import BareDelay, BareDeparture

encoding = cast(Literal["arrow", "json"], os.environ["PENSTOCK_BENCH_ENCODING"])

app = ps.App("bench")
departures = app.topic("departures", BareDeparture, key="tailnum", partitions=4, encoding=encoding)
delays = app.topic("delays", BareDelay, encoding=encoding)
delay = app.model("delay", os.environ["PENSTOCK_BENCH_MODEL"], outputs=["arr_delay"])
app.score(departures, delay, to=delays, keep=["flight"])
