"""Nothing fails in silence: on the terminal and in /readyz, by stage, reason and the line of the user's code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.run.server import MODEL, Server, wait_for, write_app

APP = """
import logging
import os
from dataclasses import dataclass

import penstock as ps

app = ps.App("told")
log = logging.getLogger("my.shop")


@dataclass
class Row:
    x: int


rows = app.topic("rows", Row, partitions=1)


@app.on(rows, retry=ps.Retry(attempts=1))
def store(row: Row) -> None:
    log.info("a row of %s", row.x)
    if row.x == 13:
        raise KeyError("unlucky")
    if row.x == 66:
        os.abort()


@app.on(rows, name="sick")
def needs(row: Row) -> None:
    if row.x == 5:
        raise ps.Unavailable("the database is away")
"""


def line_of(text: str) -> int:
    return 1 + next(n for n, line in enumerate(APP.splitlines()) if text in line)


def lines(server: Server, **fields: object) -> list[dict[str, Any]]:
    found = [json.loads(text) for text in server.errors.splitlines() if text.startswith("{")]
    return [line for line in found if all(line.get(name) == value for name, value in fields.items())]


def warnings(server: Server, stage: str) -> list[dict[str, str]]:
    told = httpx.get(f"{server.url}/readyz", timeout=10).json()["warnings"]
    return [each for each in told if each.get("stage") == stage]


def publish(server: Server, *values: int) -> None:
    answer = httpx.post(f"{server.url}/topics/rows/events", json=[{"x": value} for value in values], timeout=30)
    assert answer.status_code == 200, answer.text


def assert_the_dead_are_told(server: Server, app: Path) -> None:
    publish(server, 1, 13, 2)
    place = f"{app}:{line_of('raise KeyError')}"
    (told,) = wait_for(lambda: warnings(server, "store"), 20)
    assert told["reason"] == "events dead-lettered: 1; the last: KeyError: 'unlucky'" and told["place"] == place
    (line,) = lines(server, level="warning", stage="store", place=place)
    assert line["message"] == told["reason"] and "penstock dead list" in line["mend"]


def test_dead_letters_deaths_and_what_the_code_logs(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    with Server(app, tmp_path / "data") as server:
        server.ready()
        assert_the_dead_are_told(server, app)
        logged = lines(server, logger="my.shop", message="a row of 1")
        assert [(line["stage"], line["event"], line["level"]) for line in logged][:1] == [("store", "rows/0/0", "info")]
        publish(server, 66)
        wait_for(lambda: [w for w in warnings(server, "store") if "deaths of its runner" in w["reason"]])
        assert any("SIGABRT" in line["message"] for line in lines(server, level="warning", stage="store"))
        publish(server, 5)
        (sick,) = wait_for(lambda: lines(server, message="stage is sick, positions held", stage="sick")[:1])
        assert sick["place"] == f"{app}:{line_of('raise ps.Unavailable')}"
        assert "Traceback" not in server.errors, "it is not dev"
        server.stop()


def test_mutant_letters_that_nobody_is_told_of_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.e2e import rig

    code = "from penstock.stages.failures.telling import Telling\nTelling.dead = lambda self, writes: 0\n"
    for name, value in rig.planted(tmp_path / "planted", code, "penstock.run.worker").items():
        monkeypatch.setenv(name, value)
    app = tmp_path / "app.py"
    app.write_text(APP)
    with Server(app, tmp_path / "data") as server:
        server.ready()
        with pytest.raises(AssertionError, match="it did not happen in time"):
            assert_the_dead_are_told(server, app)
        server.stop()


def test_in_dev_a_sick_stage_shows_its_traceback(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    server = Server(app, tmp_path / "data", "--port", "0", command="dev").ready()
    try:
        publish(server, 5)
        wait_for(lambda: [line for line in lines(server, process="worker-1") if "what sick raised:" in line["message"]])
        assert f"line {line_of('raise ps.Unavailable')}, in needs" in server.errors
    finally:
        server.stop()


def edited(app: Path, factor: int) -> None:
    """The model trained again, and trusted."""
    text = MODEL.format(factor=factor)
    before = hashlib.sha256((app.parent / "double.py.txt").read_bytes()).hexdigest()
    (app.parent / "double.py.txt").write_text(text)
    app.write_text(app.read_text().replace(before, hashlib.sha256(text.encode()).hexdigest()))


def test_a_model_that_was_trained_again_is_not_passed_over(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    with Server(app, tmp_path / "data") as server:
        server.ready()
        assert httpx.get(f"{server.url}/readyz").json()["warnings"] == []
        assert server.stop() == 0
    edited(app, 5)
    with Server(app, tmp_path / "data") as server:
        server.ready()
        (told,) = httpx.get(f"{server.url}/readyz").json()["warnings"]
        assert "has changed since it was registered, and version 1 of model 'double' goes on" in told["reason"]
        assert told["process"] == "gateway" and told["place"].startswith(f"{app}:")
        assert "double.py.txt has changed" in server.errors
        assert server.stop() == 0
    dev = Server(app, tmp_path / "data", "--port", "0", command="dev").ready()
    try:
        wait_for(lambda: httpx.get(f"{dev.url}/models").json()[0]["aliases"]["champion"]["version"] == 2)
        assert httpx.get(f"{dev.url}/readyz").json()["warnings"] == []
    finally:
        dev.stop()


def test_a_trust_of_the_file_before_is_refused_with_the_right_digest(tmp_path: Path) -> None:
    import subprocess
    import sys

    app = write_app(tmp_path)
    (tmp_path / "double.py.txt").write_text(MODEL.format(factor=9))
    right = hashlib.sha256((tmp_path / "double.py.txt").read_bytes()).hexdigest()
    for command, code in (["check", str(app)], 1), (["run", str(app), "--data", str(tmp_path / "d"), "--port", "0"], 2):
        done = subprocess.run([sys.executable, "-m", "penstock", *command], capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        assert f"write trust='sha256:{right}'" in done.stderr and f"{app}:" in done.stderr


def test_a_model_that_is_refused_at_start_is_told(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    text = "class Wrong:\n    def predict(self, rows):\n        raise ValueError('no')\n"
    before = hashlib.sha256((tmp_path / "double.py.txt").read_bytes()).hexdigest()
    (tmp_path / "double.py.txt").write_text(text)
    app.write_text(app.read_text().replace(before, hashlib.sha256(text.encode()).hexdigest()))
    with Server(app, tmp_path / "data") as server:
        server.ready()
        (said,) = wait_for(lambda: server.said[1:])
        assert said.startswith("not ready: doubles: model 'double' has no version, its registration was refused: ")
        told = wait_for(
            lambda: [w for w in httpx.get(f"{server.url}/readyz").json()["warnings"] if "refused" in w["reason"]]
        )
        assert told[0]["place"].startswith(f"{app}:")
        server.stop()
