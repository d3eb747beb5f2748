"""What small bodies and greedy readers cost: the gateway's memory above idle, and a neighbour's p99 beside each.

    python -m bench.hostile            # a table; about a minute and a half

The neighbour publishes one event a request on four connections. Must: its p99 at most twice that of without, and the
gateway at most 300 MiB above idle.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import numpy as np
import psutil
import pyarrow as pa

from penstock.bench.stack import Stack, role_of, stack

SECONDS = 5.0  # of the neighbour, beside each body
AT_ONCE = 4  # senders of each body
MIB = 1 << 20
APP = """
from dataclasses import dataclass

import penstock as ps

app = ps.App("hostile")


@dataclass
class Reading:
    n: int
    values: list[float]


notes = app.topic("notes")
readings = app.topic("readings", Reading)
large = app.topic("large")
"""
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
GZIP = {"content-encoding": "gzip"}


def arrow(values: pa.Array) -> bytes:
    batch = pa.RecordBatch.from_arrays([pa.array(np.arange(len(values))), values], ["n", "values"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def packed(start: bytes, part: bytes, end: bytes) -> bytes:
    return gzip.compress(start + part * (31 * MIB // len(part)) + end)


def views() -> pa.Array:
    rows = np.full(9_000, 2_000, np.int32)
    return pa.ListViewArray.from_arrays(pa.array(rows * 0), pa.array(rows), pa.array(np.arange(2_000.0)))


def coded() -> pa.Array:
    codes = pa.array(np.zeros(40_000, np.int8))
    return pa.DictionaryArray.from_arrays(codes, pa.array([list(np.arange(2_000.0))]))


@dataclass(frozen=True)
class Attack:
    """A request. ``headers`` beside its content type."""

    path: str
    body: bytes = b""
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, client: httpx.Client) -> int:
        if not self.body:
            return client.get(self.path).status_code
        return client.post(self.path, content=self.body, headers={"content-type": self.kind} | self.headers).status_code


NOTES, READINGS = "/topics/notes/events", "/topics/readings/events"
ATTACKS = {
    "32 KB of gzip: lists in a topic without a type": Attack(NOTES, packed(b"[", b"[],", b"[]]"), headers=GZIP),
    "the same, one value more than once": Attack(NOTES, packed(b"[[", b"[],", b"[]]]"), headers=GZIP),
    "lines of numbers": Attack(NOTES, packed(b"", b"1\n", b""), "application/x-ndjson", GZIP),
    "CloudEvents without anything": Attack(
        NOTES, packed(b"[", b"{},", b"{}]"), "application/cloudevents-batch+json", GZIP
    ),
    "lists of nulls": Attack(READINGS, arrow(pa.FixedSizeListArray.from_arrays(pa.nulls(80_000_000), 2_000)), ARROW),
    "views that overlap": Attack(READINGS, arrow(views()), ARROW),
    "a dictionary of lists": Attack(READINGS, arrow(coded()), ARROW),
    "64 events of a megabyte, read": Attack("/topics/large/events?limit=10000"),
    "to compare: 1,000 events as they should be": Attack(
        READINGS, json.dumps([{"n": 1, "values": [1.0]}] * 1_000).encode()
    ),
}


def gateway(running: Stack) -> psutil.Process:
    return next(process for process in running.tree() if role_of(process.cmdline()) == "gateway")


def peak(process: psutil.Process) -> int:
    """Bytes, since the peak was last begun anew."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1_024


def neighbour(running: Stack, folder: Path) -> float:
    """p99 in milliseconds, of a process that does nothing else."""
    event = folder / "event.json"
    event.write_text('{"n": 1, "values": [1.0]}')
    command = [sys.executable, "-m", "penstock.bench.load", "--url", running.url + READINGS, "--body", str(event)]
    said = subprocess.check_output([*command, "--connections", "4", "--seconds", str(SECONDS)])
    return float(json.loads(said)["p99"])


def attack_again(url: str, attack: Attack, over: Event, told: Queue[Counter[int]]) -> None:
    os.nice(10)  # it stands for another machine
    statuses = Counter[int]()
    with httpx.Client(base_url=url, timeout=30) as client:
        while not over.is_set():
            statuses[attack.send(client)] += 1
            over.wait(0.01)
    told.put(statuses)


@contextmanager
def beside(running: Stack, attack: Attack) -> Iterator[Counter[int]]:
    """The attack again and again meanwhile, from processes of their own; afterwards, how often it had which answer."""
    forking = multiprocessing.get_context("fork")
    over, told, statuses = forking.Event(), forking.Queue(), Counter[int]()
    senders = [forking.Process(target=attack_again, args=(running.url, attack, over, told)) for _ in range(AT_ONCE)]
    for sender in senders:
        sender.start()
    try:
        yield statuses
    finally:
        over.set()
        for sender in senders:
            statuses.update(told.get())
            sender.join()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app.py"
        app.write_text(APP)
        with stack(app, Path(folder) / "data", workers=1) as running:
            for _ in range(64):
                running.client.post("/topics/large/events", json={"text": "x" * 1_000_000})
            neighbour(running, Path(folder))  # warms up
            process, alone = gateway(running), neighbour(running, Path(folder))
            print("| beside | p99 | × without | gateway above idle | answers |\n|---|---|---|---|---|")
            print(f"| nothing | {alone:.1f} ms | 1 × | | |", flush=True)
            for name, attack in ATTACKS.items():
                time.sleep(1.0)
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
                idle = process.memory_info().rss
                with beside(running, attack) as statuses:
                    p99 = neighbour(running, Path(folder))
                grown = (peak(process) - idle) / MIB
                counts = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
                print(f"| {name} | {p99:.1f} ms | {p99 / alone:.1f} × | {grown:.0f} MiB | {counts} |", flush=True)


if __name__ == "__main__":
    main()
