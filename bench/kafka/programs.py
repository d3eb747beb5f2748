"""The programs that do the job: Penstock, loops by hand, and peers in environments of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console

from penstock.errors import DISTRIBUTION

PEERS = Path(__file__).parent.parent / "peers"
APP = Path(__file__).with_name("app.py")
INSTALL_WITHIN = 900.0  # seconds

ONCE, AT_LEAST = "exactly once", "at least once"


class Unavailable(Exception):
    """The program cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """``events``: so many that it has seconds to do. ``file``: of a peer; ours have a number of workers instead."""

    name: str
    title: str
    guarantee: str
    events: int
    file: str = ""
    packages: str = ""  # requirements-NAME.txt; empty: the environment of Penstock
    encoding: str = "json"
    workers: int = 0

    @property
    def version(self) -> str:
        """Of the library that does the job."""
        if self.packages:
            return (PEERS / f"requirements-{self.packages}.txt").read_text().split()[0].partition("==")[2]
        return metadata.version(DISTRIBUTION if self.workers else "confluent-kafka")

    def topics(self, run: str) -> tuple[str, str]:
        """Source and target on the cluster."""
        joint = "." if self.workers else "-"
        return f"{run}{joint}departures", f"{run}{joint}delays"

    def command(self, brokers: str, run: str, directory: Path) -> list[str]:
        if not self.workers:
            return [str(python(self.packages)), str(PEERS / self.file)]
        where = ["--log", f"kafka://{brokers}/{run}", "--data", str(directory), "--port", "0"]
        return [sys.executable, "-m", "penstock", "run", str(APP), *where, "--workers", str(self.workers)]

    def environ(self, brokers: str, run: str, model: Path) -> Mapping[str, str]:
        if self.workers:
            return {**os.environ, "PENSTOCK_BENCH_MODEL": str(model), "PENSTOCK_BENCH_ENCODING": self.encoding}
        source, target = self.topics(run)
        own = {"BROKERS": brokers, "SOURCE": source, "TARGET": target, "GROUP": f"{run}-group", "MODEL": str(model)}
        return {**os.environ, **{f"BENCH_{name}": value for name, value in own.items()}}


def python(packages: str) -> Path:
    """The interpreter of these pinned packages, installed into the cache when they are not there. ``Unavailable``."""
    if not packages:
        return Path(sys.executable)
    wanted = PEERS / f"requirements-{packages}.txt"
    tag = f"{sys.version_info[0]}.{sys.version_info[1]}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:8]}"
    root = Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock")
    home = root / f"peer-{packages}-{tag}"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        _install(wanted, home)
        (home / "complete").touch()
    return home / "bin" / "python"


def _install(wanted: Path, home: Path) -> None:
    Console().print(f"[dim]installing {wanted.name}[/]")
    commands = [
        [sys.executable, "-m", "venv", str(home)],
        [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(wanted)],
    ]
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN, check=False)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"its packages were not installed within {INSTALL_WITHIN:.0f} s") from None
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
            raise Unavailable(f"its packages cannot be installed: {reason}")
