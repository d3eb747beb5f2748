"""The app that the bench delivers with: events of thirteen fields, to one endpoint, in their order by
airplane if asked, or to thousands that want others."""

import os

import penstock as ps
from penstock.bench.bare import BareDeparture

app = ps.App("bench")
ordered = os.environ["PENSTOCK_BENCH_ORDERED"] == "1"
departures = app.topic("departures", BareDeparture, key="tailnum" if ordered else None, partitions=4)
events, idle = int(os.environ["PENSTOCK_BENCH_BATCH"]), int(os.environ["PENSTOCK_BENCH_IDLE"])
app.subscribe(
    departures,
    ps.env("PENSTOCK_BENCH_RECEIVER"),
    name="all",
    format="cloudevents" if events == 1 else "cloudevents-batch",
    batch=(events, 1_024),
    secret=ps.secret("PENSTOCK_BENCH_SECRET"),
    ordered=ordered,
    allow_http=True,
    allow_private=True,
)
for number in range(idle):
    app.subscribe(
        departures,
        ps.env("PENSTOCK_BENCH_RECEIVER"),
        name=f"of-{number}",
        where=f"flight = {-1 - number}",
        allow_http=True,
        allow_private=True,
    )
