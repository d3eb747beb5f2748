"""From the start to ``ready``, and from there to the first score: ``python -m penstock.bench.first_score APP [SRC …]``.

Each SRC is the ``src`` folder of another version, to compare with; the versions take turns, so that what else the
machine does falls on all of them. APP is the quickstart's.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .stack import stack

ROUNDS = 20
QUESTION = "/topics/payments/events?wait=scores"
PAYMENT = {"id": "p1", "card": "c7", "amount": 120, "country": "US"}


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds until ``ready``, seconds from there until the answer, and whether the score was in it."""

    ready: float
    answered: float
    scored: bool


def start(app: Path, source: Path | None) -> Start:
    environ = {} if source is None else {"PYTHONPATH": os.fspath(source)}
    with TemporaryDirectory() as folder, stack(app, Path(folder), environ=environ) as running:
        began = time.perf_counter()
        said = running.client.post(QUESTION, json=PAYMENT, timeout=30.0).raise_for_status().json()
        return Start(running.started, time.perf_counter() - began, bool(said["results"]))


def shown(name: str, starts: list[Start]) -> str:
    ready, answered = ([getattr(s, what) for s in starts] for what in ("ready", "answered"))
    scored = sum(s.scored for s in starts)
    return (
        f"{name}: ready after {statistics.median(ready):.2f} s ({min(ready):.2f}-{max(ready):.2f}), "
        f"first answer after {1_000 * statistics.median(answered):.0f} ms "
        f"({1_000 * min(answered):.0f}-{1_000 * max(answered):.0f}), with the score {scored} of {len(starts)} times"
    )


def main(app: str, *sources: str) -> None:
    versions: dict[str, Path | None] = {"this version": None} | {source: Path(source) for source in sources}
    starts: dict[str, list[Start]] = {name: [] for name in versions}
    for _ in range(ROUNDS):
        for name, source in versions.items():
            starts[name].append(start(Path(app), source))
    for name, measured in starts.items():
        print(shown(name, measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
