"""Doors and stages in runs of their own, on one cluster."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self

import httpx
import pytest

from penstock.cli.scale import hints
from tests.e2e import rig, scaled_app, steps
from tests.e2e.rig import eventually
from tests.e2e.roles import START, Half, half

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "app.py"
COLUMNS = ("amount", "abroad")
CALL = {"inputs": [{"name": each, "shape": [1], "datatype": "FP64", "data": [1.0]} for each in COLUMNS]}
PAYMENT = {"id": "p1", "card": "c7", "amount": 120, "country": "US"}


# The rule as it is, in shorter windows.
HASTE = """
import penstock.run.compose.lookout as lookout
import penstock.run.compose.scaling as scaling
import penstock.stages.scaling as rule
lookout.LOOK_S, scaling.WINDOW_S, rule.CATCH_UP_S = 0.5, 3.0, 10.0
"""


def haste(folder: Path) -> dict[str, str]:
    return rig.planted(folder / "haste", HASTE, "penstock.run.worker")


def ready(url: str) -> tuple[int, dict[str, object]]:
    answer = httpx.get(f"{url}/readyz", timeout=30)
    return answer.status_code, answer.json()


@pytest.fixture
def log(kafka: str, prefix: str) -> str:
    return f"kafka://{kafka}/{prefix.rstrip('.')}"


def test_doors_and_stages_apart_answer_as_one(log: str, tmp_path: Path) -> None:
    share = ("--artifacts", (tmp_path / "share").as_uri())
    (tmp_path / "share").mkdir()
    with (
        half("gateway", tmp_path / "doors", log, QUICKSTART, *share) as doors,
        half("workers", tmp_path / "stages", log, QUICKSTART, *share) as stages,  # both start on a log without topics
    ):
        assert stages.url == "workers"
        asked = f"{doors.url}/topics/payments/events?wait=scores&timeout=30s"
        answer = httpx.post(asked, json=PAYMENT, timeout=60).json()
        assert [row["data"] for row in answer["results"]] == [{"id": "p1", "risk": 0.36}], answer
        for at in (doors.url, doors.probes, stages.probes):
            assert eventually(lambda at=at: ready(at) == (200, {"ready": True, "reasons": [], "warnings": []}), 30)  # type: ignore[misc]
        assert stages.stop() == 0
        assert doors.stop() == 0


def warned(url: str) -> set[str]:
    status, said = ready(url)
    assert (status, said["reasons"]) == (200, []), said
    return {each.get("stage", "") for each in said["warnings"]}  # type: ignore[attr-defined]


def penstock(*arguments: str) -> list[dict[str, object]]:
    """What a command says to machines."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *arguments, "--json"], capture_output=True, text=True, timeout=rig.PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_doors_alone_store_events_and_say_who_is_missing(
    kafka: str, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig, "brokers", kafka)
    (tmp_path / "share").mkdir()
    share = ("--artifacts", (tmp_path / "share").as_uri())
    with half("gateway", tmp_path / "doors", log, QUICKSTART, *share) as doors:
        answer = httpx.post(f"{doors.url}/topics/payments/events", json=PAYMENT, timeout=60)
        assert answer.status_code == 200, "it is stored, whoever is up"
        assert httpx.get(f"{doors.url}/models", timeout=30).json() == [], "the file is the workers' to bring along"
        for at in (doors.url, doors.probes):
            assert eventually(lambda at=at: warned(at) == {"prepare", "scores"}, START)  # type: ignore[misc]
        with half("workers", tmp_path / "stages", log, QUICKSTART, *share, env=haste(tmp_path)) as stages:
            assert stages.url == "workers"
            assert eventually(lambda: rig.count(doors.url, "scores") == 1, START), "what waited"
            for at in (doors.url, doors.probes, stages.probes):
                assert eventually(lambda at=at: warned(at) == set(), START)  # type: ignore[misc]
            refused = httpx.post(f"{doors.url}/v2/models/risk/infer", json=CALL, timeout=30)
            assert refused.status_code == 503 and "--only gateway" in refused.text
            groups = penstock("groups", "--url", doors.url)
            (owner,) = {str(state["owner"]) for state in groups if state["group"] in ("prepare", "scores")}
            assert re.fullmatch(r"worker-1\.[0-9a-f]{6}@127\.0\.0\.1", owner), groups
            for at in (doors.probes, stages.probes):
                assert eventually(lambda at=at: 'penstock_consumer_lag_events{group="scores"' in metrics(at), START)  # type: ignore[misc]
            publish_until(doors.url, lambda: hinted(stages.probes) >= {"prepare", "scores"})
            assert httpx.get(f"{stages.probes}/topics", timeout=30).status_code == 404
            for process in stages.family():
                process.kill()
        assert eventually(lambda: warned(doors.url) == {"prepare", "scores"}, START), "they are gone without a word"
        assert doors.stop() == 0


def metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics", timeout=30).text


def hinted(url: str) -> set[object]:
    return {hint["stage"] for hint in penstock("scale-hint", "--url", url)}


def publish_until(url: str, holds: Callable[[], bool]) -> None:
    """What a worker can do is known after its second pass with events."""

    def published() -> bool:
        httpx.post(f"{url}/topics/payments/events", json=[PAYMENT] * 50, timeout=60).raise_for_status()
        return holds()

    assert eventually(published, START)


# -- the local twin of what scales a deployment --------------------------------

MOST = 5  # runs: as many as there are partitions


class Scaler:
    """As many runs of workers as they say themselves that there should be, from one to ``MOST``."""

    def __init__(self, start: Callable[[int], AbstractContextManager[Half]]) -> None:
        self._start, self._stack = start, ExitStack()
        self.runs: list[Half] = []
        self.counts: list[int] = []  # how many there were, one after another

    def look(self) -> int:
        """The number of runs from now on."""
        texts = [text for run in self.runs if (text := _metrics(run)) is not None]
        found = hints(texts)
        wanted = max((math.ceil(float(str(hint["wanted"])) - 1e-9) for hint in found), default=1)
        self.be(min(max(wanted, 1), MOST))
        return len(self.runs)

    def be(self, count: int) -> None:
        while len(self.runs) < count:
            self.runs.append(self._stack.enter_context(self._start(len(self.counts) + len(self.runs))))
        for run in self.runs[count:]:
            assert run.stop() == 0
        del self.runs[count:]
        if self.counts[-1:] != [count]:
            self.counts.append(count)

    def __enter__(self) -> Self:
        self.be(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _metrics(run: Half) -> str | None:
    """None: it is just being started."""
    if not any(line.startswith("ready") for line in run.said):
        return None
    return metrics(run.probes)


def owners(url: str) -> set[str]:
    found = httpx.get(f"{url}/groups", timeout=30).json()
    return {state["owner"] for state in found if state["group"] == "copy" and state["owner"]}


@pytest.fixture
def home(kafka: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory whose log on the brokers is every run's."""
    monkeypatch.setattr(rig, "brokers", kafka)
    return tmp_path / "home"


def test_workers_go_from_one_to_five_and_back_with_the_backlog(home: Path, tmp_path: Path) -> None:
    log, app = rig.log_url(home), Path(scaled_app.__file__)
    env = haste(tmp_path) | {
        "PENSTOCK_BATCH_TIME": "0.25",
        "PENSTOCK_BATCH_ROWS": "200",
    }  # of what takes its time, little at once
    with (
        half("gateway", home, log, app) as doors,
        Scaler(lambda n: half("workers", tmp_path / f"run-{n}", log, app, env=env)) as scaler,
    ):
        assert scaler.runs[0].url == "workers"
        with steps.load(doors.url, pause=0.0, count=500, keys=200) as publishers:
            seen: set[str] = set()

            def peak() -> bool:
                nonlocal seen
                seen = max(seen, owners(doors.url), key=len)
                return scaler.look() == MOST and len(seen) == MOST

            assert eventually(peak, START), (scaler.counts, seen)
            assert eventually(lambda: all(p.done == 500 for p in publishers), START)
        assert eventually(lambda: scaler.look() == 1 and steps.lag(doors.url) == 0, START), scaler.counts
        assert scaler.runs[0].stop() == 0
        assert doors.stop() == 0
    steps.judge(home, publishers)
