"""The demo, step by step: a server on a fresh directory, real flights through its doors, and what came out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..client.connection import Client
from ..errors import CannotStart, PenstockError
from . import flights

APP = Path(__file__).with_name("app.py")
BODY_EVENTS = 500  # events of one request
PATIENCE_S = 60.0  # seconds that a step may take


@contextmanager
def served(directory: Path, *, port: int, workers: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``penstock run`` of the demo's app: its URL once it serves, and its process, which is stopped at the end."""
    command = [sys.executable, "-m", "penstock", "run", str(APP), "--data", str(directory), "--port", str(port)]
    process = subprocess.Popen([*command, "--workers", str(workers)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = next((text for text in process.stdout if text.startswith("ready ")), None)
        if line is None:
            raise CannotStart(f"penstock run ended with exit code {process.wait()} before it served")
        yield line.split()[1], process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@dataclass
class Takeover:
    """Registers and promotes a model on a thread of its own, while events go on flowing, until every worker has it."""

    url: str
    file: Path
    error: PenstockError | None = None

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="takeover")
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            with Client(self.url, timeout=PATIENCE_S, patience=PATIENCE_S) as client:
                version = client.register_model("delay", self.file)
                client.promote("delay", version)
                wait_until_at_work(client, version)
        except PenstockError as error:
            self.error = error


def publish(client: Client, rows: pl.DataFrame, takeover: Takeover, progress: Callable[[int], None]) -> None:
    """Send the departures in requests of ``BODY_EVENTS`` events.

    The takeover begins half-way and events flow on meanwhile; the last quarter waits for it, or a fast machine would
    have sent everything before. Raises what the takeover failed with.
    """
    half, last = rows.height // 2 // BODY_EVENTS * BODY_EVENTS, rows.height * 3 // 4 // BODY_EVENTS * BODY_EVENTS
    thread: threading.Thread | None = None
    for at in range(0, rows.height, BODY_EVENTS):
        if at == half:
            thread = takeover.start()
        if at == last and thread is not None:
            thread.join()
        client.publish("departures", rows[at : at + BODY_EVENTS])
        progress(min(BODY_EVENTS, rows.height - at))
    if takeover.error is not None:
        raise takeover.error


def wait_until_ready(client: Client) -> None:
    """Until every stage can work: the first version is loaded. Raises ``PenstockError`` with what is waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := client.ready()):
        if time.monotonic() > deadline:
            raise PenstockError(f"not ready after {PATIENCE_S:.0f} s: {'; '.join(r['reason'] for r in answer.reasons)}")
        time.sleep(0.05)


def wait_until_at_work(client: Client, version: int) -> None:
    """Until every worker scores with it: it is loaded beside the one before, which goes on until then."""
    deadline = time.monotonic() + PATIENCE_S
    while {scorer["version"] for scorer in client.model("delay")["scorers"]} != {version}:
        if time.monotonic() > deadline:
            raise PenstockError(f"delay/{version} is not at work after {PATIENCE_S:.0f} s; GET /models/delay says why")
        time.sleep(0.05)


def wait_for(client: Client, topic: str, events: int) -> None:
    """Until the topic holds so many events. Raises ``PenstockError`` when it takes longer than ``PATIENCE_S``."""
    deadline = time.monotonic() + PATIENCE_S
    while (have := stored(client, topic)) < events:
        if time.monotonic() > deadline:
            raise PenstockError(f"{topic} holds {have} of {events} events; readiness: {client.ready().reasons}")
        time.sleep(0.02)


def stored(client: Client, topic: str) -> int:
    return next(int(t["events"]) for t in client.topics() if t["name"] == topic)


@dataclass(frozen=True, slots=True)
class DemoResult:
    events: int
    predictions: int
    versions: dict[int, int]
    rate: float  # events a second, from the first one sent to the last prediction durable
    p50: float  # milliseconds from acknowledgement to durable prediction
    p99: float
    error: float  # minutes: mean absolute error of the predictions
    baseline: float  # minutes: the same of "arrives as late as it left"
    measured: int  # flights that arrived, so that both errors are known

    def to_json(self) -> str:
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def look(client: Client, sent: pl.DataFrame, seconds: float) -> DemoResult:
    """Read all three topics back through the doors, and follow each prediction to its departure by its parents."""
    departures, features, delays = (client.read(topic) for topic in ("departures", "features", "delays"))
    here = ["_parent_partition", "_parent"]
    there = ["_partition", "_offset"]
    chain = delays.join(features.select(*there, pl.col(here).name.suffix("_departure")), left_on=here, right_on=there)
    left = [f"{name}_departure" for name in here]
    chain = chain.join(departures.select(*there, *flights.EVENT, left_at="_appended"), left_on=left, right_on=there)
    waited = (chain["_appended"] - chain["left_at"]).dt.total_microseconds() / 1e3
    known = sent.filter(pl.col("arr_delay").is_not_null()).select(*flights.EVENT, actual="arr_delay")
    judged = chain.join(known, on=flights.EVENT, nulls_equal=True)
    counts = chain["_version"].value_counts().sort("_version")
    return DemoResult(
        events=departures.height,
        predictions=chain.height,
        versions=dict(zip(counts["_version"].to_list(), counts["count"].to_list(), strict=True)),
        rate=departures.height / seconds,
        p50=float(waited.quantile(0.5) or 0.0),
        p99=float(waited.quantile(0.99) or 0.0),
        error=mean_absolute(judged["arr_delay"] - judged["actual"]),
        baseline=mean_absolute(judged["dep_delay"] - judged["actual"]),
        measured=judged.height,
    )


def mean_absolute(miss: pl.Series) -> float:
    return float(miss.abs().mean() or 0.0)  # type: ignore[arg-type]
