"""A real ``penstock run`` under measurement: its CPU and memory are those of all its processes together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from ..errors import PenstockError


@dataclass(frozen=True, slots=True)
class Stack:
    url: str
    process: subprocess.Popen[str]
    started: float  # seconds from the start of the process until it said ready
    client: httpx.Client  # one for all looks: ``httpx.get`` reads every root certificate each time, 20 ms of a core

    def tree(self) -> list[psutil.Process]:
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def cpu(self, role: str = "") -> float:
        """User and system seconds of the living processes, or of those of a role; a run in which one dies is void."""
        return sum(sum(p.cpu_times()[:2]) for p in self.tree() if not role or role_of(p.cmdline()) == role)

    def memory(self) -> dict[str, int]:
        """Proportional set size in bytes by role: shared pages are counted once, split among those who share them."""
        sizes: dict[str, int] = {}
        for process in self.tree():
            role = role_of(process.cmdline())
            size = getattr(process.memory_full_info(), "pss", process.memory_info().rss)
            sizes[role] = sizes.get(role, 0) + size
        return sizes

    def count(self, topic: str) -> int:
        """Events ever appended to a topic, retention aside."""
        answer = self.client.get(f"/topics/{topic}").raise_for_status().json()
        return sum(int(p["end"]) for p in answer["partitions"])

    def wait_for(self, topic: str, events: int, *, timeout: float = 120.0) -> float:
        """Seconds until the topic holds that many events; the look itself costs a millisecond."""
        start = time.perf_counter()
        while self.count(topic) < events:
            if time.perf_counter() - start > timeout:
                raise PenstockError(f"{topic} holds {self.count(topic)} of {events} events after {timeout} s")
            time.sleep(0.005)
        return time.perf_counter() - start


def role_of(command: list[str]) -> str:
    line = " ".join(command)
    return next(
        (
            role
            for role in ("runner", "worker", "gateway", "courier")
            if f"penstock.run.{role}" in line or f"penstock.{role}" in line
        ),
        "supervisor",
    )


@contextmanager
def stack(
    app: Path, directory: Path, *, workers: int = 2, environ: dict[str, str] | None = None, key: str = ""
) -> Iterator[Stack]:
    """``key``: with one the doors want keys, and it is shown by whoever looks."""
    command = [sys.executable, "-m", "penstock", "run", str(app), "--data", str(directory), "--port", "0"]
    command += ["--access", "keys"] if key else []
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--workers", str(workers)], stdout=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})}
    )
    try:
        assert process.stdout is not None
        line = next((text for text in process.stdout if text.startswith("ready ")), None)
        if line is None:
            raise PenstockError(f"penstock run ended with {process.wait()} before it was ready")
        started, url = time.perf_counter() - begun, line.split()[1]
        with httpx.Client(base_url=url, headers={"x-api-key": key} if key else {}) as client:
            yield Stack(url, process, started, client)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
