"""What the history of the registry costs: ``python -m bench.system``.

A process starts, with all that the gateway imports, opens an embedded log and takes in the registry, with 100 of its
events behind it and with 100,000: medians of the time until it knows the models, and of its memory then, in turns.
Beside them what of that is the registry alone, the same without a snapshot, and what the owner's pass costs.

The history is 10,000 versions of ten models, each registered, promoted and used on four partitions.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import psutil
import pyarrow as pa

from penstock.batch import SNAPSHOTS, SYSTEM, Write
from penstock.clock import SystemClock
from penstock.log.embedded import EmbeddedLog
from penstock.models.decide import RegistryState
from penstock.models.interface import Signature
from penstock.models.messages import Activated, MoveAlias, Register
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, every_area
from penstock.system.messages import Message, to_rows
from penstock.system.owner import answer, snapshot
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.system.view import View

FEW, MANY = 100, 100_000
MODELS, PARTITIONS = 10, 4
RUNS = 9
PASSES = 500
COMMANDS_A_WRITE = 250
MIB = 1 << 20
SIGNATURE = Signature(
    pa.schema([(f"x{n}", pa.float32()) for n in range(8)]), pa.schema([("label", pa.int64()), ("risk", pa.float64())])
)

STARTED = """
import sys, time
began = time.perf_counter()
from pathlib import Path
import penstock.gateway.server, penstock.gateway.services, penstock.stages.ingest.group_commit
from penstock.clock import SystemClock
from penstock.run.compose.bootstrap import open_registry
from penstock.log.embedded import EmbeddedLog
log = EmbeddedLog(Path(sys.argv[1]))
opened = time.perf_counter()
registry = open_registry(log, SystemClock(), "gateway")
registry.refresh()
known = time.perf_counter()
assert len(registry.models()) == int(sys.argv[2])
registry.close()
log.close()
import psutil
print(known - opened, psutil.Process().memory_info().rss)
"""


def main() -> None:
    print(f"Python {platform.python_version()}, {psutil.cpu_count()} cores; medians of {RUNS}, in turns")
    with tempfile.TemporaryDirectory() as folder:
        few, many, whole = (Path(folder, name) for name in ("few", "many", "whole"))
        for directory, events in ((few, FEW), (many, MANY), (whole, MANY)):
            fill(directory, events, saved=directory != whole)
        runs = [[started(each) for each in (few, many, whole)] for _ in range(RUNS)]
        names = (f"{FEW} events", f"{MANY:,} events", f"{MANY:,} events, no snapshot")
        found = [[median(run[place][what] for run in runs) for what in range(3)] for place in range(3)]
        for name, (wall, registry, memory) in zip(names, found, strict=True):
            print(f"{name}: start {wall:.3f} s, the registry {registry * 1e3:.1f} ms of it, memory {memory:.1f} MiB")
        print(
            f"start {found[1][0] / found[0][0]:.2f} x, memory {found[1][2] / found[0][2]:.2f} x; both must be ≤ 1.2 x"
        )
        for directory in (few, many):
            one, save = passes(directory)
            print(f"{directory.name}: one command {one * 1e6:.0f} µs, a snapshot {save * 1e3:.0f} ms")


def fill(directory: Path, events: int, *, saved: bool) -> None:
    """A history of so many events, about, and a snapshot where the owner would have taken the last one."""
    with closing(EmbeddedLog(directory)) as log:
        for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            log.create(topic)
        owner = View(log, every_area(), SystemClock(), "owner")
        owner.areas.only(RegistryState).inspect = lambda command: ("onnx", SIGNATURE)
        written, asked = 0, commands()
        while written < events:
            some = [next(asked) for _ in range(min(COMMANDS_A_WRITE, max(events // 10, 1)))]
            rows = to_rows(some)
            answers, _ = answer(owner.areas, rows, now=SystemClock().now())
            used: list[Message] = [
                Activated(stage="s", topic="t", partition=p, from_offset=n, model=c.name, version=1, epoch=n)
                for n, c in enumerate(some)
                if isinstance(c, Register)
                for p in range(PARTITIONS)
            ]
            log.append([Write(SYSTEM, 0, rows), Write(SYSTEM, 0, to_rows([*answers, *used]))])
            written += len(some) + len(answers) + len(used)
            owner.refresh()
            if saved and owner.is_snapshot_due():
                parts, told = snapshot(owner)
                log.append([Write(SNAPSHOTS, 0, parts), Write(SYSTEM, 0, told)])
                owner.refresh()
        owner.close()


def commands() -> Iterator[Register | MoveAlias]:
    versions = dict.fromkeys((f"model-{n}" for n in range(MODELS)), 0)
    number = 0
    while True:
        for name in versions:
            number, versions[name] = number + 1, versions[name] + 1
            id = f"5f1d7a30-0000-4000-8000-{number:012d}"
            yield Register(id=id, name=name, digest=f"{number:064x}", metrics={"auc": 0.9})
            yield MoveAlias(id=f"{id}+", model=name, alias="champion", version=versions[name])


def started(directory: Path) -> tuple[float, float, float]:
    """Seconds of a whole process, seconds of the registry in it, and its memory then, in MiB."""
    began = time.perf_counter()
    known = [sys.executable, "-c", STARTED, str(directory), str(MODELS)]
    told = subprocess.run(known, capture_output=True, text=True, check=True).stdout.split()
    return time.perf_counter() - began, float(told[0]), float(told[1]) / MIB


def passes(directory: Path) -> tuple[float, float]:
    """Seconds of deciding one command, and of saving everything."""
    with closing(EmbeddedLog(directory)) as log:
        view = View(log, [RegistryState(inspect=lambda command: ("onnx", SIGNATURE))], SystemClock(), "owner")
        view.refresh()
        rows = to_rows([MoveAlias(id="new", model="model-0", alias="champion", version=1)])
        one = took(lambda: answer(view.areas, rows, now=0), PASSES)
        save = took(view.snapshots, RUNS)
        view.close()
    return one, save


def took(call: Callable[[], object], times: int) -> float:
    """Seconds, the median."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return median(found)


if __name__ == "__main__":
    main()
