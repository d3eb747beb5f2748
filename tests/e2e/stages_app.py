"""Functions of every kind over one topic of numbers; some numbers are poison to some of them."""

import asyncio
import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

import penstock as ps

app = ps.App("zoo")

RAISE, HANG, CRASH, EAT, REJECT = {107, 611}, {313, 1_201}, {517, 1_409}, {929}, {201, 1_003, 1_999}
EVERY = RAISE | HANG | CRASH | EAT | REJECT
SOME = RAISE | REJECT | {313, 517}  # of a whole batch each death costs several children
LIMIT = "2s"


@dataclass
class Number:
    n: int
    who: str


@dataclass
class Made:
    n: int
    value: float


@dataclass
class Tariff:
    factor: float


@app.resource
def tariff(factor: str = ps.env("ZOO_FACTOR", "2")) -> Iterator[Tariff]:
    yield Tariff(float(factor))


def meet(values: list[int]) -> None:
    """What the animals among these do, whoever handles them."""
    found = set(values)
    if found & RAISE:
        raise ValueError(f"{min(found & RAISE)} is bad")
    if found & CRASH:
        ctypes.string_at(0)
    if found & HANG:
        time.sleep(60)
    if found & EAT:
        eaten = []
        while True:
            eaten.append(np.ones(1 << 23))  # 64 MiB
    if found & REJECT:
        raise ps.Reject("refused")


numbers = app.topic("numbers", Number, key="who", partitions=4)
ones = app.topic("ones", Made, partitions=4)
awaits = app.topic("awaits", Made, partitions=4)
lists = app.topic("lists", Made, partitions=4)
events = app.topic("events", Made, partitions=4)
frames = app.topic("frames", Made, partitions=4)
arrows = app.topic("arrows", Made, partitions=4)


@app.on(numbers, to=ones, timeout=LIMIT)
def one(number: Number, tariff: Tariff) -> Made:
    meet([number.n])
    return Made(number.n, number.n * tariff.factor)


@app.on(numbers, to=awaits, timeout=LIMIT, concurrency=8)
async def awaited(number: Number) -> Made:
    await asyncio.sleep(0.0001 if number.n % 7 == 0 else 0)
    if number.n in RAISE | REJECT:
        meet([number.n])
    return Made(number.n, 0.0)


@app.on(numbers, to=lists, timeout=LIMIT)  # type: ignore[arg-type]  # a list an event: taken, and not among the types
def listed(those: list[Number]) -> list[list[Made]]:
    if any(number.n in RAISE for number in those):
        meet([number.n for number in those])
    return [[Made(number.n, 0.0), Made(number.n, 1.0)] for number in those]


@app.on(numbers, to=events, timeout=LIMIT)
def enveloped(event: ps.Event[Number]) -> Made | None:
    if event.data.n in RAISE | REJECT:
        meet([event.data.n])
    assert event.key == event.data.who and event.id == f"numbers/{event.partition}/{event.offset}"
    return Made(event.data.n, float(event.offset))


@app.on(numbers, to=frames, timeout=LIMIT)
def framed(rows: pl.DataFrame, tariff: Tariff) -> pl.DataFrame:
    if (refused := rows["n"].is_in(list(REJECT))).any():
        raise ps.Reject("refused", rows=refused)
    meet([n for n in rows["n"].to_list() if n in SOME])
    return rows.select("_row", "n", value=pl.col("n") * tariff.factor)


@app.on(numbers, to=arrows, timeout=LIMIT)
def arrowed(rows: pa.RecordBatch) -> pa.RecordBatch:
    values = rows.column("n").to_pylist()
    meet([n for n in values if n in RAISE])
    print("stdout is not a channel", len(values), flush=True)
    os.write(1, b"not even so\n")
    return rows.drop_columns(["who"]).append_column("value", pa.array([0.0] * len(values), pa.float64()))
