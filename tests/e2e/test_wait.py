"""``?wait=`` against a real run: the answer carries what the stages made of these events, and says if that is all."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import rig, wait_app

APP = Path(wait_app.__file__)
LONG = 25.0  # seconds that are asked for where the answer must not take so long


@contextmanager
def run(folder: Path, env: Mapping[str, str] | None = None, workers: int = 1) -> Iterator[rig.Rig]:
    with rig.running(APP, folder / "data", workers=workers, env={**(env or {}), "ORDERS": str(folder)}) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Rig]:
    """It has ten runners to start, so tests share it; each leaves its topics longer and nothing else."""
    with run(tmp_path_factory.mktemp("orders"), workers=2) as running:
        yield running


@pytest.fixture
def folder(running: rig.Rig) -> Path:
    """Where files named ``closed`` and ``away`` hold stages up."""
    return running.directory.parent


def order(n: int, what: str = "good") -> dict[str, Any]:
    return {"key": f"k{n}", "n": n, "what": what}


def ask(
    running: rig.Rig, rows: list[dict[str, Any]], *, seconds: float = LONG, topic: str = "orders"
) -> dict[str, Any]:
    url = f"{running.url}/topics/{topic}/events?wait=made&timeout={int(seconds * 1000)}ms"
    answer = httpx.post(url, json=rows, timeout=2 * rig.PATIENCE)
    assert answer.status_code == 200, answer.text
    said = dict(answer.json())
    assert said["count"] == len(rows) == sum(p["count"] for p in said["positions"])
    return said


def meanwhile(work: Any, *arguments: Any, **named: Any) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    found = pool.submit(work, *arguments, **named)
    pool.shutdown(wait=False)
    return found


def made(said: dict[str, Any]) -> list[tuple[int, int, str, int]]:
    """Of each result: the row that it is said to come from, and what is in it."""
    return sorted((r["row"], r["data"]["n"], r["data"]["by"], r["data"]["nth"]) for r in said["results"])


def owners(running: rig.Rig, group: str) -> set[str]:
    groups = httpx.get(f"{running.url}/groups", timeout=rig.PATIENCE).json()
    return {g["owner"] for g in groups if g["group"] == group and g["owner"]}


def stored(running: rig.Rig, topic: str) -> int:
    found = httpx.get(f"{running.url}/topics/{topic}", timeout=rig.PATIENCE).json()
    return sum(p["events"] for p in found["partitions"])


@pytest.mark.also_on_kafka
def test_the_answer_carries_what_every_worker_made_of_these_events_and_no_others(tmp_path: Path) -> None:
    with run(tmp_path, workers=2) as running:
        assert rig.eventually(lambda: len(owners(running, "make")) == 2)
        kinds = ["good", "twice", "aside", "dropped"]
        expected = {"good": [("make", 0)], "twice": [("make", 0), ("make", 1)], "dropped": []}
        expected["aside"] = [("make", 0), ("side", 0)]
        processes: set[int] = set()

        def client(number: int) -> None:
            for turn in range(4):
                rows = [order(number * 1_000 + turn * 100 + i, kinds[i % 4]) for i in range(40)]
                said = ask(running, rows)
                assert said["complete"], f"only {len(said['results'])} rows came within {LONG} s"
                assert made(said) == [(i, r["n"], *made) for i, r in enumerate(rows) for made in expected[r["what"]]]
                processes.update(r["data"]["process"] for r in said["results"] if r["data"]["by"] == "make")

        with ThreadPoolExecutor(6) as clients:
            list(clients.map(client, range(6)))
        assert len(processes) == 2, "one worker made them all"


def test_rows_that_come_to_nothing_are_not_waited_for(running: rig.Rig) -> None:
    kinds = ["filtered", "dropped", "rejected", "poison", "late-poison", *["good"] * 11]
    dead = stored(running, "penstock.dead")
    for nothing in ("filtered", "dropped", "rejected"):
        said = ask(running, [order(n, nothing) for n in range(8)])
        assert (said["complete"], said["results"]) == (True, []), nothing
    rows = [order(n, kinds[n % 16]) for n in range(64)]
    said = ask(running, rows)
    assert said["complete"]
    assert [n for _, n, _, _ in made(said)] == [r["n"] for r in rows if r["what"] == "good"]
    assert rig.eventually(lambda: stored(running, "penstock.dead") == dead + 8 + 3 * 4)
    assert ask(running, [])["complete"]


def test_a_timeout_says_what_was_accepted_and_what_there_is(running: rig.Rig, folder: Path) -> None:
    accepted, there = stored(running, "orders"), stored(running, "made")
    (closed := folder / "closed").touch()
    said = ask(running, [order(n) for n in range(20)], seconds=0.3)
    assert (said["complete"], said["results"]) == (False, [])
    assert stored(running, "orders") == accepted + 20
    closed.unlink()
    assert rig.eventually(lambda: stored(running, "made") == there + 20), "what was accepted never came out"
    (away := folder / "away").touch()
    said = ask(running, [order(n, "aside") for n in range(20)], seconds=3)
    assert not said["complete"]
    assert made(said) == [(n, n, "make", 0) for n in range(20)], "what was there is not in the answer"
    away.unlink()
    assert rig.eventually(lambda: stored(running, "made") == there + 60)


@pytest.mark.parametrize("role", ["worker", "runner"])
def test_the_answer_comes_although_what_makes_it_is_killed(running: rig.Rig, folder: Path, role: str) -> None:
    accepted = stored(running, "orders")
    (closed := folder / "closed").touch()
    waiting = meanwhile(ask, running, [order(n) for n in range(30)])
    assert rig.eventually(lambda: stored(running, "orders") == accepted + 30)
    assert running.kill(role, random.Random(1))
    closed.unlink()
    said = waiting.result()
    assert said["complete"] and [n for _, n, _, _ in made(said)] == list(range(30))


def asked_again(running: rig.Rig, folder: Path) -> None:
    """Events with ids are published; the gateway dies while somebody waits, who publishes them again."""
    events = [
        {"specversion": "1.0", "id": f"{n}", "source": "/shop", "type": "order", "data": order(n)} for n in range(30)
    ]
    headers = {"content-type": "application/cloudevents-batch+json"}
    url, there = f"{running.url}/topics/once/events?wait=made&timeout={LONG}s", stored(running, "made")
    (closed := folder / "closed").touch()
    waiting = meanwhile(httpx.post, url, json=events, headers=headers, timeout=rig.PATIENCE)
    assert rig.eventually(lambda: stored(running, "once") == 30)
    assert running.kill("gateway", random.Random(1))
    with pytest.raises(httpx.TransportError):
        waiting.result()
    closed.unlink()
    assert rig.eventually(lambda: stored(running, "made") == there + 30)
    for _ in range(2):  # to a new gateway, and to one that has answered this before
        said = httpx.post(url, json=events, headers=headers, timeout=2 * rig.PATIENCE).json()
        assert said["complete"]
        assert made(said) == [(n, n, "make", 0) for n in range(30)], "a repeat is told another story"
    closed.touch()
    more = [e | {"id": f"more {e['id']}"} for e in events[:10]]
    waiting = meanwhile(httpx.post, url, json=events + more, headers=headers, timeout=2 * rig.PATIENCE)
    assert rig.eventually(lambda: stored(running, "once") == 40)
    closed.unlink()
    said = waiting.result().json()
    assert said["complete"]
    assert made(said) == [(n, n % 30, "make", 0) for n in range(40)], "some before, some now"


def test_who_waits_at_a_killed_gateway_asks_again_and_gets_the_rows(running: rig.Rig, folder: Path) -> None:
    asked_again(running, folder)


NO_LOOK_BACK = """
from penstock.gateway.wait.followers import LookBack
LookBack._begin = LookBack.open
"""


def test_mutant_a_repeat_that_looks_forward_only_is_caught(tmp_path: Path) -> None:
    env = {"ONE_WAY": "once", **rig.planted(tmp_path / "plant", NO_LOOK_BACK, "penstock.run.gateway")}
    with run(tmp_path, env) as running, pytest.raises(AssertionError, match="another story"):
        asked_again(running, tmp_path)


def stopped(tmp_path: Path, env: Mapping[str, str]) -> None:
    env = {**env, "ORDERS": str(tmp_path), "ONE_WAY": "orders", "PENSTOCK_DRAIN_TIMEOUT": "6"}
    with rig.running(APP, tmp_path / "data", workers=1, env=env) as running:
        (tmp_path / "closed").touch()
        waiting = meanwhile(ask, running, [order(n) for n in range(5)])
        assert rig.eventually(lambda: stored(running, "orders") == 5)
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        try:
            said = waiting.result()
        finally:
            (tmp_path / "closed").unlink()
            stopping.join()
        assert (said["complete"], said["results"]) == (False, [])


def test_stopping_answers_those_who_wait(tmp_path: Path) -> None:
    stopped(tmp_path, {})


WAITS_ON = """
from penstock.gateway.app import Gateway
Gateway.hurry = lambda self: None
"""


def test_mutant_a_gateway_that_waits_on_until_it_is_killed_is_caught(tmp_path: Path) -> None:
    with pytest.raises(httpx.TransportError):
        stopped(tmp_path, rig.planted(tmp_path / "plant", WAITS_ON, "penstock.run.gateway"))
