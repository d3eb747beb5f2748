"""Events put back on a real run: each is dealt with once whatever is killed, and the source stays evenly shared."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.batch import DEAD
from penstock.stages.redrive import group_of
from tests.e2e import redrive_app, rig

APP = Path(redrive_app.__file__)
COUNT = 600  # orders, of which a third is refused at first
KILLS = 3


@contextmanager
def run(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[rig.Rig]:
    """With two workers, small passes, and all letters of ``COUNT`` orders written."""
    (folder / "shut").touch()
    given = {"ORDERS": str(folder), "PENSTOCK_BATCH_ROWS": "16", **(env or {})}
    with rig.running(APP, folder / "data", workers=2, env=given) as running:
        rows = [{"key": f"k{n % 48}", "n": n} for n in range(COUNT)]
        httpx.post(f"{running.url}/topics/orders/events", json=rows, timeout=rig.PATIENCE).raise_for_status()
        assert rig.eventually(lambda: len(letters(running, "dead")) == COUNT // 3)
        (folder / "shut").unlink()
        yield running
        assert running.stop() == 0


def ask(running: rig.Rig, method: str, path: str, **more: Any) -> Any:
    """Again until the gateway answers."""
    return httpx.request(method, f"{running.url}{path}", timeout=rig.PATIENCE, **more).raise_for_status().json()


def letters(running: rig.Rig, state: str) -> list[Any]:
    return list(ask(running, "GET", "/dead", params={"state": state, "limit": COUNT}))


def put_back(running: rig.Rig) -> None:
    said = ask(running, "POST", "/dead/redrive", json={"stage": "check"})
    assert (said["redriven"], said["left"], said["refused"]) == (COUNT // 3, 0, 0)


def judge(folder: Path) -> None:
    """Each order has one result, and each letter was dealt with once."""
    made = rig.frame(rig.read_all(folder / "data", "checked"))
    rig.assert_each_parent_once(rig.frame(rig.read_all(folder / "data", "orders")), made)
    assert sorted(made["n"]) == list(range(COUNT))
    rows = [row for batch in rig.read_all(folder / "data", DEAD) for row in batch.rows.to_pylist()]
    marks = Counter((row["partition"], row["offset"], row["mark"]) for row in rows)
    assert set(marks.values()) == {1}
    assert Counter(mark for _, _, mark in marks) == dict.fromkeys([None, "redriven", "done"], COUNT // 3)


def put_back_with_kills(folder: Path, env: Mapping[str, str] | None = None) -> None:
    rng = random.Random(1)
    with run(folder, env) as running:
        put_back(running)
        for _ in range(KILLS):
            before = len(letters(running, "redriven"))
            assert rig.eventually(lambda before=before: len(letters(running, "redriven")) < before)  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.3))
            for worker in running.children("worker"):  # one of them has all letters of this source
                worker.kill()
        assert rig.eventually(lambda: not letters(running, "open"))
    judge(folder)


@pytest.mark.also_on_kafka
def test_what_is_put_back_is_dealt_with_once_whatever_is_killed(tmp_path: Path) -> None:
    put_back_with_kills(tmp_path)


RESULTS_LONG_BEFORE = """
import time
from penstock.log.{reader}
plain = Reader.commit
def commit(self, done, outputs):
    results = [w for w in outputs if w.topic == 'checked']
    if results and any(a.topic == 'penstock.dead' for a in done):
        plain(self, [], results)
        time.sleep(0.5)
        outputs = [w for w in outputs if w.topic != 'checked']
    plain(self, done, outputs)
Reader.commit = commit
"""


@pytest.mark.also_on_kafka
def test_mutant_results_that_are_stored_before_marks_and_positions_are_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", RESULTS_LONG_BEFORE, "penstock.run.worker")
    with pytest.raises(AssertionError, match="handled more than once"):
        put_back_with_kills(tmp_path, env)


def shares(running: rig.Rig, group: str) -> list[int]:
    """How many partitions each worker has."""
    owners = Counter(state["owner"] for state in ask(running, "GET", "/groups") if state["group"] == group)
    return sorted(owners.values())


@pytest.mark.also_on_kafka
def test_two_workers_share_the_source_evenly_and_the_dead_letters_beside_it(tmp_path: Path) -> None:
    with run(tmp_path) as running:
        for group in ("check", group_of("check")):
            assert rig.eventually(lambda group=group: shares(running, group) == [2, 2]), shares(running, group)  # type: ignore[misc]
        put_back(running)
        assert rig.eventually(lambda: not letters(running, "open"))
        assert rig.eventually(lambda: not any(state["lag_events"] for state in ask(running, "GET", "/groups")))
        assert shares(running, "check") == [2, 2]
    judge(tmp_path)
