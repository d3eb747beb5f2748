"""Every shape a function may have; each comes back from the decorator with the type it had."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_type

import polars as pl

import penstock as ps

app = ps.App("shapes")


@dataclass
class A:
    a: int


@dataclass
class B:
    b: int


a = app.topic("a", A, key="a", partitions=2, retain="7d", retain_bytes=1_000_000, dedupe="10m")
b = app.topic("b", B, retain=None)
anything = app.topic("anything")
assert_type(a, ps.Topic[A])
assert_type(anything, ps.Topic[dict[str, Any]])


@app.on(a, to=b)
def one(x: A) -> B:
    return B(x.a)


@app.on(a, to=b, name="maybe-one", start="latest", retry=ps.Retry(attempts=2, ttl="1m"), timeout="1s")
def maybe(x: A) -> B | None:
    return None


@app.on(a, to=b)
def several(x: A) -> list[B]:
    return []


@app.on(a, to=b)
def yielded(x: A) -> Iterator[B]:
    yield B(x.a)


@app.on(a, to=b, concurrency=8)
async def later(x: A) -> B:
    return B(x.a)


@app.on(a, to=b)
async def several_later(x: A, models: ps.Models) -> list[B]:
    return []


@app.on(a, to=b)
def with_envelope(x: ps.Event[A]) -> B | None:
    return B(x.data.a) if x.key else None


@app.on(a, to=b)
def in_lists(xs: list[A]) -> list[B]:
    return [B(x.a) for x in xs]


@app.on(a, to=b)
def in_frames(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.rename({"a": "b"})


@app.on(a, to=b)
async def in_frames_later(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.rename({"a": "b"})


@app.on(a)
async def seen_in_frames_later(rows: pl.DataFrame) -> None: ...


@app.on(anything, to=a)
def from_json(x: dict[str, Any]) -> A:
    return A(x["a"])


@app.on(a)
def seen(x: A) -> None: ...


@app.on(a)
async def seen_later(x: ps.Event[A]) -> None: ...


@app.on(a)
def seen_in_frames(rows: pl.DataFrame, url: str = ps.env("URL"), key: str = ps.secret("KEY")) -> None: ...


@app.on(ps.ModelPromoted, where="alias = 'champion'")
def promoted(x: ps.ModelPromoted) -> None: ...


assert_type(one(A(1)), B)
assert_type(maybe(A(1)), B | None)
assert_type(several(A(1)), list[B])
assert_type(in_lists([A(1)]), list[B])


app.subscribe(a, "https://example.com/")
app.subscribe(a, b, where="a > 1", name="copies", retry=ps.Retry(attempts=3), rate="100/s", concurrency=4)
app.subscribe(anything, ps.env("URL"), where=pl.col("a") > 1, secret=ps.secret("KEY"), start="earliest")
app.subscribe(
    ps.ModelRegistered,
    ps.secret("URL"),
    filter=ps.eventgrid.Filter(["penstock.model.registered"]),
    batch=(100, 64),
    format="eventgrid",
    secret=[ps.secret("NEW"), ps.secret("OLD")],
    headers={"x-team": "risk", "authorization": ps.secret("TOKEN")},
    allow_http=True,
    allow_private=True,
)
