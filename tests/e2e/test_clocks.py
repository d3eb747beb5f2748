"""The wall clock of every process is set to and fro under load: nothing is lost, expires early or stands still."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from penstock.testing.log_contract import JUMPS
from tests.e2e import rig, steps

pytestmark = pytest.mark.embedded

# Each process maps the same eight bytes, so that all clocks jump at once.
CLOCK = """
import mmap, struct, time
with open({shown!r}, "rb") as file:
    ahead = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + struct.unpack("d", ahead[:])[0]
time.time_ns = lambda: now_ns() + round(struct.unpack("d", ahead[:])[0] * 1e9)
"""
PAST_2038 = max(JUMPS)


def jumps(tmp_path: Path, plant: str) -> None:
    app, shown = tmp_path / "app.py", tmp_path / "ahead"
    app.write_text(steps.APP.read_text().replace("partitions=4", 'partitions=4, retain="30m"'))
    set_clock = clock(shown)
    env = rig.planted(tmp_path / "plant", CLOCK.format(shown=str(shown)) + plant)
    with rig.running(app, tmp_path / "data", workers=2, env=env) as running:
        with steps.load(running.url, 2) as publishers:
            steps.probe(running.url, 0)
            for n, jump in enumerate(JUMPS):
                set_clock(2**31 + 60 - time.time() if jump == PAST_2038 else jump)
                steps.probe(running.url, 2 * n + 1)
                assert not expired(running.url), f"expired early after a jump by {jump} s"
                set_clock(0)
                steps.probe(running.url, 2 * n + 2)
        assert steps.drained(running.url)
        assert rig.eventually(lambda: httpx.get(f"{running.url}/readyz", timeout=10).status_code == 200), "not ready"
        assert running.stop() == 0
    steps.judge(tmp_path / "data", publishers)


def expired(url: str) -> bool:
    partitions = httpx.get(f"{url}/topics/steps", timeout=10).json()["partitions"]
    return any(partition["earliest"] > 0 for partition in partitions)


def clock(shown: Path) -> Callable[[float], None]:
    shown.write_bytes(struct.pack("d", 0.0))

    def ahead(seconds: float) -> None:
        with shown.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    return ahead


def test_the_clocks_of_all_processes_jump(tmp_path: Path) -> None:
    jumps(tmp_path, "")


BELIEVED = """
from penstock.log.steady import SteadyTime
SteadyTime.expiry = lambda self: self._clock.now()
"""


def test_mutant_retention_by_the_wall_clock_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="expired early"):
        jumps(tmp_path, BELIEVED)
