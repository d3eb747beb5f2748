"""A real `penstock run` on loopback, for the tests beside this file."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil
from tests import least

from penstock.client.connection import Client, connect

PENSTOCK = [sys.executable, "-c", "from penstock.cli.main import app; app()"]

MODEL = """
import polars as pl


class Double:
    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(y=pl.col("z") * {factor}.0)
"""

APP = """
from dataclasses import dataclass

import polars as pl

import penstock as ps

app = ps.App("tiny")


@dataclass
class Reading:
    n: int
    x: float


@dataclass
class Double:
    n: int
    y: float


readings = app.topic("readings", Reading, key="n", partitions=2)
features = app.topic("features", partitions=2)
doubles = app.topic("doubles", Double, partitions=2)


@app.on(readings, to=features)
def prepare(rows: pl.DataFrame) -> pl.DataFrame:
    if (beast := rows["n"] == -666).any():
        raise ps.Reject("the number of the beast", rows=beast)
    return rows.with_columns(z=pl.col("x"))


double = app.model("double", "double.py.txt", outputs=["y"], trust="sha256:{digest}")
app.score(features, double, to=doubles, keep=["n"])
"""


def write_app(folder: Path) -> Path:
    """An app with a function and a Python class as its model, which the file seeds."""
    model = MODEL.format(factor=2)
    (folder / "double.py.txt").write_text(model)
    app = folder / "app.py"
    app.write_text(APP.replace("{digest}", hashlib.sha256(model.encode()).hexdigest()))
    return app


def wait_for(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


class Server:
    """``said`` collects the lines of stdout; stderr goes to a file."""

    def __init__(self, app: Path, data: Path, *options: str, command: str = "run") -> None:
        self.data, self.said = data, list[str]()
        self._errors = data.parent / f"stderr-{time.monotonic_ns()}"  # the app may lie in the checkout
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [
                    *PENSTOCK,
                    command,
                    str(app),
                    "--data",
                    str(data),
                    *(options or ("--port", "0", "--workers", "1")),
                    *least.options(data, options),
                ],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"PENSTOCK_LOG": "json"},
            )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.said.append(line.rstrip())

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def ready(self) -> Self:
        def url() -> str | None:
            assert self.process.poll() is None, self.errors
            return next((line.split()[1] for line in self.said if line.startswith("ready ")), None)

        self.url = wait_for(url)
        least.opens(self.url, self.data)
        return self

    def client(self) -> Client:
        return connect(self.url)

    def pid(self, role: str) -> int:
        """Of a child, by what its command line says: gateway or worker-1."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                line = child.cmdline()
            except psutil.Error:
                continue
            if f"penstock.run.{role.partition('-')[0]}" in line and (role == "gateway" or role in line):
                return int(child.pid)
        return 0

    def family(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def ends(self) -> bool:
        """By itself, in time."""
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(40)
        self._listener.join()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)
        assert "Traceback" not in self.errors, self.errors
