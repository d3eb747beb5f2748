"""The figures of what goes out to webhooks, each of a fresh ``penstock run`` and a receiver on this machine."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import load
from .bare import BareDeparture
from .events import arrow_bodies, json_bodies
from .figures import ARROW, idle_share, microseconds, undisturbed
from .receiver import Receiver, receiving
from .stack import Stack, stack

APP = Path(__file__).with_name("delivery_app.py")
SECRET = "whsec_" + base64.b64encode(bytes(24)).decode()
BODY_EVENTS = 1_000  # of a request to the gateway


@dataclass(frozen=True, slots=True)
class Delivery:
    """One run of publish → durable → delivered, signed, with its place durable."""

    rate: float  # events per second, from the first byte sent to the last event received
    cpu: float  # seconds of the courier, per request


@dataclass(frozen=True, slots=True)
class DeliveryBench:
    events: Sequence[BareDeparture]
    runs: int = 5

    @contextmanager
    def running(self, batch: int = 1, idle: int = 0, *, ordered: bool = False) -> Iterator[tuple[Stack, Receiver]]:
        """``idle``: subscriptions beside the one, to which no event goes."""
        directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
        with receiving() as receiver:
            environ = {
                "PENSTOCK_BENCH_BATCH": str(batch),
                "PENSTOCK_BENCH_IDLE": str(idle),
                "PENSTOCK_BENCH_ORDERED": str(int(ordered)),
                "PENSTOCK_BENCH_RECEIVER": receiver.url,
                "PENSTOCK_BENCH_SECRET": SECRET,
            }
            with stack(APP, directory, workers=1, environ=environ) as running:
                yield running, receiver

    def throughput(self, events: int, batch: int, *, ordered: bool = False) -> list[Delivery]:
        """``events`` in all, ``batch`` in each request out; those of an airplane in their order, or as they come."""
        taken = [self.events[at % len(self.events)] for at in range(events)]
        bodies = arrow_bodies(taken, BODY_EVENTS)
        with self.running(batch, ordered=ordered) as (running, receiver):

            def once() -> Delivery:
                url = f"{running.url}/topics/departures/events"
                requests = iter([load.request(url, body, ARROW) for body in bodies])
                cpu, start = running.cpu("courier"), time.perf_counter()
                report = load.run(url, requests, connections=4, seconds=60)
                if report.failures:
                    raise RuntimeError(f"{report.failures} of {report.requests} requests failed")
                receiver.wait_for(events)
                seconds = time.perf_counter() - start
                return Delivery(events / seconds, (running.cpu("courier") - cpu) / (events / batch))

            once()  # warms up
            return undisturbed(self.runs, once)

    def latency(self, rate: int = 1_000, seconds: float = 5.0) -> list[list[float]]:
        """Milliseconds from the append of an event, one a request at ``rate``, to its arrival at the receiver."""
        bodies = [body[1:-1] for body in json_bodies(list(self.events[: int(rate * seconds)]), 1)]
        with self.running() as (running, receiver):
            url = f"{running.url}/topics/departures/events"

            def once() -> list[float]:
                sent = load.pace(url, [load.request(url, body) for body in bodies], rate=rate)
                times = receiver.wait_for(len(sent) - sent.count(None))
                return [(came - microseconds(appended.decode())) / 1e3 for came, appended in times]

            once()  # warms up
            return undisturbed(self.runs, once)

    def idle(self, subscriptions: int, seconds: float = 10.0) -> list[float]:
        """The shares of a core that an idle system with so many subscriptions takes."""
        with self.running(idle=subscriptions) as (running, _):
            running.client.get("/readyz")
            time.sleep(5.0)  # their places are stored
            return undisturbed(self.runs, lambda: idle_share(running, seconds))
