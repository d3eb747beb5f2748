"""What it costs to call a function or a model in a child process instead of inline: ``python bench/hop.py``.

For each number of rows of 10 float columns: the median of a call inline and through the child, the difference, and
the CPU time of both processes a call. Then the memory of a runner of functions and of a runner of models, what an idle
runner costs, and how long a fresh one takes.
"""

from __future__ import annotations

import hashlib
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from penstock.declare.load import load
from penstock.declare.planning.build import resolve
from penstock.models.interface import ModelVersion, Signature
from penstock.runner.child import ChildRunner
from penstock.runner.inline import InlineRunner
from penstock.runner.interface import Artifact
from penstock.settings import Settings

COLUMNS = [f"c{i}" for i in range(10)]
APP = f"""
from dataclasses import dataclass
import pyarrow as pa
from penstock.declare.app import App

app = App("hop")

@dataclass
class Row:
    {chr(10).join(f"    {c}: float" for c in COLUMNS).strip()}

@dataclass
class One:
    c0: float

rows, ones = app.topic("rows", Row), app.topic("ones", One)

@app.on(rows, to=ones)
def first(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.select(["c0"])
"""
CALLS, LIMIT = 400, 10.0


def main() -> None:
    machine = f"{platform.machine()}, {psutil.cpu_count()} cores"
    print(f"Python {platform.python_version()}, {machine}, medians of {CALLS} calls, times in µs")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "hop_app.py")
        file.write_text(APP)
        app = load(str(file))
        plan = resolve(app.app, target=app.target, code=app.code).plan
        inline, child = InlineRunner(app.app, plan), ChildRunner(plan, settings=Settings(), name="hop")
        start = timed(lambda: child.apply("first", batch(1), timeout=LIMIT), 1)
        print(
            f"\n{'rows':>6} {'inline µs':>10} {'child µs':>10} {'hop µs':>8} {'CPU here µs':>12} {'CPU there µs':>13}"
        )
        for count in (1, 100, 1_000, 4_000):
            compare(batch(count), inline, child)
        print(f"\na fresh runner of functions: {start / 1e6:.2f} s, {memory(child)}, idle: {idle(child)}")
        child.close()
        inline.close()
        if model_file(Path(folder)):
            scorer(Path(folder))


def batch(count: int) -> pa.RecordBatch:
    random = np.random.default_rng(1)
    return pa.record_batch({c: random.random(count) for c in COLUMNS})


def compare(rows: pa.RecordBatch, inline: InlineRunner, child: ChildRunner) -> None:
    here = timed(lambda: inline.apply("first", rows, timeout=LIMIT), CALLS)
    process = psutil.Process(runner_pid())
    before, ours = cpu(process), time.process_time()
    there = timed(lambda: child.apply("first", rows, timeout=LIMIT), CALLS)
    mine, its = (time.process_time() - ours) / CALLS * 1e6, (cpu(process) - before) / CALLS * 1e6
    print(" ".join(f"{figure:>12.0f}" for figure in (rows.num_rows, here, there, there - here, mine, its)))


def timed(call: Callable[[], object], times: int) -> float:
    """The median, in µs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e6)
    return statistics.median(taken)


def cpu(process: psutil.Process) -> float:
    """CPU seconds, to the nanosecond where Linux tells."""
    try:
        return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return float(sum(process.cpu_times()[:2]))


def runner_pid() -> int:
    return int(psutil.Process().children()[0].pid)


def memory(runner: ChildRunner) -> str:
    full = psutil.Process(runner_pid()).memory_full_info()
    return f"{full.rss >> 20} MiB resident, {full.uss >> 20} MiB of its own"


def idle(runner: ChildRunner) -> str:
    process = psutil.Process(runner_pid())
    before = cpu(process)
    time.sleep(2)
    return f"{(cpu(process) - before) / 2:.4%} of a core"


def model_file(folder: Path) -> bool:
    """A small LightGBM model as text, if the library is there."""
    try:
        import lightgbm
    except ImportError:
        return False
    random = np.random.default_rng(1)
    data = random.random((2_000, 10))
    options = {"num_leaves": 31, "verbose": -1, "num_threads": 1, "objective": "regression"}
    booster = lightgbm.train(options, lightgbm.Dataset(data, data.sum(1), feature_name=COLUMNS), 100)
    booster.save_model(str(folder / "model.txt"))
    return True


def scorer(folder: Path) -> None:
    path = folder / "model.txt"
    signature = Signature(pa.schema([(c, pa.float64()) for c in COLUMNS]), pa.schema([("y", pa.float64())]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    artifact = Artifact(ModelVersion("hop", 1, digest, "lightgbm", signature, 0), path)
    runner = ChildRunner(None, settings=Settings(), name="scorer")
    start = timed(lambda: runner.predict(artifact, batch(1), timeout=LIMIT), 1)
    print(f"a fresh runner of models (LightGBM loaded): {start / 1e6:.2f} s, {memory(runner)}")
    for count in (1, 100, 1_000, 4_000):
        rows = batch(count)
        taken = timed(lambda rows=rows: runner.predict(artifact, rows, timeout=LIMIT), CALLS // 4)  # type: ignore[misc]
        print(f"{count:>6} rows scored in {taken:.0f} µs")
    runner.close()


if __name__ == "__main__":
    main()
