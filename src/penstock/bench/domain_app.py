"""The app that the bench of domains runs: one domain, and subscriptions to all of it; others are put meanwhile."""

import os
from dataclasses import dataclass

import penstock as ps


@dataclass
class Payment:
    id: str
    amount: float


app = ps.App("bench", subscriptions=True)
tx = app.domain("tx", Payment, partitions=4)
for number in range(int(os.environ["PENSTOCK_BENCH_SUBSCRIPTIONS"])):
    app.subscribe(
        tx,
        ps.env("PENSTOCK_BENCH_RECEIVER"),
        name=f"all-{number}",
        format="cloudevents-batch",
        batch=(1_000, 1_024),
        allow_http=True,
        allow_private=True,
    )
