"""Orders through two stages, and a second way to the same topic; an order's ``what`` says what becomes of it.

With ``ONE_WAY`` it is only the stages from that topic on: fewer runners to start, for a test that has a run of its own.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import penstock as ps

app = ps.App("orders")
FOLDER = Path(os.environ.get("ORDERS", "."))
ONE_WAY = os.environ.get("ONE_WAY", "")


@dataclass
class Order:
    key: str
    n: int
    what: str = "good"


@dataclass
class Made:
    n: int
    by: str
    process: int
    nth: int = 0


orders = app.topic("orders", Order, key="key", partitions=4)
once = app.topic("once", Order, key="key", partitions=4, dedupe="10m")
checked = app.topic("checked", Order, partitions=4)
made = app.topic("made", Made, key="n", partitions=3)  # of another key: rows leave their parent's partition
sides = app.topic("sides", Order, partitions=4)


def check(rows: pl.DataFrame) -> pl.DataFrame:
    while (FOLDER / "closed").exists():  # a test holds this stage up
        time.sleep(0.02)
    if (refused := rows["what"] == "rejected").any():
        raise ps.Reject("not wanted", rows=refused)
    if (rows["what"] == "poison").any():
        raise ValueError("cannot be checked")
    return rows.filter(pl.col("what") != "filtered")


for topic, name in ((orders, "check"), (once, "check-once")):
    if ONE_WAY in ("", topic.name):
        app.on(topic, to=checked, name=name)(check)


@app.on(checked, to=made)
def make(order: Order) -> list[Made]:
    if order.what == "late-poison":
        raise ValueError("cannot be made")
    times = {"dropped": 0, "twice": 2}.get(order.what, 1)
    return [Made(order.n, "make", os.getpid(), nth) for nth in range(times)]


if not ONE_WAY:

    @app.on(orders, to=sides)
    def aside(order: Order) -> Order | None:
        return order if order.what == "aside" else None

    @app.on(sides, to=made, name="side")
    def side(order: Order) -> Made:
        if (FOLDER / "away").exists():
            raise ps.Unavailable("the side is away")
        return Made(order.n, "side", os.getpid())
