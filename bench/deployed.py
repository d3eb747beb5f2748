"""``python -m bench.deployed``: what the halves of a deployed app take, and how long `penstock deploy --dry-run` does.

Starts a broker of its own, as the tests do. Memory is that of all processes of a half, shared pages counted once (PSS),
after 60,000 events of the quickstart; a half is ready when it says so, counted from its start.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
from tests.brokers.cluster import running
from tests.e2e.rig import eventually
from tests.e2e.roles import Half, half

EXAMPLES = Path(__file__).parents[1] / "examples"
EVENTS, BATCH, ROUNDS = 60_000, 1_000, 5
PATIENCE_S = 300.0
MIB = 1 << 20


def main() -> None:
    dry_runs()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder, "brokers")) as cluster:
        halves(f"kafka://{cluster.bootstrap}/shop", Path(folder))


def dry_runs() -> None:
    command = [sys.executable, "-m", "penstock", "deploy", str(EXAMPLES / "flights" / "app.py"), "--target", "azure"]
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([*command, "--dry-run"], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - began)
    print(f"deploy --dry-run of flights, median of {ROUNDS}: {statistics.median(taken):.2f} s", flush=True)


def halves(log: str, folder: Path) -> None:
    """Twice: the first start makes the topics, as later ones do not; data directories are new each time."""
    app = EXAMPLES / "quickstart" / "app.py"
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    for start in ("first", "second"):
        with ExitStack() as stack:
            runs = {}
            for only in ("gateway", "workers"):
                begun = half(
                    only, folder / f"{start}-{only}", log, app, "--artifacts", f"file://{folder / 'artifacts'}"
                )
                runs[only] = ready(f"{start} start of {only}", stack.enter_context(begun))
            url = runs["gateway"].url
            publish(url)
            assert eventually(partial(all_dealt_with, url), PATIENCE_S), "they did not come to the end"
            for name, run in runs.items():
                pss = sum(process.memory_full_info().pss for process in run.family())
                print(f"{name}: {pss / MIB:.0f} MiB after {EVENTS:,} events", flush=True)
            for run in runs.values():
                run.stop()


def publish(url: str) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        for begin in range(0, EVENTS, BATCH):
            rows = [
                {"id": f"p{n}", "card": f"c{n % 997}", "amount": n % 500, "country": "NL"}
                for n in range(begin, begin + BATCH)
            ]
            client.post("/topics/payments/events", json=rows).raise_for_status()


def ready(name: str, run: Half) -> Half:
    began = time.perf_counter()
    assert run.url
    print(f"{name}: ready after {time.perf_counter() - began:.2f} s", flush=True)
    return run


def all_dealt_with(url: str) -> bool:
    groups = httpx.get(f"{url}/groups", timeout=30).json()
    return all(group["lag_events"] == 0 for group in groups if not group["group"].startswith("penstock."))


if __name__ == "__main__":
    main()
