"""granian or uvicorn? The same bare ASGI app behind both: read a body, decode it, answer.

    python bench/server_choice.py            (needs granian, which Penstock itself does not: pip install granian)

Each server runs in a process of its own with one worker and one event loop; penstock.bench.load makes the load. The
figure that decides is the server's CPU per request and per event, since the cores are shared with the scorers.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import psutil

HERE = Path(__file__).parent
PORT = 8765
EVENT = {
    "tailnum": "N14228",
    "carrier": "UA",
    "flight": 1545,
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "month": 1,
    "day": 1,
    "hour": 5,
    "minute": 15,
    "dep_delay": 2.0,
    "sched_dep": "2013-01-01T05:15:00Z",
    "sched_arr": "2013-01-01T08:19:00Z",
}
SERVERS = {
    "uvicorn": "uvicorn --loop uvloop --http httptools --no-access-log --log-level error --port",
    "granian": "granian --interface asginl --loop uvloop --workers 1 --no-access-log --log-level error --port",
}
CASES = {"1 event, 200 connections": (1, 200), "1,000 events, 8 connections": (1_000, 8)}
RUNS, SECONDS = 5, 3.0


class Event(msgspec.Struct):
    tailnum: str
    carrier: str
    flight: int
    origin: str
    dest: str
    distance: int
    month: int
    day: int
    hour: int
    minute: int
    dep_delay: float
    sched_dep: str
    sched_arr: str


decoder = msgspec.json.Decoder(Event | list[Event])


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    count = len(found) if isinstance(found := decoder.decode(body or b"[]"), list) else 1
    answer = b'{"count":%d}' % count
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def cpu(process: psutil.Process) -> float:
    """Seconds of CPU of a server and its workers so far."""
    family = [process, *process.children(recursive=True)]
    return float(sum(t.user + t.system for t in (p.cpu_times() for p in family)))


def wait_until_up(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}")


def measure(name: str, body: Path, events: int, connections: int) -> list[dict[str, float]]:
    url = f"http://127.0.0.1:{PORT}/topics/t/events"
    command = [sys.executable, "-m", *SERVERS[name].split(), str(PORT), "server_choice:app"]
    server = subprocess.Popen(command, cwd=HERE)
    found = []
    try:
        wait_until_up(url)
        load = [sys.executable, "-m", "penstock.bench.load", "--url", url, "--body", str(body)]
        load += ["--connections", str(connections), "--seconds", str(SECONDS)]
        for _ in range(RUNS):
            before = cpu(psutil.Process(server.pid))
            report = json.loads(subprocess.run(load, check=True, capture_output=True).stdout)
            spent = cpu(psutil.Process(server.pid)) - before
            report["server_us_per_event"] = spent / (report["requests"] * events) * 1e6
            found.append(report)
    finally:
        server.terminate()
        server.wait(10)
    return found


def main() -> None:
    with TemporaryDirectory() as directory:
        for case, (events, connections) in CASES.items():
            body = Path(directory) / f"{events}.json"
            body.write_bytes(msgspec.json.encode(EVENT if events == 1 else [EVENT] * events))
            for name in SERVERS:
                runs = measure(name, body, events, connections)
                middle = {k: round(statistics.median(r[k] for r in runs), 2) for k in runs[0]}
                print(json.dumps({"server": name, "case": case, **middle}), flush=True)


if __name__ == "__main__":
    main()
