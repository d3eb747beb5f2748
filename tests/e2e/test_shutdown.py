"""A clean stop: what was asked is answered, what is in hand is committed; and it ends, whatever a child does."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e import rig, steps
from tests.e2e.gated import gated

SENT = [{"key": f"k{n}", "writer": 0, "seq": n} for n in range(steps.SIZE)]


def publish(url: str, query: str = "") -> httpx.Response:
    return httpx.post(f"{url}/topics/steps/events{query}", json=SENT, timeout=60)


def refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz", timeout=5)
    except httpx.TransportError:
        return True
    return False


def stop_with_a_request_open(tmp_path: Path, env: Mapping[str, str]) -> None:
    """Its answer depends on a call of the worker that ends only once the doors are closed to others."""
    made, answers = gated(tmp_path), list[httpx.Response]()

    def ask() -> None:
        with suppress(httpx.TransportError):
            answers.append(publish(running.url, "?wait=late&timeout=30s"))

    with rig.running(made.app, tmp_path / "data", workers=1, env=env) as running:
        asked = threading.Thread(target=ask)
        asked.start()
        try:
            assert rig.eventually(made.begun.exists)
            running.process.send_signal(signal.SIGTERM)
            assert rig.eventually(lambda: refuses(running.url)), "it takes new requests though it was told to stop"
        finally:
            made.go.touch()
            asked.join(rig.PATIENCE)
        assert running.process.wait(rig.PATIENCE) == 0
    assert answers, "a request that was under way got no answer"
    assert answers[0].status_code == 200 and answers[0].json()["complete"], answers[0].text


def stop_with_rows_in_hand(tmp_path: Path, env: Mapping[str, str]) -> None:
    made = gated(tmp_path)
    with rig.running(made.app, tmp_path / "data", workers=1, env=env) as running:
        try:
            assert publish(running.url).status_code == 200
            assert rig.eventually(made.begun.exists)
            running.process.send_signal(signal.SIGTERM)
            assert rig.eventually(lambda: not running.children("gateway")), "the doors stay open"
            time.sleep(0.5)  # for the worker to hear of it
        finally:
            made.go.touch()
        assert running.process.wait(rig.PATIENCE) == 0
    done = sum(len(batch) for batch in rig.read_all(tmp_path / "data", "late"))
    assert done > 0, "what was in hand was dropped"


def stop_with_a_call_that_does_not_end(tmp_path: Path, env: Mapping[str, str]) -> None:
    made = gated(tmp_path)
    with rig.running(made.app, tmp_path / "data", workers=1, env={**env, "PENSTOCK_DRAIN_TIMEOUT": "1"}) as running:
        assert publish(running.url).status_code == 200
        assert rig.eventually(made.begun.exists)
        family = running.family()
        running.process.send_signal(signal.SIGTERM)
        try:
            assert running.process.wait(20) == 0
        except subprocess.TimeoutExpired:
            made.go.touch()
            pytest.fail("it waits for ever")
        assert rig.eventually(lambda: not any(lives(process) for process in family), 10)
    made.go.touch()
    with rig.running(made.app, tmp_path / "data", workers=1) as running:
        late = rig.eventually(lambda: rig.count(running.url, "late") == len(SENT))
        assert late, "what was in hand is not taken up again"


def lives(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def test_a_request_under_way_is_answered(tmp_path: Path) -> None:
    stop_with_a_request_open(tmp_path, {})


def test_what_is_in_hand_is_committed(tmp_path: Path) -> None:
    stop_with_rows_in_hand(tmp_path, {})


def test_a_call_that_does_not_end_is_ended(tmp_path: Path) -> None:
    stop_with_a_call_that_does_not_end(tmp_path, {})


# -- mutants ------------------------------------------------------------------

KILLED_AT_ONCE = """
from penstock.run.supervisor.children import Child
Child.terminate = lambda self, patience: self.kill()
"""
ENDS_AT_ONCE = """
import os, signal
from penstock.run.process import ChildProcess
made = ChildProcess.__init__
def begin(self, *given):
    made(self, *given)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ChildProcess.__init__ = begin
"""
FOR_EVER = """
from penstock.run.supervisor.children import Child
terminate = Child.terminate
Child.terminate = lambda self, patience: terminate(self, float("inf"))
"""


@pytest.mark.parametrize(("role", "plant"), [("", KILLED_AT_ONCE), (".run.gateway", ENDS_AT_ONCE)])
def test_mutant_a_request_that_is_dropped_is_caught(tmp_path: Path, role: str, plant: str) -> None:
    env = rig.planted(tmp_path / "plant", plant, f"penstock{role}")
    with pytest.raises(AssertionError, match="no answer"):
        stop_with_a_request_open(tmp_path, env)


@pytest.mark.parametrize(("role", "plant"), [("", KILLED_AT_ONCE), (".run.worker", ENDS_AT_ONCE)])
def test_mutant_rows_in_hand_that_are_dropped_are_caught(tmp_path: Path, role: str, plant: str) -> None:
    env = rig.planted(tmp_path / "plant", plant, f"penstock{role}")
    with pytest.raises(AssertionError, match="dropped"):
        stop_with_rows_in_hand(tmp_path, env)


def test_mutant_a_stop_without_a_deadline_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", FOR_EVER, "penstock")
    with pytest.raises(pytest.fail.Exception, match="for ever"):
        stop_with_a_call_that_does_not_end(tmp_path, env)
