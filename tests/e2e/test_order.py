"""Order per key and groups that do not wait for each other, through a real run whose processes are killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from tests.e2e import rig, steps
from tests.e2e.gated import gated

MILLION, MANY = 1_000_000, 64


def run_in_order(directory: Path, *, writers: int, seconds: float, kills: int) -> pl.DataFrame:
    rng = random.Random(kills)
    with rig.running(steps.APP, directory, workers=2) as running:
        with steps.load(running.url, writers, pause=0.002) as publishers:
            for n in range(kills):
                time.sleep(seconds / kills * rng.uniform(0.5, 1.5))
                running.kill(("gateway", "worker", "runner")[n % 3], rng)
        assert rig.eventually(lambda: steps.drained(running.url, 1))
        assert running.stop() == 0
    return steps.judge(directory, publishers)


def test_order_per_key_holds_across_kills(tmp_path: Path) -> None:
    stored = run_in_order(tmp_path, writers=6, seconds=5, kills=6)
    assert stored["writer"].n_unique() == 6 and stored["partition"].n_unique() == 4


@pytest.mark.soak
def test_a_million_events_of_a_thousand_keys_stay_in_order(tmp_path: Path) -> None:
    rng, kills, retried = random.Random(1), Counter[str](), 0
    count = MILLION // (MANY * steps.SIZE) + 1
    with rig.running(steps.APP, tmp_path, workers=2) as running:
        with steps.load(running.url, MANY, pause=0.3, count=count, keys=1_000) as publishers:
            while any(p.done < count and p.error is None for p in publishers):
                time.sleep(rng.uniform(0.5, 3.0))
                role = rng.choice(("gateway", "worker", "runner"))
                kills[role] += running.kill(role, rng) is not None
        retried = sum(p.retried for p in publishers)
        assert rig.eventually(lambda: steps.drained(running.url, 1), 10 * rig.PATIENCE)
        assert running.stop() == 0
    stored = steps.judge(tmp_path, publishers)
    once = stored.unique(["writer", "seq"])
    print(f"{once.height} events, {stored.height - once.height} repeats of {retried} retried requests, {dict(kills)}")
    assert once.height >= MILLION and retried and kills.total() > 50
    assert (once["writer"].n_unique(), once["key"].n_unique(), once["partition"].n_unique()) == (MANY, 1_000, 4)


@pytest.mark.parametrize(
    ("column", "said"), [("offset", "stored before an earlier one"), ("_parent", "a stage changed the order")]
)
def test_the_look_at_the_order_notices_two_steps_swapped(tmp_path: Path, column: str, said: str) -> None:
    with rig.running(steps.APP, tmp_path, workers=1) as running:
        with steps.load(running.url, 1, count=5) as publishers:
            assert rig.eventually(lambda: publishers[0].done == 5)
        assert steps.drained(running.url)
    topic = "steps" if column == "offset" else "copies"
    found = rig.frame(rig.read_all(tmp_path, topic)).sort("partition", "offset")
    look = steps.assert_ordered if column == "offset" else steps.assert_follows
    look(found)
    one = found.filter(pl.col("key") == found["key"].mode()[0])
    swapped = one.with_columns(pl.col(column).reverse())
    with pytest.raises(AssertionError, match=said):
        look(swapped)


def quick_is_past(url: str, stored: int) -> bool:
    return rig.count(url, "copies") > stored


def a_slow_group(tmp_path: Path, env: Mapping[str, str]) -> None:
    """One is in the middle of a call that lasts until it is told to go on; another deals with what comes meanwhile."""
    made = gated(tmp_path)
    with rig.running(made.app, tmp_path / "data", workers=1, env=env) as running:
        try:
            with steps.load(running.url, 2, pause=0.05) as publishers:
                assert rig.eventually(made.begun.exists)
                for _ in range(3):
                    stored = rig.count(running.url, "steps")
                    passed = partial(quick_is_past, running.url, stored)
                    assert stored > 0 and rig.eventually(passed, 20), f"it was held up at {stored} steps"
                assert rig.count(running.url, "late") == 0
        finally:
            made.go.touch()
        assert steps.drained(running.url)
        assert rig.eventually(lambda: rig.count(running.url, "late") == rig.count(running.url, "steps"))
        assert running.stop() == 0
    steps.judge(tmp_path / "data", publishers, ["copies", "late"])


@pytest.mark.also_on_kafka
def test_a_slow_group_holds_up_no_other(tmp_path: Path) -> None:
    a_slow_group(tmp_path, {})


ONE_AT_A_TIME = """
import threading
from penstock.stages.pump import Pump
plain, turn = Pump.step, threading.Lock()
def step(self, wait):
    with turn:
        return plain(self, min(wait, 0.05))
Pump.step = step
"""


def test_mutant_groups_that_take_turns_are_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", ONE_AT_A_TIME, "penstock.run.worker")
    with pytest.raises(AssertionError, match="held up"):
        a_slow_group(tmp_path, env)
