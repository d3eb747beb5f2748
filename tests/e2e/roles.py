"""A run of one half of an app, or of all of it, whose address for probes is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests import least
from tests.e2e import rig
from tests.e2e.rig import eventually

START = 120.0  # seconds: several runs at once, on a machine with other work


@dataclass
class Half:
    """A run of one half of an app. ``said`` are its lines on stdout, as they come."""

    process: subprocess.Popen[str]
    directory: Path
    said: list[str] = field(default_factory=list)

    def told(self, begins: str) -> str:
        """The rest of a line that begins so."""

        def found() -> list[str]:
            return [line for line in self.said if line.startswith(begins)]

        assert eventually(lambda: bool(found()) or self.process.poll() is not None, START)
        assert found(), f"it ended with {self.process.poll()}"
        return found()[0].removeprefix(begins)

    @property
    def url(self) -> str:
        url = self.told("ready ")
        least.opens(url, self.directory)
        return url

    @property
    def probes(self) -> str:
        return self.told("probes ")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(rig.PATIENCE)

    def family(self) -> list[psutil.Process]:
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]


@contextmanager
def half(
    only: str, directory: Path, log: str, app: Path, *more: str, env: Mapping[str, str] | None = None
) -> Iterator[Half]:
    command = [sys.executable, "-m", "penstock", "run", str(app), "--data", str(directory), "--log", log]
    command += ["--only", only, "--port", "0", "--workers", "1", "--probes", "127.0.0.1:0", *more]
    with begun(command, directory, env) as run:
        yield run


@contextmanager
def begun(command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None) -> Iterator[Half]:
    process = subprocess.Popen(
        [*command, *least.options(directory, command)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PENSTOCK_LOG": "json", **(env or {})},
    )
    run = Half(process, directory)
    assert process.stdout is not None
    lines = process.stdout
    listener = threading.Thread(target=lambda: run.said.extend(line.rstrip() for line in lines), daemon=True)
    listener.start()
    try:
        yield run
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        listener.join()
        lines.close()
