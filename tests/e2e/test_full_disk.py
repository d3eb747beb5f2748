"""A disk without space under a whole run: publishers are told, nothing is lost, and it goes on once there is some."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from penstock.run.directory import DataDirectory
from tests.e2e import rig, steps

pytestmark = pytest.mark.embedded


def full_disk(tmp_path: Path, env: Mapping[str, str]) -> None:
    with rig.small_disk(tmp_path / "disk", "40M") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(20 << 20))
        with rig.running(steps.APP, disk / "data", workers=1, env=env) as running:
            family = {p.pid for p in running.family()}
            acknowledged: list[dict[str, int]] = []
            filled = fill(running.url, acknowledged)
            assert filled.status_code in (503, 507), filled.text
            assert "space" in filled.json()["error"]["message"]
            for path in ("topics/steps/events?partition=0&limit=10", "topics/steps", "healthz"):
                assert httpx.get(f"{running.url}/{path}", timeout=10).status_code == 200, path
            take_the_rest(disk / "rest")
            for _ in range(3):
                time.sleep(1.0)  # each process says once a second what is new of it, and cannot
                assert fill(running.url, acknowledged).status_code in (503, 507)
            (disk / "rest").unlink()
            ballast.unlink()
            freed = time.time()
            with steps.load(running.url, 1) as publishers:
                assert rig.eventually(lambda: publishers[0].done > 5), "space came back, and appends did not"
            assert steps.drained(running.url)
            assert rig.eventually(lambda: oldest_report(disk / "data") > freed, 20), "one never said again how it is"
            assert rig.eventually(lambda: ready(running.url), 20), "it is not ready again"
            assert {p.pid for p in running.family()} == family, "a process was lost to a full disk"
            assert running.stop() == 0
        stored = rig.frame(rig.read_all(disk / "data", "steps"))
        rig.assert_acknowledged_are_stored(publishers[0].acknowledged + acknowledged, stored)
        steps.assert_whole(stored, publishers)


def oldest_report(directory: Path) -> float:
    """When the process longest silent said how it is. /readyz bears silence for a while; this does not."""
    return min(file.stat().st_mtime for file in DataDirectory(directory).status.glob("*.json"))


def ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", timeout=10).status_code == 200


def take_the_rest(file: Path) -> None:
    with file.open("wb", buffering=0) as rest:
        try:
            while rest.write(bytes(4096)):
                pass
        except OSError:
            return


def fill(url: str, acknowledged: list[dict[str, int]]) -> httpx.Response:
    """Publish ballast until it is refused; the refusal."""
    rng = random.Random(1)
    with httpx.Client(timeout=20) as client:
        for n in range(10_000):
            body = [{"key": f"k{n % 40}", "writer": 50, "seq": n, "ballast": rng.randbytes(40_000).hex()}]
            try:
                answer = client.post(f"{url}/topics/steps/events", json=body)
            except httpx.TransportError as error:
                raise AssertionError(f"no answer when the disk was full: {error}") from error
            if answer.status_code != 200:
                return answer
            acknowledged.extend(answer.json()["positions"])
    raise AssertionError("never full")


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    full_disk(tmp_path, {})


# -- mutants ------------------------------------------------------------------

SWALLOWED = """
from penstock.batch import AppendResult
from penstock.errors import LogFull
from penstock.log.embedded import EmbeddedLog
plain, swallowed = EmbeddedLog.append, []
def append(self, writes):
    try:
        return plain(self, writes)
    except LogFull:
        swallowed.append(writes)
        if len(swallowed) > 3:
            raise
    ends = {p.partition: p.end for p in self.partitions("steps")}
    at = [(w, ends[w.partition], w.rows.num_rows) for w in writes]
    return [AppendResult(w.topic, w.partition, end, end + rows - 1, rows) for w, end, rows in at]
EmbeddedLog.append = append
"""
ENDED = """
import os
from penstock.errors import LogFull
from penstock.log.embedded import EmbeddedLog
plain = EmbeddedLog.append
def append(self, writes):
    try:
        return plain(self, writes)
    except LogFull:
        os._exit(1)
EmbeddedLog.append = append
"""
SILENT = """
from penstock.run.process import ChildProcess
plain = ChildProcess.report
def report(self, *args, **kwargs):
    if not self._silent:
        plain(self, *args, **kwargs)
ChildProcess.report = report
"""
LOST = """
from penstock.run.process import ChildProcess, write_status
ChildProcess.report = lambda self, stages: write_status(self.directory, self.name, stages)
"""


@pytest.mark.parametrize(
    ("role", "plant", "seen"),
    [
        ("gateway", SWALLOWED, "gone"),
        ("gateway", ENDED, "no answer"),
        ("worker", SILENT, "never said again"),
        ("worker", LOST, "a process was lost"),
    ],
    ids=["swallowed", "ended", "silent", "lost"],
)
def test_mutant_a_full_disk_that_does_harm_is_caught(tmp_path: Path, role: str, plant: str, seen: str) -> None:
    env = rig.planted(tmp_path / "plant", plant, f"penstock.run.{role}")
    with pytest.raises(AssertionError, match=seen):
        full_disk(tmp_path, env)
