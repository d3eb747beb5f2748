"""Every third order is refused for as long as a file named ``shut`` is there."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import penstock as ps

app = ps.App("orders")
FOLDER = Path(os.environ.get("ORDERS", "."))


@dataclass
class Order:
    key: str
    n: int


orders = app.topic("orders", Order, key="key", partitions=4)
checked = app.topic("checked", Order, key="key", partitions=4)


@app.on(orders, to=checked)
def check(rows: pl.DataFrame) -> pl.DataFrame:
    refused = rows["n"] % 3 == 0
    if (FOLDER / "shut").exists() and refused.any():
        raise ps.Reject("not yet", rows=refused)
    if refused.all():  # put back: it takes long enough for kills to meet it
        time.sleep(0.3)
    return rows
