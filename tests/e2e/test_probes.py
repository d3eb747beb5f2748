"""What a run says to probes, from its first moment to its last."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e import rig
from tests.e2e.rig import eventually
from tests.e2e.roles import START, Half, begun

APP = """
import time
from dataclasses import dataclass
import penstock as ps

app = ps.App("slow")

@dataclass
class Row:
    n: int

rows = app.topic("rows", Row)
done = app.topic("done", Row)

@app.on(rows, to=done, timeout="30s")
def wait(row: Row) -> Row:
    time.sleep(row.n)
    return row
"""


def said(run: Half, path: str) -> tuple[int, str]:
    """The status and the text; 0: nobody answers."""
    try:
        answer = httpx.get(f"{run.probes}{path}", timeout=30)
    except httpx.TransportError:
        return 0, ""
    return answer.status_code, answer.text


def a_life(folder: Path, code: str = "") -> None:
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "penstock", "run", str(folder / "app.py"), "--data", str(folder / "data")]
    command += ["--port", "0", "--workers", "1", "--probes", "127.0.0.1:0"]
    with begun(command, folder / "data", rig.planted(folder / "plant", code)) as run:
        status, text = said(run, "/readyz")
        assert status == 503 and "it is not up yet" in text, "ready before anything is"
        assert said(run, "/healthz")[0] == 200
        doors = run.url
        assert said(run, "/readyz") == (200, '{"ready": true, "reasons": [], "warnings": []}')
        assert httpx.get(f"{doors}/readyz", timeout=30).json() == httpx.get(f"{run.probes}/readyz", timeout=30).json()
        for path in ("/topics", "/models", "/docs", "/topics/rows/events", "/"):
            assert said(run, path)[0] == 404
        (worker,) = [each for each in run.family() if "penstock.run.worker" in each.cmdline()]
        worker.kill()
        assert eventually(lambda: said(run, "/readyz")[0] == 503, 10), "nothing runs the stage"
        assert eventually(lambda: said(run, "/readyz")[0] == 200, START)
        assert 'penstock_process_restarts_total{process="worker-1"} 1.0' in said(run, "/metrics")[1]
        httpx.post(f"{doors}/topics/rows/events", json={"n": 4}, timeout=30).raise_for_status()
        assert eventually(lambda: "penstock_consumer_lag_events" in said(run, "/metrics")[1])
        run.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: "it is stopping" in said(run, "/readyz")[1], 3), "nobody is told that it stops"
        assert said(run, "/healthz")[0] == 200
        assert run.process.wait(rig.PATIENCE) == 0


def test_a_run_says_how_it_is_from_its_first_moment_to_its_last(tmp_path: Path) -> None:
    a_life(tmp_path)


READY_WHATEVER_IS_UP = """
from penstock.run.supervisor.loop import Supervisor
Supervisor._absent = lambda self: iter(())
"""


def test_mutant_a_run_that_says_only_what_its_processes_say_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ready before anything is"):
        a_life(tmp_path, READY_WHATEVER_IS_UP)
