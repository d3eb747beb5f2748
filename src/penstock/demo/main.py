"""``penstock demo``: what it says while it runs, and the table at the end."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..client.connection import Client
from ..errors import CannotStart, install
from . import flights, flow

LEAVES = (15, 31)  # of the trees of version 1 and 2


def run(*, directory: Path | None, keep: bool, port: int, workers: int, as_json: bool) -> None:
    """Raises ``CannotStart`` without the extra ``demo``, or for a directory that is not empty."""
    console = Console(stderr=as_json)
    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise CannotStart(f"{directory} is not empty: the demo counts what it stores, so name a new directory")
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as scratch:
        rows, files = learn(console, Path(scratch))
        data = directory or Path(scratch) / "data"
        with flow.served(data, port=port, workers=workers) as (url, server), client_of(url) as client:
            console.print(f"[dim]serving[/] {url}  [dim]data in[/] {data}")
            result = stream(console, url, client, rows, files)
            if as_json:
                print(result.to_json(), flush=True)
            else:
                console.print(table(result))
            if keep:
                console.print(f"still serving {url}: try [b]penstock tail delays --url {url}[/]; Ctrl-C ends it")
                server.wait()


def client_of(url: str) -> Client:
    return Client(url, timeout=flow.PATIENCE_S, patience=flow.PATIENCE_S)


def learn(console: Console, scratch: Path) -> tuple[pl.DataFrame, list[Path]]:
    """All flights, and the ONNX files of two models trained on January to September."""
    try:
        with console.status("reading 336,776 flights, training two models on January to September"):
            rows = flights.load()
            files = [
                flights.export(flights.train(rows, leaves=leaves), scratch / f"delay-{version}.onnx")
                for version, leaves in enumerate(LEAVES, 1)
            ]
    except ModuleNotFoundError as error:
        raise CannotStart(f"the demo needs {error.name}: {install('demo')}") from None
    console.print(f"[dim]trained[/] two models of 100 trees on {trained_on(rows):,} flights of January to September")
    return rows, files


def trained_on(rows: pl.DataFrame) -> int:
    return rows.filter((pl.col("month") <= 9) & pl.col("arr_delay").is_not_null()).height


def stream(console: Console, url: str, client: Client, rows: pl.DataFrame, files: list[Path]) -> flow.DemoResult:
    """October to December through the door; version 2 takes over half-way."""
    first, second = files
    client.register_model("delay", first)
    flow.wait_until_ready(client)
    later = rows.filter(pl.col("month") >= 10)
    takeover = flow.Takeover(url, second)
    with Progress(
        TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task("", total=later.height)
        start = time.perf_counter()
        flow.publish(client, later.drop("arr_delay"), takeover, lambda rows: bar.advance(task, rows))
    flow.wait_for(client, "delays", later.height)
    return flow.look(client, later, time.perf_counter() - start)


def table(result: flow.DemoResult) -> Table:
    shown = Table(show_header=False, box=None, padding=(0, 2))
    equal = "[green]equal[/]" if result.events == result.predictions else "[red]not equal[/]"
    versions = ", ".join(f"version {version}: {count:,}" for version, count in result.versions.items())
    for name, value in (
        ("events in", f"{result.events:,}"),
        ("predictions out", f"{result.predictions:,} ({equal})"),
        ("by version", versions),
        ("rate", f"{result.rate:,.0f} events/s, from the first one sent to the last prediction on disk"),
        ("latency", f"p50 {result.p50:,.1f} ms, p99 {result.p99:,.1f} ms from acknowledgement to prediction on disk"),
        ("mean error", f"{result.error:.2f} minutes, over the {result.measured:,} flights that arrived"),
        ("beside", f'{result.baseline:.2f} minutes for "arrives as late as it left"'),
    ):
        shown.add_row(f"[dim]{name}[/]", value)
    return shown
