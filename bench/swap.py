"""How long scoring stands still when a model is replaced under load: ``python bench/swap.py``.

One worker, one event a request all the time. Version 2 is promoted, then version 1 again. For each move: the longest
delay of an event from its append to its prediction's, and the longest gap between two predictions, in the two seconds
before and until two seconds after the first prediction of the new version; and when that came. Then the memory of
worker and runners. Models: a Python class that sleeps for two seconds in ``__init__``, and 256 MiB of ONNX. At last,
how long another thread of the same process waits while a library loads.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from penstock import tokens
from penstock.bench.stack import Stack, stack
from penstock.log.embedded import EmbeddedLog

PAUSE, CALM = 0.005, 2.0  # seconds between two events; of quiet before and after a move
ROWS = 1 << 20  # of the ONNX model's table, 64 floats each: 256 MiB
APP = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("swap")

@dataclass
class Row:
    n: int
    x: int

@dataclass
class Answer:
    n: int
    y: float

rows = app.topic("rows", Row, key="n", partitions=4)
answers = app.topic("answers", Answer, partitions=4)
app.score(rows, app.model("m", outputs=["y"], inputs=["x"]), to=answers, keep=["n"])
"""
SLEEPER = """
import time
import polars as pl

class Sleeper:
    inputs = ["x"]
    def __init__(self):
        time.sleep(2)
    def predict(self, rows):
        return rows.select(y=pl.col("x") * FACTOR)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    print(f"Python {platform.python_version()}, {platform.machine()}, {psutil.cpu_count()} cores; times in ms")
    for name, make in (("a Python class, 2 s", sleeper), ("ONNX, 256 MiB", table)):
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                swap(name, Path(folder), make)
    alongside()


def sleeper(version: int) -> bytes:
    return SLEEPER.replace("FACTOR", f"{version}.0").encode()


def table(version: int) -> bytes:
    """x looks up a row of a large table: much to load, little to compute."""
    from onnx import TensorProto, helper, numpy_helper

    values = np.full((ROWS, 64), version, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["t", "x"], ["row"], axis=0),
            helper.make_node("ReduceMean", ["row"], ["y"], axes=[2], keepdims=0),
        ],
        "table",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(values, "t")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


# -- a swap under load --------------------------------------------------------


@dataclass
class Load:
    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self.stop.is_set():
                row = {"n": self.sent, "x": self.sent % 1_000}
                client.post(f"{self.url}/topics/rows/events", json=row).raise_for_status()
                self.sent += 1
                self.stop.wait(PAUSE)


@dataclass
class Memory:
    """What worker and runners held at most, while it was looked at."""

    running: Stack
    stop: threading.Event = field(default_factory=threading.Event)
    most: int = 0

    def run(self) -> None:
        while not self.stop.wait(0.2):
            with suppress(psutil.Error):
                self.most = max(self.most, held(self.running))


def held(running: Stack) -> int:
    sizes = running.memory()
    return (sizes.get("worker", 0) + sizes.get("runner", 0)) >> 20


def swap(name: str, folder: Path, make: Callable[[int], bytes]) -> None:
    (folder / "app.py").write_text(APP)
    data = folder / "data"
    with stack(folder / "app.py", data, workers=1) as running:
        for version in (1, 2):
            register(running.url, make(version), tokens.read(tokens.path_in(data)))
        load, memory = Load(running.url), Memory(running)
        threads = [threading.Thread(target=x.run) for x in (load, memory)]
        threads[0].start()
        running.wait_for("answers", 200)
        before = held(running)
        threads[1].start()
        moves = []
        for version in (2, 1):
            time.sleep(2 * CALM)
            moves.append((version, time.time()))
            httpx.post(f"{running.url}/models/m/promote", json={"version": version}, timeout=60).raise_for_status()
            time.sleep(6)
        after = held(running)
        load.stop.set()
        memory.stop.set()
        for thread in threads:
            thread.join()
        running.wait_for("answers", load.sent)
    answered = predictions(data)
    for (version, at), move in zip(moves, ("a new version", "a roll-back"), strict=True):
        print(f"{name}, {move}: {told(answered, version, at)}")
    print(f"{name}: worker and runners {before} MiB before, {memory.most} MiB at most, {after} MiB after", flush=True)


def register(url: str, content: bytes, secret: str) -> None:
    query, shown = {"trust": f"sha256:{hashlib.sha256(content).hexdigest()}"}, {"authorization": f"Bearer {secret}"}
    answer = httpx.post(f"{url}/models/m/versions", params=query, headers=shown, content=content, timeout=120)
    assert answer.status_code == 201, answer.text


def predictions(data: Path) -> np.ndarray[Any, Any]:
    """(appended, delay, version) of each prediction, seconds, in the order of time."""
    log = EmbeddedLog(data)
    published: dict[tuple[int, int], int] = {}
    found = []
    for topic in ("rows", "answers"):
        reader = log.reader(None, [topic], "bench")
        while batches := reader.read(50_000, 0.0):
            for batch in batches:
                if topic == "rows":
                    places = ((batch.partition, p) for p in batch.positions.tolist())
                    published |= zip(places, batch.appended.tolist(), strict=True)
                    continue
                parents = zip(
                    *(batch.rows.column(c).to_pylist() for c in ("_parent_partition", "_parent")), strict=True
                )
                assert batch.origin is not None and batch.origin.version is not None
                for appended, parent in zip(batch.appended.tolist(), parents, strict=True):
                    found.append((appended / 1e6, (appended - published[parent]) / 1e6, batch.origin.version))
        reader.close()
    log.close()
    return np.array(sorted(found))


def told(answered: np.ndarray[Any, Any], version: int, moved: float) -> str:
    times, delays = answered[:, 0], answered[:, 1]
    first = times[(times >= moved) & (answered[:, 2] == version)].min()
    calm, during = (times >= moved - CALM) & (times < moved), (times >= moved) & (times < first + CALM)
    figures = [f"{1e3 * delays[part].max():.0f}/{1e3 * np.diff(times[part]).max():.0f}" for part in (calm, during)]
    return f"delay/gap {figures[0]} before, {figures[1]} during, first prediction after {1e3 * (first - moved):.0f}"


# -- loading on a thread ------------------------------------------------------


def alongside() -> None:
    """What a thread that wants the interpreter every millisecond waits for while another loads."""
    import lightgbm
    import onnxruntime
    import skops.io
    from sklearn.ensemble import RandomForestRegressor

    random = np.random.default_rng(1)
    x = random.random((5_000, 10))
    options = {"num_leaves": 255, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}
    booster = lightgbm.train(options, lightgbm.Dataset(x, x.sum(1)), 400).model_to_string()
    forest = RandomForestRegressor(100, n_jobs=1).fit(x[:2_000], x[:2_000].sum(1))
    packed, pickled = skops.io.dumps(forest), pickle.dumps([{str(n): n} for n in range(1_000_000)])
    untrusted = skops.io.get_untrusted_types(data=packed)
    onnx = table(1)
    for name, load in (
        ("ONNX, 256 MiB", lambda: onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])),
        ("LightGBM, 400 trees", lambda: lightgbm.Booster(model_str=booster)),
        ("skops, 100 trees", lambda: skops.io.loads(packed, trusted=untrusted)),
        ("a pickle of a million objects", lambda: pickle.loads(pickled)),
    ):
        took, waits = beside(load)
        print(f"{name}: loaded in {1e3 * took:.0f}, another thread waited {1e3 * max(waits):.0f} at most")


def beside(load: Callable[[], object]) -> tuple[float, list[float]]:
    stop, waits = threading.Event(), [0.0]

    def tick() -> None:
        last = time.perf_counter()
        while not stop.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            waits.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    began = time.perf_counter()
    load()
    took = time.perf_counter() - began
    stop.set()
    thread.join()
    return took, waits


if __name__ == "__main__":
    main()
