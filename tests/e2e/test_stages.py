"""Poison, a dependency that is away, a disk that fails, and models that misbehave: with real processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import pytest

from tests.e2e import rig, stages_app
from tests.e2e.stages_app import EAT, EVERY, HANG, RAISE, REJECT, SOME

EVENTS, BODY = 2_000, 100


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_BATCH_ROWS", "100")
    monkeypatch.setenv("PENSTOCK_RUNNER_MEMORY", str(300 << 20))  # eaten in no time


def publish(url: str, topic: str, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), BODY):
        answer = httpx.post(f"{url}/topics/{topic}/events", json=rows[start : start + BODY], timeout=10)
        assert answer.status_code == 200, answer.text


def missing(url: str, expected: Mapping[str, int]) -> dict[str, int]:
    short = {topic: wanted - rig.count(url, topic) for topic, wanted in expected.items()}
    return {topic: n for topic, n in short.items() if n > 0}


def pids(running: rig.Rig, role: str) -> set[int]:
    return {process.pid for process in running.children(role)}


def table(directory: Path, topic: str) -> pl.DataFrame:
    return rig.frame(rig.read_all(directory, topic))


def letters(directory: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """The dead letters by stage, and by the number of their event."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in (r for b in rig.read_all(directory, "penstock.dead") for r in b.rows.to_pylist()):
        mine = found.setdefault(row["stage"], {})
        number = json.loads(row["data"])["n"]
        assert number not in mine, f"{number} is dead twice"
        mine[number] = row
    return found


# -- poison -------------------------------------------------------------------

POISON: Mapping[str, tuple[str, set[int], int]] = {
    "one": ("ones", EVERY, 1),
    "awaited": ("awaits", RAISE | REJECT, 1),
    "listed": ("lists", RAISE, 2),
    "enveloped": ("events", RAISE | REJECT, 1),
    "framed": ("frames", SOME, 1),
    "arrowed": ("arrows", RAISE, 1),
}
"""By stage: where its results go, what is poison to it, and how many it makes of each."""


def reason_of(n: int) -> tuple[str, str]:
    """The error, and what its reason says."""
    if n in RAISE:
        return "ValueError", f"{n} is bad"
    if n in REJECT:
        return "Reject", "refused"
    return "RunnerDied", "over its 2 s" if n in HANG else "memory" if n in EAT else "SIGSEGV"


def all_made(url: str, expected: dict[str, int]) -> bool:
    """On a loaded machine good rows may meet the limits meant for bad ones, and are tried again."""
    return rig.eventually(lambda: not missing(url, expected), 3 * rig.PATIENCE)


def test_exactly_the_poison_is_dead_and_all_else_is_made_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with rig.running(Path(stages_app.__file__), data, workers=1) as running:
        before = pids(running, "worker"), pids(running, "gateway")
        began = time.monotonic()
        publish(running.url, "numbers", [{"n": n, "who": f"key-{n % 37}"} for n in range(EVENTS)])
        expected = {to: (EVENTS - len(bad)) * times for to, bad, times in POISON.values()}
        expected["penstock.dead"] = sum(len(bad) for _, bad, _ in POISON.values())
        assert all_made(running.url, expected), missing(running.url, expected)
        took = time.monotonic() - began
        assert (pids(running, "worker"), pids(running, "gateway")) == before, "a process outside of the runners died"
        assert rig.eventually(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
        assert running.stop() == 0
    print(f"{EVENTS} events through {len(POISON)} stages in {took:.1f} s")
    numbers, dead = table(data, "numbers"), letters(data)
    assert {stage: set(mine) for stage, mine in dead.items()} == {s: bad for s, (_, bad, _) in POISON.items()}
    for stage, (topic, bad, times) in POISON.items():
        made = table(data, topic)
        for nth in range(times):
            ordinals = made["_ordinal"].fill_null(0) if "_ordinal" in made.columns else pl.repeat(0, made.height)
            good = numbers.filter(~pl.col("n").is_in(list(bad)))
            rig.assert_each_parent_once(good, made.filter(ordinals == nth))
        parent = made.join(numbers, left_on=["_parent_partition", "_parent"], right_on=["partition", "offset"])
        assert (parent["n"] == parent["n_right"]).all(), "a row was made of another event than it says"
        for n, row in dead[stage].items():
            error, reason = reason_of(n)
            assert row["error"] == error and reason in row["reason"], row
    for topic in ("ones", "frames"):
        assert (table(data, topic).select(pl.col("value") == 2 * pl.col("n")))["value"].all()


# -- a dependency -------------------------------------------------------------

AWAY = """
from dataclasses import dataclass
from pathlib import Path
import penstock as ps

app = ps.App("away")
FLAG = Path(__file__).with_name("away")

@dataclass
class Number:
    n: int

numbers = app.topic("numbers", Number, key="n", partitions=4)
stored = app.topic("stored", Number, partitions=4)
others = app.topic("others", Number, partitions=4)

@app.on(numbers, to=stored)
def store(number: Number) -> Number:
    if FLAG.exists():
        raise ps.Unavailable("the warehouse does not answer")
    return number

@app.on(numbers, to=others)
def other(number: Number) -> Number:
    return number
"""


def test_a_dependency_that_is_away_costs_nothing_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(AWAY)
    (flag := tmp_path / "away").touch()
    data = tmp_path / "data"
    with rig.running(tmp_path / "app.py", data, workers=2) as running:
        publish(running.url, "numbers", [{"n": n} for n in range(500)])
        assert rig.eventually(lambda: rig.count(running.url, "others") == 500, 20), "another stage waits for it"
        assert rig.eventually(lambda: httpx.get(f"{running.url}/readyz").status_code == 503, 10)
        (why, *_) = [r for r in httpx.get(f"{running.url}/readyz").json()["reasons"] if r.get("stage") == "store"]
        assert "the warehouse does not answer" in why["reason"]
        publish(running.url, "numbers", [{"n": n} for n in range(500, 1_000)])
        time.sleep(2)
        status = [json.loads(p.read_text())["stages"]["store"]["lag"] for p in data.rglob("worker-*.json")]
        assert max(status) > 1.5, "its lag does not grow"
        assert (rig.count(running.url, "stored"), rig.count(running.url, "penstock.dead")) == (0, 0)
        flag.unlink()
        assert rig.eventually(lambda: rig.count(running.url, "stored") == 1_000, 30)
        assert rig.eventually(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
        assert running.stop() == 0
    for topic in ("stored", "others"):
        rig.assert_each_parent_once(table(data, "numbers"), table(data, topic))
    assert not rig.read_all(data, "penstock.dead")


# -- a disk that fails --------------------------------------------------------


def ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)  # its tracer has not let it go yet
    except psutil.NoSuchProcess:
        return True


@pytest.mark.embedded
@pytest.mark.skipif(shutil.which("strace") is None and not os.environ.get("CI"), reason="strace injects the fault")
def test_a_failed_fsync_ends_the_worker_and_loses_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.py").write_text(AWAY)
    data = tmp_path / "data"
    with rig.running(tmp_path / "app.py", data, workers=1) as running:
        publish(running.url, "numbers", [{"n": n} for n in range(100)])
        assert rig.eventually(lambda: rig.count(running.url, "stored") == rig.count(running.url, "others") == 100, 20)
        (worker,) = pids(running, "worker")
        options = ["-f", "-q", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync,pwrite64"]
        command = ["strace", *options, "-e", "inject=fdatasync:error=EIO", "-p", str(worker)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as strace:
            try:
                assert rig.eventually((tmp_path / "trace").exists, 5)
                time.sleep(0.5)
                publish(running.url, "numbers", [{"n": n} for n in range(100, 200)])
                assert rig.eventually(lambda: ended(worker), 20)
            finally:
                strace.kill()  # not SIGINT: it would wait for threads of the dead, who wait for it
        assert rig.eventually(lambda: rig.count(running.url, "stored") == rig.count(running.url, "others") == 200, 20)
        assert running.stop() == 0
    for topic in ("stored", "others"):
        rig.assert_each_parent_once(table(data, "numbers"), table(data, topic))
    assert not rig.read_all(data, "penstock.dead")
    said = capfd.readouterr().err
    assert "exit code 1" in said
    assert "could not be written" in said
    traced = (tmp_path / "trace").read_text().splitlines()
    failed = next(i for i, line in enumerate(traced) if "EIO" in line)
    assert [line for line in traced[failed + 1 :] if "fdatasync" in line] == [], "it tried again"


# -- models that misbehave ----------------------------------------------------

BAD_MODELS = {
    "raises": 'if BAD: raise ValueError("thirteen")',
    "exits": "if BAD: os._exit(3)",
    "loops": "while BAD: pass",
    "counts": "if BAD: rows = rows.head(rows.height - 1)",
    "nan": 'rows = rows.with_columns(x=pl.when(pl.col("x") == 13).then(float("nan")).otherwise(pl.col("x")))',
    "prints": 'print("hello", flush=True); os.write(1, b"raw" * 1_000); sys.stdout.buffer.write(bytes(100))',
}
REASONS = {
    "raises": ("ValueError", "thirteen"),
    "exits": ("RunnerDied", "3"),
    "loops": ("RunnerDied", "over its 3 s"),
    "counts": ("PredictionInvalid", "0 rows for 1"),
    "nan": ("PredictionInvalid", "null, NaN or infinite"),
}
BAD_MODEL = """
import os
import sys
import polars as pl

class Model:
    inputs = ["x"]
    def predict(self, rows):
        BAD = bool((rows["x"] == 13).any())
        {body}
        return rows.select(y=pl.col("x") * 2)
"""
BAD_APP = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("models")

@dataclass
class Row:
    n: int
    x: float

@dataclass
class Answer:
    n: int
    y: float

rows = app.topic("rows", Row, key="n", partitions=2)
"""
ONE_MODEL = """
model_{name} = app.model("{name}", "{name}.txt", outputs=["y"], trust="sha256:{digest}")
app.score(rows, model_{name}, to=app.topic("{name}-out", Answer, partitions=2), keep=["n"], timeout="3s", name="{name}")
"""


def write_bad_models(folder: Path) -> Path:
    text = BAD_APP
    for name, body in BAD_MODELS.items():
        model = BAD_MODEL.replace("{body}", body)
        (folder / f"{name}.txt").write_text(model)
        text += ONE_MODEL.format(name=name, digest=hashlib.sha256(model.encode()).hexdigest())
    (folder / "app.py").write_text(text)
    return folder / "app.py"


def test_no_model_disturbs_another_or_any_good_row(tmp_path: Path) -> None:
    data, bad = tmp_path / "data", {57}
    with rig.running(write_bad_models(tmp_path), data, workers=1) as running:
        before = pids(running, "worker"), pids(running, "gateway")
        publish(running.url, "rows", [{"n": n, "x": 13.0 if n in bad else n + 0.5} for n in range(300)])
        expected = {f"{name}-out": 300 - len(bad) * (name in REASONS) for name in BAD_MODELS} | {"penstock.dead": 5}
        assert all_made(running.url, expected), missing(running.url, expected)
        assert (pids(running, "worker"), pids(running, "gateway")) == before
        assert rig.eventually(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
        assert running.stop() == 0
    rows, dead = table(data, "rows"), letters(data)
    assert {stage: set(mine) for stage, mine in dead.items()} == dict.fromkeys(REASONS, bad)
    for name in BAD_MODELS:
        answers = table(data, f"{name}-out")
        lost = list(bad) if name in REASONS else []
        rig.assert_each_parent_once(rows.filter(~pl.col("n").is_in(lost)), answers)
        joined = answers.join(rows, on="n")
        assert joined.height == answers.height and (joined["y"] == 2 * joined["x"]).all(), "an answer of another row"
        for row in dead.get(name, {}).values():
            error, says = REASONS[name]
            assert row["error"] == error and says in row["reason"], row
