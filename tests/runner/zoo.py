"""An app of well-behaved and badly behaved functions. Those that misbehave do so at x == 13."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from penstock.declare.app import App
from penstock.declare.events import Event, ModelRegistered
from penstock.declare.handles.models import Models
from penstock.declare.values import env
from penstock.errors import Reject, Unavailable

BAD = 13
app = App("zoo")


@dataclass
class In:
    x: int
    name: str | None = None


@dataclass
class Out:
    x: int
    double: float


source = app.topic("source", In, key="name")
target = app.topic("target", Out)
free = app.topic("free")


@dataclass
class Offset:
    value: int


@app.resource
def offset(journal: str = env("ZOO_JOURNAL", "")) -> Iterator[Offset]:
    write(journal, "opened\n")
    yield Offset(1000)
    write(journal, "closed\n")


def write(journal: str, line: str) -> None:
    if journal:
        with Path(journal).open("a") as file:
            file.write(line)


# -- well-behaved -------------------------------------------------------------


@app.on(source, to=target)
def one(event: In) -> Out | None:
    return Out(event.x, 2.0 * event.x) if event.x >= 0 else None


@app.on(source, to=target)
def several(event: In) -> Iterator[Out]:
    for n in range(event.x):
        yield Out(event.x, float(n))


@app.on(source, to=target, concurrency=4)
async def slow_first(event: In) -> Out:
    import asyncio

    await asyncio.sleep(0.02 if event.x == 0 else 0.0)
    if event.x == BAD:
        raise ValueError("thirteen")
    return Out(event.x, 0.0)


@app.on(source, to=target)
def listed(events: list[In]) -> list[Out | None]:
    return [Out(e.x, 0.0) if e.x != BAD else None for e in events]


@app.on(source, to=target)
def enveloped(event: Event[In]) -> Out:
    return Out(event.offset, float(event.partition))


@app.on(source, to=target)
def frame(rows: pl.DataFrame, offset: Offset) -> pl.DataFrame:
    return rows.with_columns(double=pl.col("x") * 2.0 + offset.value, extra=pl.lit("dropped"))


@app.on(source, to=target)
def thinned(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("x") % 2 == 0).reverse().with_columns(double=0.5)


@app.on(source, to=target)
def arrow(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.append_column("double", pa.array(rows.column("x").to_pylist(), pa.float64()))


@app.on(source, to=target)
def rejecting(rows: pl.DataFrame) -> pl.DataFrame:
    if (bad := rows["x"] == BAD).any():
        raise Reject("unlucky", rows=bad)
    return rows.with_columns(double=1.0)


@app.on(source)
def sink(event: In) -> None:
    if event.x == BAD:
        raise ConnectionError("the sink is away")


@app.on(source, to=free)
def untyped(rows: pl.DataFrame, offset: Offset) -> pl.DataFrame:
    return rows.select("_row", "x", text=pl.lit("é"))


@app.on(ModelRegistered)
def registered(new: ModelRegistered, models: Models) -> None:
    version = models.register(new.model, Path(__file__), metrics={"n": 1.0})
    models.register(new.model, Path(__file__))
    if new.version == BAD:
        raise ValueError("after the promotion")
    models.promote(new.model, version)


@app.on(ModelRegistered)
def loading(new: ModelRegistered, models: Models) -> None:
    models.load(f"{new.model}@champion").predict(pl.DataFrame({"x": [1.0]}))


@app.on(ModelRegistered)
def deleting(new: ModelRegistered, models: Models) -> None:
    models.delete(new.model)  # type: ignore[attr-defined]


@app.on(ModelRegistered)
def rummaging(new: ModelRegistered, models: Models) -> None:
    """Past its handle, with what lies behind it."""
    models._access._services.answer("Models", f"{new.model}drop", b"")  # type: ignore[attr-defined]


@app.on(source)
def talking(event: In, models: Models) -> None:
    while True:
        models.register("m", Path(__file__))


# -- badly behaved ------------------------------------------------------------


@app.on(source, to=target)
def raising(event: In) -> Out:
    if event.x == BAD:
        raise ValueError("thirteen")
    return Out(event.x, 0.0)


@app.on(source, to=target)
def exiting(event: In) -> Out:
    if event.x == BAD:
        sys.exit("enough")
    return Out(event.x, 0.0)


@app.on(source, to=target)
def unavailable(event: In) -> Out:
    if event.x == BAD:
        raise Unavailable("the warehouse is closed")
    return Out(event.x, 0.0)


@app.on(source, to=target)
def wrong_type(event: In) -> Out:
    return Out(event.x, "text" if event.x == BAD else 0.0)  # type: ignore[arg-type]


@app.on(source, to=target)
def scalars(event: In) -> Out:
    return Out(np.int64(event.x), np.float64(2 * event.x))  # type: ignore[arg-type]


@app.on(source, to=target)
def wrong_count(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("_row").head(1).with_columns(double=0.0) if rows.height else rows.with_columns(double=0.0)


@app.on(source, to=target)
def wrong_length(events: list[In]) -> list[Out | None]:
    return [Out(events[0].x, 0.0)]


@app.on(source, to=target)
def wrong_kind(rows: pl.DataFrame) -> pl.DataFrame:
    return {"x": [1]} if rows.height else rows.with_columns(double=0.0)  # type: ignore[return-value]


@app.on(source, to=target)
def wrong_row(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(double=0.0, _row=pl.col("_row") + 1)


@app.on(source, to=target)
def wrong_column(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(double=pl.lit("text") if rows.height else pl.lit(0.0))


@app.on(source, to=target)
def nulls(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(double=pl.when(pl.col("x") != BAD).then(0.0))


@app.on(source, to=target)
def columns(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("_row", x=pl.lit(rows.width, pl.Int64), double=0.0)


@app.on(source, to=target)
def nans(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(double=pl.when(pl.col("x") != BAD).then(0.0).otherwise(float("nan")))


@app.on(source, to=target)
def quitting(event: In) -> Out:
    if event.x == BAD:
        os._exit(7)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def crashing(event: In) -> Out:
    if event.x == BAD:
        ctypes.string_at(0)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def hanging(event: In) -> Out:
    while event.x == BAD:
        pass
    return Out(event.x, 0.0)


@app.on(source, to=target)
def hanging_natively(event: In) -> Out:
    if event.x == BAD:
        ctypes.PyDLL(None).pause()  # holds the interpreter's lock: no Python thread and no signal handler runs
    return Out(event.x, 0.0)


@app.on(source, to=target)
def eating(event: In) -> Out:
    eaten = []
    while event.x == BAD:
        eaten.append(np.ones(1 << 21))  # 16 MiB
    return Out(event.x, 0.0)


@app.on(source, to=target)
def breeding(event: In) -> Out:
    """A bounded fork bomb."""
    if event.x == BAD:
        for _ in range(100):
            if os.fork() == 0:
                time.sleep(20)
                os._exit(0)
        time.sleep(20)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def last_words(event: In) -> Out:
    if event.x == BAD:
        os.write(2, b"these are my last words")
        os._exit(1)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def flooding(event: In) -> Out:
    """Writes 64 MiB past ``print``."""
    if event.x == BAD:
        line = b"x" * 1_023 + b"\n"
        for _ in range(512):
            os.write(1, line * 64)
            os.write(2, line * 64)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def straying(event: In) -> Out:
    """Leaves a daemon in a session of its own, its pid in a file, and hangs."""
    if event.x == BAD:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                Path(os.environ["ZOO_JOURNAL"]).write_text(str(os.getpid()))
                time.sleep(20)
            os._exit(0)
        time.sleep(20)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def abandoning(event: In) -> Out:
    """Leaves a daemon in a session of its own, its pid in a file, and dies."""
    lingering(event)
    while not Path(os.environ["ZOO_JOURNAL"]).exists():
        time.sleep(0.01)
    os._exit(1)


@app.on(source, to=target)
def lingering(event: In) -> Out:
    """Leaves a daemon in a session of its own, its pid in a file, and answers."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(os.environ["ZOO_JOURNAL"]).write_text(str(os.getpid()))
            time.sleep(20)
        os._exit(0)
    os.wait()
    return Out(event.x, 0.0)


@app.on(source, to=target)
def leaving(event: In) -> Out:
    """Starts a child in its group, its pid in a file, and hangs."""
    if event.x == BAD:
        child = subprocess.Popen(["sleep", "20"])
        Path(os.environ["ZOO_JOURNAL"]).write_text(str(child.pid))
        time.sleep(20)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def printing(event: In) -> Out:
    print("printed", event.x)
    sys.stdout.buffer.write(b"raw\n")
    os.write(1, b"native\n")
    return Out(event.x, 0.0)


@app.on(source, to=target)
def closing(event: In) -> Out:
    if event.x == BAD:
        os.closerange(0, 64)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def babbling(event: In) -> Out:
    """Writes rubbish to every descriptor it finds."""
    if event.x == BAD:
        for fd in range(3, 64):
            try:
                os.write(fd, b"\xff" * 100)
            except OSError:
                continue
    return Out(event.x, 0.0)


@app.on(source, to=target)
def shrinking(event: In) -> Out:
    if event.x == BAD:
        for fd in range(3, 64):
            try:
                os.ftruncate(fd, 0)
            except OSError:
                continue
    return Out(event.x, 0.0)


@app.on(source, to=target)
def deaf(event: In) -> Out:
    """Ignores what can be ignored, moves away, and hangs."""
    if event.x == BAD:
        os.chdir("/")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(20)
    return Out(event.x, 0.0)


@app.on(source, to=target)
def rude(event: In) -> Out:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message")

    if event.x == BAD:
        raise Rude
    return Out(event.x, 0.0)


kept: list[pl.DataFrame] = []


@app.on(source, to=target)
def keeping(rows: pl.DataFrame) -> pl.DataFrame:
    """Answers with the frame of the call before: it must not have changed."""
    if rows.height:
        kept.append(rows)
    return (kept[-2] if len(kept) > 1 else rows).with_columns(double=0.0)


@app.on(source, to=target)
def where_am_i(event: In) -> Out:
    return Out(os.getpid(), float(os.environ.get("POLARS_MAX_THREADS", "0")))


@app.on(source, to=target)
def secretive(event: In) -> Out:
    return Out(len([k for k in os.environ if k.startswith("PENSTOCK_")]), 0.0)
