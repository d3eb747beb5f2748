"""No process looks a name up or opens a socket but ours, whatever library a model needs: strace says so."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import joblib
import lightgbm
import numpy as np
import onnxmltools
import psutil
import pytest
import skops.io
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression

from tests.e2e import rig

IDLE = 6.0  # seconds that the runners sit there with their models: a library's first report comes within two

APP = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("quiet")


@dataclass
class Row:
    a: float
    b: float


@dataclass
class Scored:
    y: float


rows = app.topic("rows", Row, partitions=1)


@app.on(rows)
def seen(row: Row) -> None:
{seen}


"""
SCORER = """
{name}_model = app.model("{name}", "{file}", inputs=["a", "b"], outputs=["y"]{more})
app.score(rows, {name}_model, to=app.topic("by_{name}", Scored, partitions=1))
"""
PYTHON = """
import polars as pl


class Sum:
    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(y=pl.col("a") + pl.col("b"))
"""


def booster() -> lightgbm.Booster:
    x = np.random.default_rng(7).random((200, 2))
    return lightgbm.train({"objective": "regression", "verbosity": -1}, lightgbm.Dataset(x, x.sum(axis=1)), 3)


def write_onnx(path: Path) -> None:
    graph = onnxmltools.convert_lightgbm(booster(), initial_types=[("input", FloatTensorType([None, 2]))])
    path.write_bytes(graph.SerializeToString())


def linear() -> LinearRegression:
    return LinearRegression().fit(np.eye(2), np.ones(2))


# by runtime: its file, what writes that, and whether its code must be trusted
KINDS: dict[str, tuple[str, Callable[[Path], Any], bool]] = {
    "onnx": ("m.onnx", write_onnx, False),
    "lightgbm": ("m.txt", lambda path: booster().save_model(path), False),
    "skops": ("m.skops", lambda path: path.write_bytes(skops.io.dumps(linear())), False),
    "joblib": ("m.joblib", lambda path: joblib.dump(linear(), path), True),
    "python": ("m.py.txt", lambda path: path.write_text(PYTHON), True),
}


def write_app(folder: Path, kinds: list[str], seen: str) -> Path:
    text = APP.format(seen=f"    {seen}")
    for name in kinds:
        file, write, trusted = KINDS[name]
        write(folder / file)
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        text += SCORER.format(name=name, file=file, more=f', trust="sha256:{digest}"' if trusted else "")
    (folder / "app.py").write_text(text)
    return folder / "app.py"


def foreign(trace: str, data: Path) -> list[str]:
    """The calls to the network that are not ours: one socket listens on 127.0.0.1, all others are of this machine's
    file system, and lie with the data or were made by one of our processes (where the data's path is too long for a
    socket). A name is looked up over AF_INET or through a daemon's socket."""
    listeners = re.findall(r"socket\(AF_INET,.*= \d+", trace)
    found = re.findall(r".*socket\(AF_(?!UNIX|INET,).*", trace) + listeners[1:]
    made = set(re.findall(r'bind\(.*sun_path="([^"]*)"', trace))
    for line in re.findall(r".*(?:connect|sendto|sendmsg)\(.*sa_family=.*", trace):
        ours = re.search(r'sun_path="([^"]*)"', line)
        if ours is None or not (ours[1].startswith(str(data)) or ours[1] in made):
            found.append(line)
    return found


def scored_one(url: str, topic: str) -> bool:
    return rig.count(url, topic) == 1


def run_traced(folder: Path, kinds: list[str], seen: str = "pass") -> None:
    """Every runtime scores, and then stands idle; the calls of all processes are judged."""
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace follows the calls, and is not installed")
    app, data, trace = write_app(folder, kinds, seen), folder / "data", folder / "trace"
    tracing = ["strace", "-f", "--seccomp-bpf", "-q", "-s", "200", "-e", "trace=network", "-o", str(trace)]
    command = [sys.executable, "-m", "penstock", "run", str(app), "--data", str(data), "--port", "0", "--workers", "1"]
    with subprocess.Popen(
        [*tracing, *command], stdout=subprocess.PIPE, text=True, env=os.environ | {"PENSTOCK_LOG": "json"}
    ) as process:
        assert process.stdout is not None
        try:
            line = next((text for text in process.stdout if text.startswith("ready ")), None)
            assert line is not None, "penstock run ended before it was ready"
            url = line.split()[1]
            httpx.post(f"{url}/topics/rows/events", json={"a": 1, "b": 2}, timeout=30).raise_for_status()
            for name in kinds:
                assert rig.eventually(partial(scored_one, url, f"by_{name}")), f"{name} scored nothing"
            rig.eventually(lambda: bool(foreign(trace.read_text(), data)), IDLE)
        finally:
            for child in psutil.Process(process.pid).children():
                child.terminate()  # the supervisor; strace ends with it
            process.wait(rig.PATIENCE)
    calls = foreign(trace.read_text(), data)
    assert not calls, f"it calls somebody: {calls[:5]}"


def test_no_runtime_calls_anybody(tmp_path: Path) -> None:
    run_traced(tmp_path, list(KINDS))


def test_mutant_a_name_that_is_looked_up_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it calls somebody"):
        run_traced(tmp_path, [], "import socket; socket.getaddrinfo('telemetry.invalid', 443)")
