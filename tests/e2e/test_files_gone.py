"""The data directory goes from under a system that runs: nothing is acknowledged any more, and it says so and ends."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from tests.e2e import rig, steps

pytestmark = pytest.mark.embedded

BODY = [{"key": "k", "writer": 0, "seq": 0}]
LONG = 10.0  # seconds for which publishers go on, if it does not end


def copied(data: Path) -> None:
    shutil.copy(data / "log.db", data / "copy")
    (data / "copy").replace(data / "log.db")


GONE: dict[str, Callable[[Path], object]] = {
    "all": lambda data: shutil.rmtree(data, ignore_errors=True),
    "moved": lambda data: data.rename(data.with_name("elsewhere")),
    "replaced": copied,
    "wal": lambda data: (data / "log.db-wal").unlink(),
}
UNSEEN = ("write.lock", "log.db-shm", "run/supervisor.lock")  # by who writes: they hold nothing that was acknowledged


def publish(url: str) -> int | None:
    try:
        return httpx.post(f"{url}/topics/steps/events", json=BODY, timeout=10).status_code
    except httpx.TransportError:
        return None


def take_away(tmp_path: Path, how: str, env: Mapping[str, str]) -> set[int | None]:
    """What publishers are told from then on, until the run ends with an error."""
    with rig.running(steps.APP, tmp_path / "data", workers=1, env=env) as running:
        assert publish(running.url) == 200
        GONE[how](tmp_path / "data")
        told, until = set[int | None](), time.monotonic() + LONG
        while running.process.poll() is None and time.monotonic() < until:
            told.add(publish(running.url))
        assert 200 not in told, "acknowledged into a file that is gone"
        assert running.process.wait(rig.PATIENCE) == 1
    return told


@pytest.mark.parametrize("how", GONE)
def test_nothing_is_acknowledged_into_files_that_are_gone(
    tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert take_away(tmp_path, how, {}) <= {503, None}
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("penstock: ")]
    assert "while it was in use" in line and str(tmp_path / "data") in line


@pytest.mark.parametrize("name", UNSEEN)
def test_files_that_processes_meet_in_are_looked_after_too(tmp_path: Path, name: str) -> None:
    with rig.running(steps.APP, tmp_path / "data", workers=1) as running:
        (tmp_path / "data" / name).unlink()
        assert running.process.wait(rig.PATIENCE) == 1


BLIND = """
from penstock.log.processes.in_place import InPlace
InPlace.check = lambda self: None
"""


def test_mutant_that_does_not_look_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", BLIND)
    with pytest.raises(AssertionError, match="acknowledged into a file that is gone"):
        take_away(tmp_path, "all", env)
