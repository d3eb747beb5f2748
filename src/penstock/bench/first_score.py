"""From the start to ``ready``, and from there to the first score: ``python -m penstock.bench.first_score APP [SRC …]``.

Each SRC is the ``src`` folder of another version, to compare with; the versions take turns, so that what else the
machine does falls on all of them. APP is the quickstart's. The modules are compiled before anything is measured, as
those of an installed version are, whatever the environment says of that; nothing is written beside them.
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
class FirstScore:
    """Seconds until ``ready``, seconds from there until the answer, whether the score was in it, and seconds from the
    start until there was one."""

    ready: float
    answered: float
    scored: bool
    score: float


def start(app: Path, source: Path | None, compiled: Path) -> FirstScore:
    environ = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": os.fspath(compiled)}
    if source is not None:
        environ["PYTHONPATH"] = os.fspath(source)
    with TemporaryDirectory() as folder, stack(app, Path(folder), environ=environ) as running:
        began = time.perf_counter()
        said = running.client.post(QUESTION, json=PAYMENT, timeout=30.0).raise_for_status().json()
        answered = time.perf_counter() - began
        scored = bool(said["results"])
        later = 0.0 if scored else running.wait_for("scores", 1)
        return FirstScore(running.started, answered, scored, running.started + answered + later)


def shown(name: str, starts: list[FirstScore]) -> str:
    ready, answered, score = ([getattr(s, what) for s in starts] for what in ("ready", "answered", "score"))
    scored = sum(s.scored for s in starts)
    return (
        f"{name}: ready after {statistics.median(ready):.2f} s ({min(ready):.2f}-{max(ready):.2f}), "
        f"first answer after {1_000 * statistics.median(answered):.0f} ms "
        f"({1_000 * min(answered):.0f}-{1_000 * max(answered):.0f}), with the score {scored} of {len(starts)} times; "
        f"from the start to the score {statistics.median(score):.2f} s ({min(score):.2f}-{max(score):.2f})"
    )


def main(app: str, *sources: str) -> None:
    versions: dict[str, Path | None] = {"this version": None} | {source: Path(source) for source in sources}
    starts: dict[str, list[FirstScore]] = {name: [] for name in versions}
    with TemporaryDirectory() as compiled:
        for source in versions.values():
            start(Path(app), source, Path(compiled))
        for _ in range(ROUNDS):
            for name, source in versions.items():
                starts[name].append(start(Path(app), source, Path(compiled)))
    for name, measured in starts.items():
        print(shown(name, measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
