"""The figures of a domain with as many topics as one has: each gets one event, and each subscription all of them; and
of as many subscriptions to a topic of it each, that are put while it runs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import load
from .figures import idle_share, undisturbed
from .receiver import receiving
from .stack import Stack, stack

APP = Path(__file__).with_name("domain_app.py")
PUBLISHERS = 8  # connections
TOGETHER_EVENTS = 1_000  # events of a request, each the first of its topic
ALONE = 2_000  # of the topics, those whose first event comes alone, and has its time taken
PUTS = 20  # of subscriptions, of which the time to the first delivery is taken
RUNS, IDLE_S = 5, 10.0


@dataclass(frozen=True, slots=True)
class DomainRun:
    """Milliseconds of a publish, p99: of the first event of a topic, which makes it, and of a later one; events a
    second that all subscriptions together got; bytes by which all processes grew, and that they have in the end.
    Seconds from a put to the first delivery; shares of a core that all takes with nothing to do."""

    first_p99: float
    later_p99: float
    delivered_rate: float
    grown: int
    memory: int
    active_s: list[float]
    idle: list[float]


def measure(topics: int, subscriptions: int, put: int) -> DomainRun:
    """Of a fresh run. ``subscriptions``: to all topics, of the file; ``put``: to one each. Raises ``RuntimeError`` for
    a request that failed."""
    with receiving() as receiver:
        environ = {
            "PENSTOCK_BENCH_SUBSCRIPTIONS": str(subscriptions),
            "PENSTOCK_BENCH_RECEIVER": receiver.url,
            "PENSTOCK_SUBSCRIPTIONS_INSIDE": "1",
        }
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
            receiver.wait_for(alone * subscriptions)
            put_all(running, receiver.url, put - PUTS)
            active = [put_one(running, number) for number in range(put - PUTS, put)]
            idle = undisturbed(RUNS, lambda: idle_share(running, IDLE_S))
            after = sum(running.memory().values())
            return DomainRun(first.p99, later.p99, rate, after - before, after, active, idle)


def put_all(running: Stack, receiver: str, count: int) -> None:
    def put(number: int) -> None:
        subscribe(running, number, receiver)

    with ThreadPoolExecutor(PUBLISHERS) as threads:
        list(threads.map(put, range(count)))


def put_one(running: Stack, number: int) -> float:
    """Seconds from the put to the first delivery of what is published once it is answered."""
    with receiving() as receiver:
        began = time.perf_counter()
        subscribe(running, number, receiver.url)
        event = {"id": f"own-{number}", "amount": 1.5}
        running.client.post(f"/domains/tx/topics/tenant-{number}/events", json=event).raise_for_status()
        receiver.wait_for(1)
        return time.perf_counter() - began


def subscribe(running: Stack, number: int, receiver: str) -> None:
    wanted = {"source": f"tx/tenant-{number}", "to": receiver}
    running.client.put(f"/subscriptions/own-{number}", json=wanted, timeout=60).raise_for_status()
