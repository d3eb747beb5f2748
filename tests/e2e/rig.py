"""A real ``penstock run`` under fire, and an independent look at what it left in the log."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import httpx
import numpy as np
import polars as pl
import psutil
import pytest

from penstock.batch import SYSTEM, Batch
from penstock.clock import SystemClock
from penstock.run.compose.backends import open_log
from penstock.run.directory import DataDirectory
from penstock.settings import Settings
from tests import least

PATIENCE = 60.0  # seconds that any single thing may take before the test gives up
NEVER_READY_S = 180.0  # after which a run that is not ready is ended

brokers: str | None = None  # with ``--log kafka``: where every run keeps its log, each in a namespace of its own


@dataclass
class Rig:
    url: str
    directory: Path
    process: subprocess.Popen[str]

    def children(self, role: str) -> list[psutil.Process]:
        """A worker's child that is not yet a runner looks like a worker: so only runners are looked for deep."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=role == "runner"):
            try:
                if any(part.endswith(f".{role}") or part.endswith(f".{role}.main") for part in process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def is_at_work(self, worker: int) -> bool:
        try:
            said = json.loads((self.directory / "run" / "status" / f"worker-{worker}.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(said["stages"]) and not any(stage["starting"] for stage in said["stages"].values())

    def family(self) -> list[psutil.Process]:
        """The supervisor and all that it started."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def kill(self, role: str, rng: random.Random) -> int | None:
        """The process id of the one that was killed; None: there was none."""
        victims = self.children(role)
        if not victims:
            return None
        victim = rng.choice(victims)
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return None
        return int(victim.pid)

    def perish(self) -> None:
        """The whole host, all at once."""
        for process in self.family():
            process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def running(
    app: Path,
    directory: Path,
    *,
    workers: int = 2,
    port: int = 0,
    env: Mapping[str, str] | None = None,
    log: str | None = None,
    files: int | tuple[int, int] | None = None,
    whole: bool = True,
    command: str = "run",
    options: Sequence[str] = (),
) -> Iterator[Rig]:
    """``log``: a URL, where it is not ``log_url`` of the directory. ``files``: that may be open, or soft and hard.
    ``whole``: all workers are at work, of which at ``ready`` one is."""
    line = [sys.executable, "-m", "penstock", command, str(app), "--data", str(directory)]
    line += ["--log", url] if (url := log or log_url(directory)) else []
    line += least.options(directory, line)
    process = subprocess.Popen(
        [*line, "--port", str(port), "--workers", str(workers), *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PENSTOCK_LOG": "json", **(env or {})},
        preexec_fn=None if files is None else partial(resource.setrlimit, resource.RLIMIT_NOFILE, both(files)),
    )
    assert process.stdout is not None
    never = threading.Timer(NEVER_READY_S, process.kill)
    never.start()
    try:
        ready = next((text for text in process.stdout if text.startswith("ready ")), None)
        never.cancel()
        assert ready is not None, f"penstock {command} ended with {process.wait()} before it was ready"
        rig = Rig(ready.split()[1], directory, process)
        least.opens(rig.url, directory)
        assert not whole or eventually(lambda: all(map(rig.is_at_work, range(1, workers + 1)))), "a worker is missing"
        yield rig
    finally:
        never.cancel()
        Count.of.clear()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


def both(files: int | tuple[int, int]) -> tuple[int, int]:
    return files if isinstance(files, tuple) else (files, files)


@dataclass
class Publisher:
    """Publishes bodies in order, each until it is acknowledged; a body whose answer was lost is sent again.

    ``done`` of them are acknowledged. ``refused`` are statuses that mean "later", as a publisher takes them.
    """

    url: str
    topic: str
    bodies: Iterable[bytes]
    pause: float = 0.0  # seconds between two bodies, until ``hurry``
    hurry: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[dict[str, int]] = field(default_factory=list)
    done: int = 0
    retried: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    refused: tuple[int, ...] = (429, 503)
    patience: float = PATIENCE  # seconds until a body that is not acknowledged is an error
    error: BaseException | None = None

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            with httpx.Client(timeout=10.0) as client:
                for body in self.bodies:
                    if self.stop.is_set():
                        return
                    self._publish(client, body)
                    self.hurry.wait(self.pause)
        except BaseException as error:
            self.error = error

    def _publish(self, client: httpx.Client, body: bytes) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = client.post(
                    f"{self.url}/topics/{self.topic}/events", content=body, headers={"content-type": "application/json"}
                )
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 200:
                self.acknowledged.extend(answer.json()["positions"])
                self.done += 1
                return
            if answer is not None and answer.status_code not in self.refused:
                raise AssertionError(answer.text)
            if time.monotonic() > deadline:
                raise AssertionError("the gateway did not come back")
            self.retried += 1
            time.sleep(0.05)


def eventually(holds: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Ask again and again, bounded in time."""
    deadline = time.monotonic() + patience
    while not (answer := holds()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


# -- faults -------------------------------------------------------------------


BACKENDS = {
    "reader": ("sqlite.reader import EmbeddedReader as Reader", "kafka.consume.reader import KafkaReader as Reader"),
    "log": ("embedded import EmbeddedLog as Log", "kafka.log import KafkaLog as Log"),
}


def planted(folder: Path, code: str, module: str = "") -> dict[str, str]:
    """An environment in which every Python process first runs ``code``; or only those started as ``-m module``.

    So a bug is planted in the processes of a run without a hook for it in what is shipped. ``{reader}`` and ``{log}``
    after ``from penstock.log.`` bring in the class of the log in use, as ``Reader`` and ``Log``.
    """
    folder.mkdir()
    for name, modules in BACKENDS.items():
        code = code.replace(f"{{{name}}}", modules[brokers is not None])
    body = "".join(f"    {line}\n" for line in code.splitlines())
    (folder / "sitecustomize.py").write_text(f"import sys\nif {module!r} in ['', *sys.orig_argv]:\n{body}")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# -- the independent look -----------------------------------------------------


def log_url(directory: Path) -> str:
    """Of the log of a run on this directory; empty: it is in there."""
    return f"kafka://{brokers}/{sha256(str(directory).encode()).hexdigest()[:12]}" if brokers else ""


def read_all(directory: Path, topic: str) -> list[Batch]:
    """Every batch of a topic, through an anonymous reader."""
    log = open_log(DataDirectory(directory), SystemClock(), Settings(), log_url(directory))
    reader = log.reader(None, [topic], "verify")
    found: list[Batch] = []
    while batches := reader.read(50_000, 0.0):
        found.extend(batches)
    reader.close()
    log.close()
    return found


def count(url: str, topic: str) -> int:
    """How many events a run has stored of a topic; -1 while it does not answer."""
    try:
        found = httpx.get(f"{url}/topics/{topic}", timeout=10)
        if found.status_code != 200:
            return -1
        states = found.json()["partitions"]
        return Count.of.setdefault((url, topic), Count()).after(url, topic, states)
    except httpx.TransportError:
        return -1


@dataclass
class Count:
    """Positions leave gaps on some logs; there, what was stored since the last look is read."""

    of: ClassVar[dict[tuple[str, str], Count]] = {}
    events: int = 0
    next: dict[int, int] = field(default_factory=dict)

    def after(self, url: str, topic: str, states: Sequence[Mapping[str, int]]) -> int:
        if brokers is None:
            return sum(state["end"] for state in states)
        for state in states:
            partition, end = state["partition"], state["end"]
            while (start := self.next.get(partition, 0)) < end:
                where = f"{url}/topics/{topic}/events?partition={partition}&offset={start}&limit=10000"
                rows = httpx.get(where, timeout=10).json()
                if not rows:
                    break  # the rest ends transactions, or has not been committed yet
                self.events += len(rows)
                self.next[partition] = rows[-1]["offset"] + 1
        return self.events


def frame(batches: Sequence[Batch]) -> pl.DataFrame:
    """Rows with where they are, where they came from and what made them."""
    frames = []
    for batch in batches:
        rows = pl.from_arrow(batch.rows)
        assert isinstance(rows, pl.DataFrame)
        origin = batch.origin
        frames.append(
            rows.with_columns(
                partition=pl.lit(batch.partition, pl.Int64),
                offset=pl.Series(batch.positions),
                version=pl.lit(origin.version if origin else None, pl.Int64),
                model=pl.lit(origin.model if origin else None, pl.String),
            )
        )
    return pl.concat(frames, how="diagonal_relaxed")


def assert_each_parent_once(parents: pl.DataFrame, children: pl.DataFrame) -> None:
    """Every position of ``parents`` is the parent of exactly one row of ``children``, and nothing else is."""
    have = parents.select(pl.col("partition"), pl.col("offset")).sort("partition", "offset")
    seen = children.select(
        pl.col("_parent_partition").cast(pl.Int64).alias("partition"), pl.col("_parent").alias("offset")
    ).sort("partition", "offset")
    doubled = seen.filter(seen.is_duplicated())
    assert doubled.is_empty(), f"{doubled.height} positions handled more than once: {doubled.head(3).rows()}"
    lost = have.join(seen, on=["partition", "offset"], how="anti")
    assert lost.is_empty(), f"{lost.height} of {have.height} positions never handled: {lost.head(3).rows()}"
    assert seen.height == have.height


def assert_acknowledged_are_stored(acknowledged: Sequence[dict[str, int]], stored: pl.DataFrame) -> None:
    have = {(p, o) for p, o in stored.select("partition", "offset").iter_rows()}
    for span in acknowledged:
        for offset in (span["offset"], span["last"]):
            assert (span["partition"], offset) in have, f"acknowledged and gone: {span}"
    count = sum(span["count"] for span in acknowledged)
    assert count <= stored.height, f"{count} acknowledged, {stored.height} stored: some are gone"


def assert_versions_agree(directory: Path, stage: str, predictions: pl.DataFrame) -> int:
    """Each prediction has the version that the activation records name for its parent; how many records there are."""
    import json

    records = [
        json.loads(text)
        for batch in read_all(directory, SYSTEM)
        for kind, text in zip(
            batch.rows.column("_type").to_pylist(), batch.rows.column("json").to_pylist(), strict=True
        )
        if kind == "penstock.model.activated"
    ]
    records = [r for r in records if r["stage"] == stage]
    for partition in predictions["_parent_partition"].unique():
        mine = sorted((r["from_offset"], r["epoch"], r["version"]) for r in records if r["partition"] == partition)
        epochs = [epoch for _, epoch, _ in mine]
        assert epochs == sorted(set(epochs)), f"epochs went back in partition {partition}: {mine}"
        rows = predictions.filter(pl.col("_parent_partition") == partition)
        starts = np.array([start for start, _, _ in mine])
        versions = np.array([version for _, _, version in mine])
        expected = versions[np.searchsorted(starts, rows["_parent"].to_numpy(), side="right") - 1]
        wrong = int((expected != rows["version"].to_numpy()).sum())
        assert wrong == 0, f"{wrong} rows of partition {partition} disagree with the activation record"
    return len(records)
