"""The figures of the budget, each measured on a fresh ``penstock run``."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

from . import bare, load
from .bare import Bare, BareDeparture
from .events import arrow_bodies, json_bodies
from .stack import Stack, stack

ARROW = "application/vnd.apache.arrow.stream"
QUIET = 0.005  # of the CPU: a run from which the host took less is not measured again
ROUNDS = 4  # times that a run sends all the events: its beginning and its end then weigh little
APP = Path(__file__).with_name("app.py")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Flow:
    """One run of publish → durable → scored → durable."""

    cpu: float  # seconds of all Penstock processes, per event
    rate: float  # events per second, from the first byte sent to the last prediction durable
    load_cpu: float  # seconds of the load generator, per event
    memory: dict[str, int]  # bytes by role, at the end


@dataclass(frozen=True, slots=True)
class Bench:
    """What the figures share: the events, the model, and the bare loop before and after each run."""

    events: Sequence[BareDeparture]
    model: Path
    runs: int = 5

    def stack(self) -> AbstractContextManager[Stack]:
        directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
        return stack(APP, directory, environ={"PENSTOCK_BENCH_MODEL": str(self.model)})

    def bare(self) -> Bare:
        return bare.measure(self.events[:16_384], self.model, seconds=1.0)

    def flow(self, bodies: Sequence[bytes], size: int, content_type: str, connections: int) -> list[tuple[Flow, Bare]]:
        """``runs`` runs over all the bodies, each with the mean of the bare loops just before and after it."""
        before = self.bare()
        with self.stack() as running:
            send_all(running, bodies[:8], size, content_type, connections)  # the model loaded, the batch cap fitted

            def once() -> tuple[Flow, Bare]:
                nonlocal before
                flow = send_all(running, [*bodies] * ROUNDS, size, content_type, connections)
                after = self.bare()
                mean, before = Bare((before.cpu + after.cpu) / 2, after.batch), after
                return flow, mean

            return undisturbed(self.runs, once)

    def json(self, size: int = 1_000, connections: int = 8) -> list[tuple[Flow, Bare]]:
        return self.flow(json_bodies(list(self.events), size), size, "application/json", connections)

    def arrow(self, size: int = 2_000, connections: int = 8) -> list[tuple[Flow, Bare]]:
        return self.flow(arrow_bodies(list(self.events), size), size, ARROW, connections)

    def singles(self, connections: int = 200, seconds: float = 4.0) -> list[load.LoadReport]:
        """One event a request, as fast as the publishers can."""
        bodies = json_bodies(list(self.events[:5_000]), 1)
        with self.stack() as running:
            url = f"{running.url}/topics/departures/events"
            requests = cycle([load.request(url, body[1:-1]) for body in bodies])
            load.run(url, requests, connections=connections, seconds=1.0)
            return undisturbed(self.runs, lambda: load.run(url, requests, connections=connections, seconds=seconds))

    def latency(self, rate: int = 1_000, seconds: float = 5.0) -> list[list[float]]:
        """Milliseconds from the sending of an event, one a request at ``rate``, to its prediction in the log.

        Infinite for one that back-pressure refused: the publisher would still be trying.
        """
        bodies = [body[1:-1] for body in json_bodies(list(self.events[: int(rate * seconds)]), 1)]
        with self.stack() as running:
            url = f"{running.url}/topics/departures/events"

            def once() -> list[float]:
                before = running.count("delays")
                sent = load.pace(url, [load.request(url, body) for body in bodies], rate=rate)
                running.wait_for("delays", before + len(sent) - sent.count(None))
                scored = _appended(running.client, "delays", len(bodies))
                return [inf if at is None else (scored[event] - at) / 1e3 for event, at in enumerate(sent)]

            once()  # warms up
            return undisturbed(self.runs, once)

    def start_and_idle(self, seconds: float = 10.0) -> tuple[list[float], list[float]]:
        """Seconds from the command to ``ready``, and the shares of a core that an idle system takes."""

        def start() -> float:
            with self.stack() as running:
                return running.started

        starts = undisturbed(self.runs, start)
        with self.stack() as running:
            running.client.get("/readyz")
            time.sleep(3.0)  # let the runners load
            return starts, undisturbed(self.runs, lambda: idle_share(running, seconds))


def send_all(
    running: Stack,
    bodies: Sequence[bytes],
    size: int,
    content_type: str = "application/json",
    connections: int = 8,
    headers: Sequence[str] = (),
) -> Flow:
    """From the first byte sent until all of it is scored and durable. ``size``: events of a body."""
    url = f"{running.url}/topics/departures/events"
    requests = iter([load.request(url, body, content_type, headers) for body in bodies])
    events = size * len(bodies)
    target = running.count("departures") + events
    cpu, start = running.cpu(), time.perf_counter()
    report = load.run(url, requests, connections=connections, seconds=60)
    if report.failures:
        raise RuntimeError(f"{report.failures} of {report.requests} requests failed")
    running.wait_for("delays", target)
    seconds = time.perf_counter() - start
    return Flow((running.cpu() - cpu) / events, events / seconds, report.cpu / events, running.memory())


def stolen() -> float:
    """Seconds that the host gave to others, over all cores; 0 where the system does not tell."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def undisturbed(runs: int, measure: Callable[[], T], stolen: Callable[[], float] = stolen) -> list[T]:
    """Measured ``runs`` times. The host of a virtual machine may give its CPU to others: where it did, up to as many
    runs again are measured, and those count from which it took the least.
    """
    found: list[tuple[float, T]] = []
    while len(found) < runs or (len(found) < 2 * runs and found[runs - 1][0] > QUIET):
        before, began = stolen(), time.monotonic()
        value = measure()
        share = (stolen() - before) / (time.monotonic() - began) / (os.cpu_count() or 1)
        found = sorted([*found, (share, value)], key=itemgetter(0))
    return [value for _, value in found[:runs]]


def idle_share(running: Stack, seconds: float) -> float:
    """Of a core."""
    before = running.cpu()
    time.sleep(seconds)
    return (running.cpu() - before) / seconds


def _appended(client: httpx.Client, topic: str, newest: int) -> dict[int, float]:
    """Append time, microseconds since the epoch, of the ``newest`` last events of a topic, by their ``flight``."""
    found: dict[int, float] = {}
    for state in client.get(f"/topics/{topic}").json()["partitions"]:
        offset = max(0, state["end"] - newest)
        while offset < state["end"]:
            query = {"partition": state["partition"], "offset": offset, "limit": 10_000}
            rows = client.get(f"/topics/{topic}/events", params=query).json()
            for row in rows:
                found[row["data"]["flight"]] = microseconds(row["time"])
            offset = rows[-1]["offset"] + 1 if rows else state["end"]
    return found


def microseconds(text: str) -> float:
    """Since 1970, of a time in ISO 8601."""
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp() * 1e6


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(flows: Sequence[tuple[Flow, Bare]], of: Callable[[Flow, Bare], float]) -> list[float]:
    return [of(flow, loop) for flow, loop in flows]
