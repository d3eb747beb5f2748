"""The figures of a domain with as many topics as one has: each gets one event, and each subscription all of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import load
from .receiver import receiving
from .stack import stack

APP = Path(__file__).with_name("domain_app.py")
PUBLISHERS = 8  # connections
TOGETHER_EVENTS = 1_000  # events of a request, each the first of its topic
ALONE = 2_000  # of the topics, those whose first event comes alone, and has its time taken


@dataclass(frozen=True, slots=True)
class DomainRun:
    """Milliseconds of a publish, p99: of the first event of a topic, which makes it, and of a later one; events a
    second that all subscriptions together got; bytes by which all processes grew, and that they have."""

    first_p99: float
    later_p99: float
    delivered_rate: float
    grown: int
    memory: int


def measure(topics: int, subscriptions: int) -> DomainRun:
    """Of a fresh run. Raises ``RuntimeError`` for a request that failed."""
    with receiving() as receiver:
        environ = {"PENSTOCK_BENCH_SUBSCRIPTIONS": str(subscriptions), "PENSTOCK_BENCH_RECEIVER": receiver.url}
        directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
        with stack(APP, directory, workers=1, environ=environ) as running:
            url = f"{running.url}/domains/tx/events"

            def events(kind: str, first: int, last: int, together: int = 1) -> Iterator[bytes]:
                for start in range(first, last, together):
                    numbers = range(start, min(last, start + together))
                    said = (f'{{"_topic":"tenant-{n}","id":"{kind}-{n}","amount":1.5}}' for n in numbers)
                    yield load.request(url, f"[{','.join(said)}]".encode())

            def send(requests: Iterator[bytes]) -> load.LoadReport:
                report = load.run(url, requests, connections=PUBLISHERS, seconds=3_600)
                if report.failures:
                    raise RuntimeError(f"{report.failures} of {report.requests} requests failed")
                return report

            send(events("warm", 0, 10))
            receiver.wait_for(10 * subscriptions)
            before, alone = sum(running.memory().values()), min(topics // 2, ALONE)
            began = time.perf_counter()
            send(events("first", 0, topics - alone, TOGETHER_EVENTS))
            first = send(events("first", topics - alone, topics))
            receiver.wait_for(topics * subscriptions, timeout=3_600)
            rate = topics * subscriptions / (time.perf_counter() - began)
            later = send(events("later", 0, alone))
            after = sum(running.memory().values())
            return DomainRun(first.p99, later.p99, rate, after - before, after)
