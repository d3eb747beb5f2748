"""Processes killed, stopped and failed by their disk while events flow; judged from the log that was left.

Each check is shown red by a bug planted in the processes of the run.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e import rig, steps
from tests.e2e.kills import ROLES, kill_all

# -- SIGKILL ------------------------------------------------------------------


def test_every_role_killed_under_load(tmp_path: Path) -> None:
    toll = kill_all(tmp_path / "data", lives=2)
    assert all(len(toll.kills[role]) == 2 for role in ROLES)


@pytest.mark.soak
def test_every_role_killed_hundreds_of_times(tmp_path: Path) -> None:
    """Shown as it goes with ``-s``. A kill costs about two seconds, on a loaded machine more; on Kafka about ten."""
    lives = 300 if rig.brokers is None else 25
    toll = kill_all(tmp_path / "data", lives=lives, pause=0.05, seconds=5_400)
    assert all(len(toll.kills[role]) == lives for role in ROLES), "the time was up before all were killed"


POSITIONS_FIRST = """
import os, pathlib, signal
from penstock.log.{reader}
plain, once = Reader.commit, pathlib.Path(os.environ["PLANTED"])
def commit(self, done, outputs):
    plain(self, done, [])
    if outputs and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, [], outputs)
Reader.commit = commit
"""


def test_mutant_positions_committed_before_the_outputs_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", POSITIONS_FIRST, "penstock.run.worker") | {"PLANTED": str(tmp_path / "once")}
    data = tmp_path / "data"
    with rig.running(steps.APP, data, workers=1, env=env) as running:
        with steps.load(running.url, 1) as publishers:
            assert rig.eventually((tmp_path / "once").exists)
            time.sleep(0.5)
        rig.eventually(lambda: steps.lag(running.url) == 0)
    with pytest.raises(AssertionError, match="never handled"):
        steps.judge(data, publishers)


BEFORE_STORED = """
import os, pathlib, signal, time
from penstock.batch import AppendResult
from penstock.log.{log}
from penstock.stages.ingest.group_commit import Ingest
plain, once = Log.append, pathlib.Path(os.environ["PLANTED"])
class Early(Ingest):
    def _write(self):
        groups = 0
        while (item := self._groups.get()) is not None:
            loop, group = item
            groups += 1
            ends = {p.partition: p.end for p in self._log.partitions("steps")}
            at = [(w, ends[w.partition], w.rows.num_rows) for w in group.writes]
            spans = iter([AppendResult(w.topic, w.partition, end, end + rows - 1, rows) for w, end, rows in at])
            answers = [(piece, [next(spans) for _ in piece.writes]) for piece in group.pieces]
            loop.call_soon_threadsafe(self._answer, loop, answers)
            if groups > 5 and not once.exists():
                time.sleep(0.3)
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            plain(self._log, group.writes)
Ingest._write = Early._write
"""


def test_mutant_acknowledged_before_it_was_stored_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", BEFORE_STORED, "penstock.run.gateway") | {"PLANTED": str(tmp_path / "once")}
    data = tmp_path / "data"
    with rig.running(steps.APP, data, workers=1, env=env) as running:
        with steps.load(running.url, 1) as publishers:
            assert rig.eventually((tmp_path / "once").exists)
            time.sleep(1.0)
        rig.eventually(lambda: steps.drained(running.url, 1))
    with pytest.raises(AssertionError, match="gone"):
        steps.judge(data, publishers)


FATAL = Path(__file__).with_name("fatal_app.py")
ALL_TOGETHER = """
import numpy
from penstock.stages.failures.in_hand import InHand
InHand.suspected = lambda self, work: numpy.zeros(0, numpy.int64)
"""


def isolated(tmp_path: Path, env: dict[str, str], seconds: float) -> None:
    with rig.running(FATAL, tmp_path / "data", workers=1, env=env) as running:
        with httpx.Client(base_url=running.url, timeout=60) as client:
            assert client.post("/topics/numbers/events", json=[{"n": n} for n in range(100)]).is_success
            assert rig.eventually(lambda: client.get("/dead").json(), seconds), "nobody finds the row that ends it all"
            (letter,) = client.get("/dead").json()
        assert rig.eventually(lambda: rig.count(running.url, "copies") == 99)
        assert letter["error"] == "WorkerDied" and letter["data"] == '{"n":42}'
        assert "fatal_app.py:" in letter["reason"] and "killed by SIGKILL" in letter["reason"]
        assert running.stop() == 0


@pytest.mark.also_on_kafka
def test_a_row_that_ends_the_worker_is_isolated(tmp_path: Path) -> None:
    isolated(tmp_path, {}, 180)


def test_mutant_what_the_last_worker_had_in_hand_is_tried_as_a_whole_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", ALL_TOGETHER, "penstock.run.worker")
    with pytest.raises(AssertionError, match="nobody finds the row"):
        isolated(tmp_path, env, 40)


# -- SIGSTOP ------------------------------------------------------------------

IN_HAND = """
import time
from penstock.log.{reader}
plain = Reader.commit
def commit(self, done, outputs):
    time.sleep(0.2 if outputs else 0)
    plain(self, done, outputs)
Reader.commit = commit
"""
UNFENCED = """
from penstock.log.sqlite import leases
leases.lost = lambda *_: set()
leases.check_advance = lambda *_: None
Reader._check_held = lambda *_: None
"""


def stop_and_go(tmp_path: Path, seconds: float, plant: str) -> None:
    """A worker stands still for longer than its neighbours wait, with rows in hand, and then goes on."""
    env = rig.planted(tmp_path / "plant", plant, "penstock.run.worker")
    env |= {"PENSTOCK_MEMBER_TIMEOUT": "1", "PENSTOCK_HOLDER_TIMEOUT": str(seconds + 60)}
    env |= {"PENSTOCK_STOPPED_TIMEOUT": str(seconds + 60)}
    data, rng = tmp_path / "data", random.Random(9)
    with rig.running(steps.APP, data, workers=2, env=env) as running:
        with steps.load(running.url, pause=0.05) as publishers:  # one worker can do it all
            for _ in range(2):
                steps.probe(running.url, 0)
                stood_still(running, rng.choice(running.children("worker")), seconds)
        assert rig.eventually(lambda: steps.lag(running.url) == 0), "it does not come to its end"
        assert running.stop() == 0
    steps.judge(data, publishers)


def replaced(tmp_path: Path, role: str, env: dict[str, str]) -> None:
    env = env | {"PENSTOCK_STOPPED_TIMEOUT": "1", "PENSTOCK_DRAIN_TIMEOUT": "5"}
    with rig.running(steps.APP, tmp_path / "data", workers=1, env=env) as running:
        (stopped,) = running.children(role)
        stopped.send_signal(signal.SIGSTOP)
        assert rig.eventually(lambda: not stopped.is_running(), 20), f"nobody takes the place of a stopped {role}"
        with httpx.Client(base_url=running.url, timeout=60) as client:
            event = [{"key": "k", "writer": 0, "seq": 0}]
            answer = client.post("/topics/steps/events?wait=copies&timeout=30s", json=event)
        assert answer.status_code == 200 and answer.json()["complete"]
        assert running.stop() == 0


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_one_that_stands_still_is_replaced(tmp_path: Path, role: str) -> None:
    replaced(tmp_path, role, {})


BORNE = """
from penstock.log.processes.write_lock import HolderWatch
from penstock.run.supervisor.standstill import Standstill
Standstill.too_long = lambda self, pid: False
HolderWatch.stuck = lambda self: None  # it may have been stopped with the lock in its hand
"""


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_mutant_one_that_stands_still_and_is_borne_is_caught(tmp_path: Path, role: str) -> None:
    env = rig.planted(tmp_path / "plant", BORNE, "penstock")
    with pytest.raises(AssertionError, match=f"nobody takes the place of a stopped {role}"):
        replaced(tmp_path, role, env)


def stood_still(running: rig.Rig, worker: psutil.Process, seconds: float) -> None:
    worker.send_signal(signal.SIGSTOP)
    try:
        time.sleep(seconds)
        before = rig.count(running.url, "steps")
        assert rig.eventually(lambda: rig.count(running.url, "copies") > before), "no progress meanwhile"
    finally:
        worker.send_signal(signal.SIGCONT)
    time.sleep(0.5)  # for what it had in hand, which is refused, and for its share of the partitions


@pytest.mark.also_on_kafka
def test_a_worker_that_stood_still_is_fenced(tmp_path: Path) -> None:
    stop_and_go(tmp_path, 2.0, IN_HAND)


@pytest.mark.soak
def test_a_worker_that_stood_still_for_a_minute_is_fenced(tmp_path: Path) -> None:
    stop_and_go(tmp_path, 60.0, IN_HAND)


@pytest.mark.embedded
def test_mutant_without_fencing_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no progress meanwhile|come to its end|handled more than once"):
        stop_and_go(tmp_path, 2.0, IN_HAND + UNFENCED)
    stored, made = (rig.frame(rig.read_all(tmp_path / "data", topic)) for topic in ("steps", "copies"))
    with pytest.raises(AssertionError, match="handled more than once"):
        rig.assert_each_parent_once(stored, made)


# -- the disk -----------------------------------------------------------------


@contextmanager
def traced(process: psutil.Process, trace: Path, *options: str) -> Iterator[None]:
    """With strace attached. Absent, that is a skip on a laptop, and a failure in CI."""
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace injects this fault, and is not installed")
    command = ["strace", "-f", "-q", "-s", "24", "-o", str(trace), "-p", str(process.pid), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        status = Path(f"/proc/{process.pid}/status")
        if not rig.eventually(lambda: "TracerPid:\t0\n" not in status.read_text() or tracer.poll() is not None, 10):
            pytest.fail("strace did not attach")
        if tracer.poll() is not None:
            pytest.skip("this user may not attach strace to another process")
        time.sleep(0.2)  # to the other threads
        yield
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)
        tracer.wait(10)


TRIED_AGAIN = """
from penstock.errors import DiskFailed
from penstock.log.embedded import EmbeddedLog
plain = EmbeddedLog.append
def append(self, writes):
    try:
        return plain(self, writes)
    except DiskFailed:
        self._engine.writer._failed = None
        self._engine.writer._db = None
        return plain(self, writes)
EmbeddedLog.append = append
"""


def fail_fsync(tmp_path: Path, nth: int, env: dict[str, str]) -> None:
    data, trace = tmp_path / "data", tmp_path / "trace"
    with rig.running(steps.APP, data, workers=1, env=env) as running:
        (gateway,) = running.children("gateway")
        calls = ("-y", "-e", "trace=fdatasync,fsync,write,writev,sendto,sendmsg")
        with (
            traced(gateway, trace, *calls, "-e", f"inject=fdatasync:error=EIO:when={nth}"),
            steps.load(running.url) as publishers,
        ):
            assert rig.eventually(lambda: "EIO" in trace.read_text(), 3 * rig.PATIENCE), "there were not so many"
            rig.eventually(lambda: not gateway.is_running(), 8)
            if gateway.is_running():
                gateway.kill()  # it went on: the trace says with what
            steps.probe(running.url, 0)
        assert steps.drained(running.url)
        assert running.stop() == 0
    steps.judge(data, publishers)
    lines = trace.read_text().splitlines()
    failed = next(n for n, line in enumerate(lines) if "EIO" in line)
    after = lines[failed + 1 :]
    assert "/log.db" in lines[failed], f"that is no fsync of the log: {lines[failed]}"
    assert not [line for line in after if "HTTP/1.1 200" in line], "acknowledged after a failed fsync"
    assert not [line for line in after if "fdatasync(" in line], "the fsync was tried again"
    ended = [line for line in after if f"{gateway.pid} " in line and "+++ exited with " in line]
    assert ended and "exited with 0" not in ended[0], "the gateway did not end with an error"


@pytest.mark.embedded
def test_a_failed_fsync_ends_the_gateway_and_loses_nothing(tmp_path: Path) -> None:
    fail_fsync(tmp_path, 12, {})


@pytest.mark.embedded
@pytest.mark.soak
@pytest.mark.parametrize("nth", [1, 3, 4, 25, 60, 150, 400])
def test_a_failed_fsync_at_many_moments(tmp_path: Path, nth: int) -> None:
    """Not the second: that is SQLite's of the folder, once a process, and it goes on without. The names in it are
    durable since the log was made."""
    fail_fsync(tmp_path, nth, {})


@pytest.mark.embedded
def test_mutant_a_failed_fsync_tried_again_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", TRIED_AGAIN, "penstock.run.gateway")
    with pytest.raises(AssertionError, match=r"after a failed fsync|tried again"):
        fail_fsync(tmp_path, 12, env)


def acknowledged_after_fsync(tmp_path: Path, env: dict[str, str]) -> None:
    """One request at a time: since the one before was answered, its rows must have been written and synced."""
    trace, requests = tmp_path / "trace", 25
    with rig.running(steps.APP, tmp_path / "data", workers=1, env=env) as running:
        (gateway,) = running.children("gateway")
        calls = "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg"
        with traced(gateway, trace, "-y", "-e", calls), httpx.Client() as client:
            for body in steps.bodies(0, requests):
                headers = {"content-type": "application/json"}
                assert client.post(f"{running.url}/topics/steps/events", content=body, headers=headers).is_success
    written = synced = False
    acknowledged = 0
    for line in trace.read_text().splitlines():
        if "pwrite64(" in line and "log.db-wal" in line:
            written, synced = True, False
        elif ("fdatasync" in line or "fsync" in line) and line.rstrip().endswith("= 0"):
            synced = True
        elif "HTTP/1.1 200" in line:
            assert written and synced, f"acknowledgement {acknowledged + 1} came before its fsync"
            written, synced, acknowledged = False, False, acknowledged + 1
    assert acknowledged == requests


@pytest.mark.embedded
def test_each_acknowledgement_comes_after_its_fsync(tmp_path: Path) -> None:
    acknowledged_after_fsync(tmp_path, {})


WITHOUT_FSYNC = """
import apsw
class Hasty(apsw.Connection):
    def execute(self, text, *rest, **named):
        return super().execute(text.replace("synchronous=FULL", "synchronous=NORMAL"), *rest, **named)
apsw.Connection = Hasty
"""


@pytest.mark.embedded
def test_mutant_acknowledged_before_fsync_is_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", WITHOUT_FSYNC, "penstock.run.gateway")
    with pytest.raises(AssertionError, match="before its fsync"):
        acknowledged_after_fsync(tmp_path, env)
